"""Whether this machine's clock can be trusted: compared with the ``Date`` of AWS's answers."""

from fraudd.prediction.record import SKEW_MARGIN_MS


class ClockSkew:
    """How far the clock is off, as far as the answers prove it. Times are epoch milliseconds."""

    def __init__(self) -> None:
        self._off_ms = 0
        #: Whether any answer came.
        self.compared = False

    def answered(self, *, date: int, sent: int, received: int) -> None:
        """Take in an answer: ``date`` in whole seconds, when it was asked for, when it came.

        It was written between the two, at some time within that second; what cannot be
        explained by either is the clock's fault.
        """
        self.compared = True
        ahead = sent - (date + 999)
        behind = date - received
        self._off_ms = ahead if ahead > 0 else -behind if behind > 0 else 0

    @property
    def off_seconds(self) -> float:
        """How far the clock is off at least: above 0 ahead of AWS, below 0 behind."""
        return self._off_ms / 1000

    @property
    def blocked_by(self) -> str | None:
        """Say that the clock is off by more than leases allow for; None where it is not."""
        if abs(self._off_ms) <= SKEW_MARGIN_MS:
            return None
        direction = "ahead of" if self._off_ms > 0 else "behind"
        seconds = abs(self._off_ms) / 1000
        return f"the clock is {seconds:.1f} s {direction} that of AWS: synchronise it (NTP)"
