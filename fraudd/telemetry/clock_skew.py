"""Measures the clock skew of this machine against the ``Date`` of AWS responses."""

from fraudd.prediction.record import SKEW_MARGIN_MS

#: One odd ``Date``, of one server or of a proxy, decides nothing.
_ANSWERS = 2


class ClockSkew:
    """The clock skew that the responses prove. Times are epoch milliseconds.

    The clock is wrong if two responses in a row say so. One response that agrees with it is enough
    to trust it again.
    """

    def __init__(self) -> None:
        #: Above 0: this clock is ahead of AWS.
        self._skew_ms = 0
        #: The number of responses in a row that were beyond the margin.
        self._wrong = 0
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
        self._wrong = self._wrong + 1 if abs(self._skew_ms) > SKEW_MARGIN_MS else 0

    @property
    def in_doubt(self) -> bool:
        """Whether the last response says that the clock is wrong."""
        return self._wrong > 0

    @property
    def off_seconds(self) -> float:
        """The smallest possible skew. Above 0: this clock is ahead of AWS."""
        return self._skew_ms / 1000

    @property
    def blocked_by(self) -> str | None:
        """Describe a skew beyond the margin of leases. None: the clock is trusted."""
        if self._wrong < _ANSWERS:
            return None
        direction = "ahead of" if self._skew_ms > 0 else "behind"
        seconds = abs(self._skew_ms) / 1000
        return f"the clock is {seconds:.1f} s {direction} AWS: synchronize it with NTP"
