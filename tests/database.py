"""Parts of the database room as tests need them."""

from collections.abc import Awaitable, Callable
from typing import Any

import pymysql

from fraudd.clock import SystemClock
from fraudd.database.connections import Connections
from fraudd.database.permits import Permits
from fraudd.database.server import Server
from fraudd.limiter import AdaptiveLimit
from fraudd.local.settings import DatabaseServer

#: Permits of a pool.
LIMIT = 2
#: What tests make on a server that is not theirs begins so, and goes when they end.
PREFIX = "fraudd_test_"
#: The database of the feature SQL that tests hold up, and the account that reads it.
PLAIN, READER = f"{PREFIX}plain", f"{PREFIX}reader"


def permits_up_to(most: int, *, busy_threads: int = 10_000) -> Permits:
    """Give so many permits, whose limit nothing lowers unless the test does."""
    return Permits(AdaptiveLimit(most, busy_threads=busy_threads), clock=SystemClock())


def given(password: str) -> Callable[[], Awaitable[str]]:
    """Give a password as a server is asked for it."""

    async def password_given() -> str:
        return password

    return password_given


class Pool:
    """Permits and the connections they allow."""

    def __init__(self, server: Server, *, limit: int = LIMIT, busy_threads: int = 10_000) -> None:
        self.permits = permits_up_to(limit, busy_threads=busy_threads)
        self.connections = Connections(server, self.permits, clock=SystemClock())

    async def query(self, sql: str) -> Any:
        """Run a statement on a snapshot of its own; gives its rows."""
        permit = await self.permits.acquire()
        try:
            async with self.connections.snapshot(permit) as snapshot:
                return (await snapshot.query(sql)).rows
        finally:
            permit.release()


def clear(server: DatabaseServer) -> None:
    """Remove what tests made on a server: connections, accounts and databases of their prefix."""
    with (
        pymysql.connect(
            host=server.host, port=server.port, user=server.user, password=server.password
        ) as connection,
        connection.cursor() as cursor,
    ):

        def found(sql: str) -> list[tuple[Any, ...]]:
            cursor.execute(sql)
            return [row for row in cursor.fetchall() if str(row[0]).startswith(PREFIX)]

        # First of all: what a killed run left at work would hold the databases.
        for _, number in found("SELECT user, id FROM information_schema.processlist"):
            cursor.execute(f"KILL {number}")
        for name, host in found("SELECT user, host FROM mysql.user"):
            cursor.execute("DROP USER %s@%s", (name, host))
        for (name,) in found("SHOW DATABASES"):
            cursor.execute(f"DROP DATABASE `{name}`")
