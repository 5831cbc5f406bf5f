"""Parts of the database room as tests need them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pymysql

from fraudd.clock import SystemClock
from fraudd.database.connections import Connections
from fraudd.database.limit import AdaptiveLimit
from fraudd.database.permits import Permits
from fraudd.database.server import Server, Timeouts
from fraudd.local.settings import DatabaseServer

#: Permits of a pool.
LIMIT = 2
#: What tests make on a server that is not theirs begins so, and goes when they end.
PREFIX = "fraudd_test_"
#: The database of the demo platform.
DEMO = f"{PREFIX}demo"
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


def server_of(database: DatabaseServer) -> Server:
    """Give the terms on which an account uses a server."""
    return Server(
        host=database.host,
        port=database.port,
        user=database.user,
        name=database.name,
        password=given(database.password),
        tls=None,
        time_zone="+00:00",
        timeouts=Timeouts(
            connect_seconds=2.0,
            query_seconds=10.0,
            snapshot_seconds=60.0,
            idle_seconds=30.0,
        ),
    )


def with_timeouts(server: Server, **seconds: float) -> Server:
    """Change timeouts of a server."""
    return replace(server, timeouts=replace(server.timeouts, **seconds))


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


def run_sql(server: DatabaseServer, *statements: str) -> Sequence[Any]:
    """Run statements as the server's owner, with @HOST for where we come from; gives all rows."""
    with (
        pymysql.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            autocommit=True,
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT SUBSTRING_INDEX(USER(), '@', -1)")
        [[host]] = cursor.fetchall()
        rows: list[Any] = []
        for statement in statements:
            cursor.execute(statement.replace("@HOST", f"@'{host}'"))
            rows += cursor.fetchall()
        return rows


def clear(server: DatabaseServer) -> None:
    """Remove what tests made on a server: connections, accounts and databases of their prefix."""

    def found(sql: str) -> list[Any]:
        return [row for row in run_sql(server, sql) if row[0].startswith(PREFIX)]

    # First of all: what a killed run left at work would hold the databases.
    for _, number in found("SELECT user, id FROM information_schema.processlist"):
        run_sql(server, f"KILL {number}")
    for name, host in found("SELECT user, host FROM mysql.user"):
        run_sql(server, f"DROP USER '{name}'@'{host}'")
    for (name,) in found("SHOW DATABASES"):
        run_sql(server, f"DROP DATABASE `{name}`")
