"""The system's clock. All other modules get a clock as a parameter."""

import time


class SystemClock:
    """Wall-clock and monotonic time of this machine."""

    def now(self) -> int:
        """Wall-clock time in epoch milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()
