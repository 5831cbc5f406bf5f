"""The cap on database connections: a fixed number of permits, and two lines for them."""

import asyncio
from collections import deque
from collections.abc import Sequence


class Permits:
    """``limit`` permits; each is the right to hold one connection."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        # The one given back last goes out first: its connection is warm, the others may close.
        self._free = list(reversed(range(limit)))
        self._line: deque[asyncio.Future[NumberedPermit]] = deque()
        #: Those who want all of them go first, so that they need not wait for a lull.
        self._line_for_all: deque[asyncio.Future[NumberedPermit]] = deque()

    @property
    def in_use(self) -> int:
        """How many are taken."""
        return self.limit - len(self._free)

    def try_acquire(self) -> "NumberedPermit | None":
        """Take a permit if one is free and nobody waits."""
        if not self._free or self._line or self._line_for_all:
            return None
        return NumberedPermit(self, [self._free.pop()])

    async def acquire(self) -> "NumberedPermit":
        """Wait for a permit, first come, first served."""
        return await self._wait_in(self._line)

    async def acquire_all(self) -> "NumberedPermit":
        """Wait for all permits at once, before all who want one; whoever asks must hold none."""
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

    def _hand_out(self) -> None:
        while self._line_for_all and len(self._free) == self.limit:
            self._serve(self._line_for_all, self.limit)
        while self._line and self._free and not self._line_for_all:
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
