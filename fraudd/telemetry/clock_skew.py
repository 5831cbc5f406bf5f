"""Measures the clock skew of this machine against the ``Date`` of AWS responses."""

from fraudd.prediction.record import SKEW_MARGIN_MS


class ClockSkew:
    """The clock skew that the responses prove. Times are epoch milliseconds."""

    def __init__(self) -> None:
        #: Above 0: this clock is ahead of AWS.
        self._skew_ms = 0
        #: Whether a response has been compared.
        self.compared = False

    def answered(self, *, date: int, sent: int, received: int) -> None:
        """Compare a response: its ``date`` in whole seconds, and when the call began and ended.

        AWS wrote the response during the call, at some time within the second of ``date``. Only
        a difference that this does not explain is skew.
        """
        self.compared = True
        ahead_ms = sent - (date + 999)
        behind_ms = date - received
        self._skew_ms = ahead_ms if ahead_ms > 0 else -behind_ms if behind_ms > 0 else 0

    @property
    def off_seconds(self) -> float:
        """The smallest possible skew. Above 0: this clock is ahead of AWS."""
        return self._skew_ms / 1000

    @property
    def blocked_by(self) -> str | None:
        """Describe a skew beyond the margin of leases. None: the skew is within it."""
        if abs(self._skew_ms) <= SKEW_MARGIN_MS:
            return None
        direction = "ahead of" if self._skew_ms > 0 else "behind"
        seconds = abs(self._skew_ms) / 1000
        return f"the clock is {seconds:.1f} s {direction} AWS: synchronize it with NTP"
