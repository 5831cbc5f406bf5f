"""The cap on database connections: permits up to a limit that follows the server's load."""

import asyncio
from collections import deque
from collections.abc import Sequence

from fraudd.database.limit import AdaptiveLimit
from fraudd.ports import Clock


class Permits:
    """``most`` permits at most; each is the right to hold one connection.

    The limit of how many may be taken falls while the server is busy; one that is taken is never
    revoked.
    """

    def __init__(self, limit: AdaptiveLimit, *, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        # The one given back last goes out first: its connection is warm, the others may close.
        self._free = list(reversed(range(limit.maximum)))
        self._line: deque[asyncio.Future[NumberedPermit]] = deque()
        #: Those who want all of them go first, so that they need not wait for a lull.
        self._line_for_all: deque[asyncio.Future[NumberedPermit]] = deque()

    @property
    def maximum(self) -> int:
        """How many there are when nothing limits them."""
        return self._limit.maximum

    @property
    def limit(self) -> int:
        """How many may be taken now."""
        return self._limit.value

    @property
    def in_use(self) -> int:
        """How many are taken."""
        return self.maximum - len(self._free)

    @property
    def threads_running(self) -> int:
        """How many threads ran on the server when it was looked at last; 0 before."""
        return self._limit.threads_running

    def observe(self, threads_running: int) -> None:
        """Let the limit follow how many threads run on the server."""
        self._limit.observe(threads_running, self._clock.monotonic())
        self._hand_out()

    def refused(self, *, connected: bool) -> bool:
        """Lower the limit, for the server had no room; tells whether it is out of reach."""
        return self._limit.refused(self._clock.monotonic(), connected=connected)

    def try_acquire(self) -> "NumberedPermit | None":
        """Take a permit if one is free and nobody waits."""
        if not self._room or self._line or self._line_for_all:
            return None
        return NumberedPermit(self, [self._free.pop()])

    async def acquire(self) -> "NumberedPermit":
        """Wait for a permit, first come, first served."""
        return await self._wait_in(self._line)

    async def acquire_all(self) -> "NumberedPermit":
        """Wait for all permits at once, whatever the limit; whoever asks must hold none.

        Goes before all who want one.
        """
        return await self._wait_in(self._line_for_all)

    def give_back(self, numbers: Sequence[int]) -> None:
        """Take permits back and hand them to whoever is next."""
        self._free += numbers
        self._hand_out()

    async def _wait_in(self, line: "deque[asyncio.Future[NumberedPermit]]") -> "NumberedPermit":
        place: asyncio.Future[NumberedPermit] = asyncio.get_running_loop().create_future()
        line.append(place)
        self._hand_out()
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                place.result().release()
            elif place in line:
                line.remove(place)
                self._hand_out()
            raise

    @property
    def _room(self) -> bool:
        return self.in_use < self.limit

    def _hand_out(self) -> None:
        while self._line_for_all and self.in_use == 0:
            self._serve(self._line_for_all, self.maximum)
        while self._line and self._room and not self._line_for_all:
            self._serve(self._line, 1)

    def _serve(self, line: "deque[asyncio.Future[NumberedPermit]]", count: int) -> None:
        place = line[0]
        if not place.done():
            numbers = [self._free.pop() for _ in range(count)]
            place.set_result(NumberedPermit(self, numbers))
        line.popleft()


class NumberedPermit:
    """One permit in somebody's hands, or all of them; it can be given back once."""

    def __init__(self, permits: Permits, numbers: Sequence[int]) -> None:
        self.number = numbers[0]
        self._numbers = numbers
        self._permits: Permits | None = permits

    def release(self) -> None:
        """Give the permit back; a second time does nothing."""
        if self._permits is not None:
            permits, self._permits = self._permits, None
            permits.give_back(self._numbers)
