"""Parts of the database room as tests need them."""

from collections.abc import Awaitable, Callable

from fraudd.clock import SystemClock
from fraudd.database.permits import Permits
from fraudd.limiter import AdaptiveLimit


def permits_up_to(most: int, *, busy_threads: int = 10_000) -> Permits:
    """Give so many permits, whose limit nothing lowers unless the test does."""
    return Permits(AdaptiveLimit(most, busy_threads=busy_threads), clock=SystemClock())


def given(password: str) -> Callable[[], Awaitable[str]]:
    """Give a password as a server is asked for it."""

    async def password_given() -> str:
        return password

    return password_given
