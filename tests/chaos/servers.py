"""The servers that the daemon depends on, and what can happen to them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiomysql
from pymysql.err import MySQLError

from tests.stack.servers import Server

_SCHEMA = (
    "CREATE DATABASE plain",
    # Whoever has a row here takes so long.
    "CREATE TABLE plain.pace (entity_id VARCHAR(128) PRIMARY KEY, seconds DOUBLE)",
)
#: Between two looks at the process list.
_LOOK_SECONDS = 0.02


class Database:
    """A MariaDB with the little platform that the feature SQL here reads."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.port = port

    async def prepare(self) -> None:
        """Make the platform."""
        await self.rows(*_SCHEMA)

    async def rows(self, *statements: str) -> Sequence[Any]:
        """Run statements on a connection of their own; gives the rows of the last."""
        async with self.connected() as connection:
            return await _rows(connection, *statements)

    async def add_account(self, name: str) -> None:
        """Make a read-only account; a daemon has one of its own, so that it can be told apart."""
        await self.rows(
            f"CREATE OR REPLACE USER {name}@localhost",
            f"GRANT SELECT ON plain.* TO {name}@localhost",
            # A server that is killed forgets the accounts that it has not written down.
            "FLUSH TABLES",
        )

    async def hang_up_on(self, account: str) -> None:
        """End all connections of an account: the server is slow to see that a client is gone."""
        await self.rows(f"KILL HARD USER {account}@localhost")

    async def set_paces(self, paces: dict[str, float]) -> None:
        """Let the runs of entities take so many seconds."""
        values = ", ".join(f"('{entity_id}', {seconds})" for entity_id, seconds in paces.items())
        await self.rows(f"REPLACE INTO plain.pace VALUES {values}", "COMMIT")

    @asynccontextmanager
    async def held_up(self, *entity_ids: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Let runs of the entities wait in the database as long as the block does.

        Gives a call that waits until they all do wait there.
        """
        async with self.connected() as connection:
            for entity_id in entity_ids:
                await _rows(connection, f"SELECT GET_LOCK('{entity_id}', 10)")

            async def reached() -> None:
                async with asyncio.timeout(60):
                    while await _waiting_for_a_lock(connection) < len(entity_ids):
                        await asyncio.sleep(_LOOK_SECONDS)

            yield reached

    @asynccontextmanager
    async def counted(self) -> AsyncIterator[dict[str, int]]:
        """Count each account's connections; gives the most that it had at a time.

        Those being torn down are not counted, for the process list shows them for a while, nor
        the one without a database, which is there to kill.
        """
        most: dict[str, int] = {}
        task = asyncio.create_task(self._count(most))
        try:
            yield most
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _count(self, most: dict[str, int]) -> None:
        while True:
            try:
                async with self.connected() as connection:
                    while True:
                        users = Counter(
                            each.user for each in await processes(connection) if each.reads
                        )
                        most |= {user: max(n, most.get(user, 0)) for user, n in users.items()}
                        await asyncio.sleep(_LOOK_SECONDS)
            except (OSError, MySQLError):
                await asyncio.sleep(_LOOK_SECONDS)  # it is down

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Any]:
        """Connect as root, as long as the block does."""
        connection = await aiomysql.connect(
            host="127.0.0.1", port=self.port, user="root", autocommit=True
        )
        try:
            yield connection
        finally:
            connection.close()


async def _rows(connection: Any, *statements: str) -> Sequence[Any]:
    rows: Sequence[Any] = ()
    async with connection.cursor() as cursor:
        for statement in statements:
            await cursor.execute(statement)
            rows = await cursor.fetchall()
    return rows


class Process(NamedTuple):
    """A connection as the server lists it; ``seconds``: for how long it has done what it does."""

    number: int
    user: str
    database: str | None
    command: str
    seconds: int
    state: str

    @property
    def there(self) -> bool:
        """Whether it is not being torn down."""
        return self.command not in ("Killed", "Busy")

    @property
    def reads(self) -> bool:
        """Whether it is there to read, and not to kill."""
        return self.there and self.database is not None


async def processes(connection: Any) -> list[Process]:
    """List the connections of the server."""
    # SHOW, because information_schema makes a temporary table each time.
    rows = await _rows(connection, "SHOW PROCESSLIST")
    return [
        Process(
            number=row[0],
            user=row[1],
            database=row[3],
            command=row[4],
            seconds=row[5] or 0,
            state=row[6] or "",
        )
        for row in rows
    ]


async def _waiting_for_a_lock(connection: Any) -> int:
    """Count the runs that are held up."""
    return sum(
        each.state == "User lock" and each.user != "root" for each in await processes(connection)
    )
