"""The system's clock; everything else is given a clock."""

import time


class SystemClock:
    """Wall-clock and monotonic time of this machine."""

    def now(self) -> int:
        """Wall-clock time in epoch milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic()
