"""How late the event loop comes round: what every caller waits for on top of their own request."""

import asyncio
from collections import deque
from collections.abc import Callable

from fraudd.ports import Clock

#: While a job is in hand a stall of a few milliseconds is to be seen: that costs 3 % of a core, ten
#: times as much as the daemon may take at rest.
_BUSY_SECONDS, _REST_SECONDS = 0.002, 0.25
#: A scrape a minute misses nothing.
_MINUTE = 60


class LargestOfMinute:
    """Keeps the largest value of about the last minute, a value a second at most."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, float]] = deque(maxlen=_MINUTE)

    def add(self, value: float, now: float) -> None:
        """Count a value, ``now`` in seconds that never run backwards."""
        second = int(now)
        if self._seconds and self._seconds[-1][0] == second:
            value = max(value, self._seconds.pop()[1])
        self._seconds.append((second, value))

    def at(self, now: float) -> float:
        """Give the largest value of the last minute; 0 where there was none."""
        since = int(now) - _MINUTE
        return max((value for second, value in self._seconds if second > since), default=0.0)


class LoopLag:
    """Asks the event loop for a wake-up again and again, and notes how late it comes.

    ``busy`` says whether it is worth looking closely: whether a job is in hand.
    """

    def __init__(self, *, busy: Callable[[], bool], clock: Clock) -> None:
        self._busy = busy
        self._clock = clock
        self._largest = LargestOfMinute()

    @property
    def seconds(self) -> float:
        """How late the loop came at worst in about the last minute."""
        return self._largest.at(self._clock.monotonic())

    async def run(self) -> None:
        """Look for ever."""
        while True:
            pause = _BUSY_SECONDS if self._busy() else _REST_SECONDS
            due = self._clock.monotonic() + pause
            await asyncio.sleep(pause)
            now = self._clock.monotonic()
            self._largest.add(now - due, now)
