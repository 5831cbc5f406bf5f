"""The cap on database connections: a fixed number of permits, and a line for them."""

import asyncio
from collections import deque


class Permits:
    """``limit`` permits; each is the right to hold one connection."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        # The one given back last goes out first: its connection is warm, the others may close.
        self._free = list(reversed(range(limit)))
        self._line: deque[asyncio.Future[NumberedPermit]] = deque()

    @property
    def in_use(self) -> int:
        """How many are taken."""
        return self.limit - len(self._free)

    def try_acquire(self) -> "NumberedPermit | None":
        """Take a permit if one is free and nobody waits for it."""
        return NumberedPermit(self, self._free.pop()) if self._free and not self._line else None

    async def acquire(self) -> "NumberedPermit":
        """Wait for a permit, first come, first served."""
        if (permit := self.try_acquire()) is not None:
            return permit
        place: asyncio.Future[NumberedPermit] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                place.result().release()
            else:
                self._line.remove(place)
            raise

    def give_back(self, number: int) -> None:
        """Hand a permit to the first in the line, or keep it."""
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_result(NumberedPermit(self, number))
                return
        self._free.append(number)


class NumberedPermit:
    """One permit in somebody's hands; it can be given back once."""

    def __init__(self, permits: Permits, number: int) -> None:
        self.number = number
        self._permits: Permits | None = permits

    def release(self) -> None:
        """Give the permit back; a second time does nothing."""
        if self._permits is not None:
            permits, self._permits = self._permits, None
            permits.give_back(self.number)
