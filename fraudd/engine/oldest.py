"""How long the oldest pending runs have been owed, as the sweeper comes by them.

Pure: time is an argument, in epoch milliseconds.
"""

from collections.abc import Iterable


class OldestPending:
    """Remembers, for each partition of the index and each lane, the oldest pending run in it."""

    def __init__(self) -> None:
        #: When the oldest was asked for, by partition and lane.
        self._asked_at: dict[int, dict[str, int]] = {}
        #: The same of the partition that is gone through now, as far as it has been seen.
        self._so_far: dict[str, int] = {}

    def saw(self, shard: int, page: Iterable[tuple[str, int]], *, more: bool) -> None:
        """Take in a page of a partition: lane and time of asking of what is pending in it.

        What was known of the partition before counts until its last page (``more`` is false).
        """
        known = self._asked_at.setdefault(shard, {})
        for lane, asked_at in page:
            self._so_far[lane] = min(asked_at, self._so_far.get(lane, asked_at))
            known[lane] = min(asked_at, known.get(lane, asked_at))
        if not more:
            self._asked_at[shard], self._so_far = self._so_far, {}

    def seconds(self, lane: str, now: int) -> float:
        """Give the age of the oldest pending run of a lane; 0 where none was seen."""
        asked_at = [known[lane] for known in self._asked_at.values() if lane in known]
        return max(0, now - min(asked_at)) / 1000 if asked_at else 0.0
