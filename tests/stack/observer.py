"""A look at the database server, and a hand on its runs."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pymysql.err import MySQLError

from tests.stack.database import READER


class Observer:
    """Looks at the database server, and holds runs up, from a connection of its own."""

    def __init__(self, connection: Any, account: str) -> None:
        self._connection = connection
        #: The account under test, as SQL names it.
        self.account = account

    async def rows(self, sql: str) -> Sequence[Any]:
        """Run a statement."""
        async with self._connection.cursor() as cursor:
            await cursor.execute(sql)
            rows: Sequence[Any] = await cursor.fetchall()
            return rows

    async def theirs(self) -> list[int]:
        """Ids of the connections of the account under test, those being torn down aside."""
        return [
            number
            for number, user, _, _, command, *_ in await self.rows("SHOW FULL PROCESSLIST")
            if user == READER and command not in ("Killed", "Busy")
        ]

    async def at(self, state: str) -> list[int]:
        """Ids of the connections of the account under test that are in a statement's state."""
        rows = await self.rows("SHOW FULL PROCESSLIST")
        return [row[0] for row in rows if (row[1], row[6]) == (READER, state)]

    async def executing(self, sql: str) -> list[int]:
        """Ids of the connections of the account under test that execute this statement."""
        rows = await self.rows("SHOW FULL PROCESSLIST")
        return [row[0] for row in rows if (row[1], row[4], row[7]) == (READER, "Query", sql)]

    async def busy(self, state: str) -> int:
        """Wait until the account under test is in a statement's state; gives its connection."""
        async with asyncio.timeout(10):
            while not (connections := await self.at(state)):
                pass
        return connections[0]

    async def hang_up(self) -> None:
        """End the connections of the account under test, whatever they do."""
        for connection in await self.theirs():
            # It may have ended by itself meanwhile.
            with suppress(MySQLError):
                await self.rows(f"KILL {connection}")

    async def slow_down(self, entity_id: str) -> None:
        """Let runs of the entity take longer than any deadline."""
        await self.rows(f"INSERT INTO pace VALUES ('{entity_id}', 30)")

    async def speed_up(self) -> None:
        """Let all runs be quick again."""
        await self.rows("DELETE FROM pace")

    async def hold_up(self, entity_id: str) -> None:
        """Let a run of the entity wait in the database."""
        await self.rows(f"SELECT GET_LOCK('{entity_id}', 10)")

    async def let_go(self, entity_id: str) -> None:
        """Let the run of the entity go on."""
        await self.rows(f"SELECT RELEASE_LOCK('{entity_id}')")
