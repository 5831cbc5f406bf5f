"""How much each caller may do: token buckets, one a key, in bounded memory.

Pure: time is an argument, in seconds of a monotonic clock.
"""

from collections import OrderedDict

#: Of the callers seen last; a bucket takes some 200 bytes.
_MAX_KEYS = 10_000


class Buckets:
    """A bucket for each key holds ``burst`` and is refilled by ``per_second``."""

    def __init__(self, *, per_second: float, burst: float, most_keys: int = _MAX_KEYS) -> None:
        self._per_second = per_second
        self._burst = burst
        self._most_keys = most_keys
        #: What is left, and when that was; the key used longest ago first.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def take(self, key: str, now: float) -> float:
        """Take one from the key's bucket; gives 0, or after how many seconds there will be one.

        A key that was forgotten for others finds its bucket full.
        """
        left, at = self._left.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        taken = left >= 1
        self._left[key] = (left - 1 if taken else left, now)
        if len(self._left) > self._most_keys:
            self._left.popitem(last=False)
        return 0.0 if taken else (1 - left) / self._per_second
