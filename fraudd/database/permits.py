"""Connection permits, up to a limit that follows the load of the server."""

import asyncio
from collections import deque
from collections.abc import Sequence

from fraudd.database.limit import AdaptiveLimit
from fraudd.ports import Clock


class Permits:
    """Up to ``maximum`` permits. Each is the right to hold one connection.

    The limit falls while the server is busy. A permit that is in use is never revoked.
    """

    def __init__(self, limit: AdaptiveLimit, *, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        # The permit that was given back last is taken first: its connection is still open, and
        # other connections can become idle and close.
        self._free = list(reversed(range(limit.maximum)))
        self._waiters: deque[asyncio.Future[NumberedPermit]] = deque()
        #: Served before the others. Otherwise they would wait until no other task waits.
        self._waiters_for_all: deque[asyncio.Future[NumberedPermit]] = deque()

    @property
    def maximum(self) -> int:
        """The number of permits on a calm server."""
        return self._limit.maximum

    @property
    def limit(self) -> int:
        """The number of permits that may be in use now."""
        return self._limit.value

    @property
    def in_use(self) -> int:
        """The number of permits in use."""
        return self.maximum - len(self._free)

    @property
    def threads_running(self) -> int:
        """The last reading of the threads that run on the server. It is 0 before the first one."""
        return self._limit.threads_running

    def observe(self, threads_running: int) -> None:
        """Adapt the limit to the number of threads that run on the server."""
        self._limit.observe(threads_running, self._clock.monotonic())
        self._serve_waiters()

    def refused(self, *, connected: bool) -> bool:
        """Lower the limit after a refused connection. Returns whether the server is unreachable."""
        return self._limit.refused(self._clock.monotonic(), connected=connected)

    def try_acquire(self) -> "NumberedPermit | None":
        """Take a permit if one is free and nobody waits."""
        if not self._has_room or self._waiters or self._waiters_for_all:
            return None
        return NumberedPermit(self, [self._free.pop()])

    async def acquire(self) -> "NumberedPermit":
        """Wait for a permit, in order of arrival."""
        return await self._wait_in(self._waiters)

    async def acquire_all(self) -> "NumberedPermit":
        """Wait for all permits at once, ahead of all waiters for one permit, beyond the limit.

        A task that holds a permit must not call this: it would wait for itself.
        """
        return await self._wait_in(self._waiters_for_all)

    def give_back(self, numbers: Sequence[int]) -> None:
        """Take permits back, and serve the next waiters."""
        self._free += numbers
        self._serve_waiters()

    async def _wait_in(self, queue: "deque[asyncio.Future[NumberedPermit]]") -> "NumberedPermit":
        waiter: asyncio.Future[NumberedPermit] = asyncio.get_running_loop().create_future()
        queue.append(waiter)
        self._serve_waiters()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                waiter.result().release()
            elif waiter in queue:
                queue.remove(waiter)
                self._serve_waiters()
            raise

    @property
    def _has_room(self) -> bool:
        return self.in_use < self.limit

    def _serve_waiters(self) -> None:
        while self._waiters_for_all and self.in_use == 0:
            self._serve_first(self._waiters_for_all, self.maximum)
        while self._waiters and self._has_room and not self._waiters_for_all:
            self._serve_first(self._waiters, 1)

    def _serve_first(self, queue: "deque[asyncio.Future[NumberedPermit]]", count: int) -> None:
        waiter = queue[0]
        if not waiter.done():
            numbers = [self._free.pop() for _ in range(count)]
            waiter.set_result(NumberedPermit(self, numbers))
        queue.popleft()


class NumberedPermit:
    """One permit in use, or all of them."""

    def __init__(self, permits: Permits, numbers: Sequence[int]) -> None:
        self.number = numbers[0]
        self._numbers = numbers
        self._permits: Permits | None = permits

    def release(self) -> None:
        """Give the permit back. A second call has no effect."""
        if self._permits is not None:
            permits, self._permits = self._permits, None
            permits.give_back(self._numbers)
