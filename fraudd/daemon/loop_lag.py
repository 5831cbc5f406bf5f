"""Measures the lag of the event loop, which delays every request."""

import asyncio
from collections import deque
from collections.abc import Callable

from fraudd.ports import Clock

#: During a run the checks must detect a stall of a few milliseconds. They cost 3 % of a core, ten
#: times the budget of an idle daemon.
_BUSY_SECONDS, _REST_SECONDS = 0.002, 0.25
#: One scrape per minute then misses no value.
_MINUTE = 60


class LargestOfMinute:
    """Keeps the largest value of about the last minute, with at most one value per second."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, float]] = deque(maxlen=_MINUTE)

    def add(self, value: float, now: float) -> None:
        """Add a value. ``now`` is in seconds of a monotonic clock."""
        second = int(now)
        if self._seconds and self._seconds[-1][0] == second:
            value = max(value, self._seconds.pop()[1])
        self._seconds.append((second, value))

    def at(self, now: float) -> float:
        """Return the largest value of the last minute. Without values it is 0."""
        since = int(now) - _MINUTE
        return max((value for second, value in self._seconds if second > since), default=0.0)


class LoopLag:
    """Sleeps again and again, and measures how late the event loop wakes it.

    ``busy`` says whether a run is in progress, so that short sleeps are worth their cost.
    """

    def __init__(self, *, busy: Callable[[], bool], clock: Clock) -> None:
        self._busy = busy
        self._clock = clock
        self._largest = LargestOfMinute()

    @property
    def seconds(self) -> float:
        """The longest delay of the loop in about the last minute."""
        return self._largest.at(self._clock.monotonic())

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            pause = _BUSY_SECONDS if self._busy() else _REST_SECONDS
            due = self._clock.monotonic() + pause
            await asyncio.sleep(pause)
            now = self._clock.monotonic()
            self._largest.add(now - due, now)
