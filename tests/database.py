"""Parts of the database room as tests need them."""

from collections.abc import Awaitable, Callable
from typing import Any

from fraudd.clock import SystemClock
from fraudd.database.connections import Connections
from fraudd.database.permits import Permits
from fraudd.database.server import Server
from fraudd.limiter import AdaptiveLimit

#: Permits of a pool.
LIMIT = 2


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
