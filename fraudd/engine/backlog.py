"""Counts the pending runs of a lane, and estimates how long a run will take.

Pure: time is an argument.
"""

import math
from bisect import bisect_right
from collections import deque

#: Bounds of an estimate in seconds.
MIN_ESTIMATE_SECONDS, MAX_ESTIMATE_SECONDS = 1, 300
#: Weight of the newest run in the mean. About the last ten runs count.
_NEWEST_WEIGHT = 0.2
#: Runs that are opened within so short a time share a point.
_POINT_MS = 50
#: The maximum number of points: at least eight minutes of runs.
_MAX_POINTS = 10_000


class RunTimes:
    """The moving mean of how long a run holds its permit, in seconds."""

    def __init__(self, first_guess_seconds: float = 2.0) -> None:
        self.mean_seconds = first_guess_seconds
        self._count = 0

    def add(self, seconds: float) -> None:
        """Add a run. The first run replaces the guess."""
        self._count += 1
        self.mean_seconds += max(_NEWEST_WEIGHT, 1 / self._count) * (seconds - self.mean_seconds)


class Backlog:
    """How many runs are pending, and how many of them were requested before a given time.

    The queue is sampled rarely. Between samples, each run that this daemon opens or ends is
    counted. For each run that ends here, one is assumed to end at each other daemon of the fleet.

    Runs end in the order of their requests. So two facts are enough: a line of points (time,
    number of runs opened until then), and the number of runs that have ended.

        opened  |          .-'
                |       .-'      pending_until(t) = opened until t - ended
        ended   |----.-'- - -
                |  .'
                +--------t----- time

    Times are epoch milliseconds.
    """

    def __init__(self, *, fleet_size: int) -> None:
        self._fleet_size = fleet_size
        #: The number of runs opened so far, as far as known.
        self.opened = 0
        self._ended = 0
        self._sampled_at = 0
        self._points: deque[tuple[int, int]] = deque(maxlen=_MAX_POINTS)

    @property
    def pending(self) -> int:
        """The number of pending runs."""
        return self.opened - self._ended

    def run_opened(self, at: int, count: int = 1) -> None:
        """Count runs that were opened at a time."""
        self.opened += count
        if self._points and at - self._points[-1][0] < _POINT_MS:
            at, _ = self._points.pop()
        self._points.append((at, self.opened))

    def run_ended(self) -> None:
        """Count a run that ended at this daemon."""
        self._ended = min(self.opened, self._ended + self._fleet_size)

    def sampled(self, pending: int, now: int) -> None:
        """Correct the count by a sample of the queue.

        Runs that the sample has and the count has not were opened at other daemons. They are
        spread evenly over the time since the previous sample, so each point since then rises by
        its fraction of them:

            opened  |            /  now: + unseen
                    |          /.-  at: + unseen * fraction
                    |        /.-    the line so far
                    |------'        previous sample: + 0
        """
        if (unseen := pending - self.pending) > 0:
            points_since_sample = []
            while self._points and self._points[-1][0] > self._sampled_at:
                points_since_sample.append(self._points.pop())
            ms_since_sample = max(now - self._sampled_at, 1)
            for at, opened in reversed(points_since_sample):
                fraction = min((at - self._sampled_at) / ms_since_sample, 1)
                self._points.append((at, opened + round(unseen * fraction)))
            self.run_opened(now, unseen)
        self._ended = self.opened - pending
        self._sampled_at = now

    def pending_until(self, requested_at: int) -> int:
        """Return the number of pending runs requested until a time, including the run of that time.

        Between two points, runs are assumed to be opened evenly.
        """
        index = bisect_right(self._points, requested_at, key=lambda point: point[0])
        if index == len(self._points):
            opened: float = self.opened
        elif index == 0:
            opened = self._points[0][1]
        else:
            (begin, opened_before), (end, opened_after) = (
                self._points[index - 1],
                self._points[index],
            )
            fraction = (requested_at - begin) / (end - begin)
            opened = opened_before + (opened_after - opened_before) * fraction
        return max(math.ceil(opened) - self._ended, 1)


def estimated_seconds(
    *, waiting: int, mean_run_seconds: float, permits: int, fleet_size: int
) -> int:
    """Estimate when the last of ``waiting`` pending runs ends. It takes at least one run's time."""
    seconds = max(waiting / (permits * fleet_size), 1) * mean_run_seconds
    return bounded(seconds)


def bounded(seconds: float) -> int:
    """Round an estimate up to whole seconds within its bounds."""
    return min(max(math.ceil(seconds), MIN_ESTIMATE_SECONDS), MAX_ESTIMATE_SECONDS)
