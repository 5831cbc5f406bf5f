"""How long a caller should wait before asking again: an honest ``Retry-After``."""

import math

#: Bounds of the estimate in seconds.
SHORTEST, LONGEST = 1, 300
#: Weight of the newest run in the mean; about the last ten runs count.
_NEWEST = 0.2


class RunTimes:
    """The moving mean of how long runs hold their permit, in seconds."""

    def __init__(self, first_guess_seconds: float = 2.0) -> None:
        self.mean_seconds = first_guess_seconds

    def add(self, seconds: float) -> None:
        """Count one run."""
        self.mean_seconds += _NEWEST * (seconds - self.mean_seconds)


def estimated_seconds(*, waiting: int, mean_run_seconds: float, permits: int, fleet: int) -> int:
    """Estimate when a run now pending ends, ``waiting`` runs (itself included) being owed."""
    seconds = waiting * mean_run_seconds / (permits * fleet)
    return min(max(math.ceil(seconds), SHORTEST), LONGEST)
