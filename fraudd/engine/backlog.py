"""The number of pending runs, and how long a run will wait.

Pure: time is an argument.
"""

import math
from bisect import bisect_right
from collections import deque

#: Bounds of the estimate in seconds.
SHORTEST, LONGEST = 1, 300
#: Weight of the newest run in the mean; about the last ten runs count.
_NEWEST = 0.2
#: Runs opened within so many milliseconds count as opened at once; a backlog of so many such
#: times, eight minutes at the least, is remembered exactly.
_POINT_MS, _MAX_POINTS = 50, 10_000


class RunTimes:
    """The moving mean of how long runs hold their permit, in seconds."""

    def __init__(self, first_guess_seconds: float = 2.0) -> None:
        self.mean_seconds = first_guess_seconds
        self._count = 0

    def add(self, seconds: float) -> None:
        """Count one run; the first takes the place of the guess."""
        self._count += 1
        self.mean_seconds += max(_NEWEST, 1 / self._count) * (seconds - self.mean_seconds)


class Backlog:
    """How many runs are owed, and how many of them before a given one.

    The queue is sampled rarely; what this daemon hears of meanwhile is counted on top: each run
    opened here, and for each that ended here one more at each other daemon of the ``fleet_size``.
    Times are epoch milliseconds.
    """

    def __init__(self, *, fleet_size: int) -> None:
        self._fleet_size = fleet_size
        #: How many were ever opened, as far as known.
        self.opened_so_far = 0
        self._ended = 0
        self._sampled_at = 0
        #: How many had been opened until when.
        self._until: deque[tuple[int, int]] = deque(maxlen=_MAX_POINTS)

    @property
    def owed(self) -> int:
        """How many runs are owed now."""
        return self.opened_so_far - self._ended

    def opened(self, at: int, count: int = 1) -> None:
        """Count runs that were opened then."""
        self.opened_so_far += count
        if self._until and at - self._until[-1][0] < _POINT_MS:
            at, _ = self._until.pop()
        self._until.append((at, self.opened_so_far))

    def ended(self) -> None:
        """Count a run that ended here."""
        self._ended = min(self.opened_so_far, self._ended + self._fleet_size)

    def sampled(self, owed: int, now: int) -> None:
        """Believe a sample: what it has more was opened elsewhere, evenly since the last one."""
        if (more := owed - self.owed) > 0:
            later = []
            while self._until and self._until[-1][0] > self._sampled_at:
                later.append(self._until.pop())
            for at, opened in reversed(later):
                share = (at - self._sampled_at) / max(now - self._sampled_at, 1)
                self._until.append((at, opened + round(more * min(share, 1))))
            self.opened(now, more)
        self._ended = self.opened_so_far - owed
        self._sampled_at = now

    def until(self, requested_at: int) -> int:
        """Give how many owed runs were asked for until then, the one asked for then included."""
        after = bisect_right(self._until, requested_at, key=lambda point: point[0])
        if after == len(self._until):
            opened: float = self.opened_so_far
        elif after == 0:
            opened = self._until[0][1]
        else:
            (begin, before), (end, by_then) = self._until[after - 1], self._until[after]
            share = (requested_at - begin) / (end - begin)
            opened = before + (by_then - before) * share
        return max(math.ceil(opened) - self._ended, 1)


def estimated_seconds(
    *, waiting: int, mean_run_seconds: float, permits: int, fleet_size: int
) -> int:
    """Estimate when a run now pending ends, ``waiting`` runs (itself included) being owed.

    However few wait, it takes its own time.
    """
    seconds = max(waiting / (permits * fleet_size), 1) * mean_run_seconds
    return bounded(seconds)


def bounded(seconds: float) -> int:
    """Round an estimate to whole seconds that a caller can be told."""
    return min(max(math.ceil(seconds), SHORTEST), LONGEST)
