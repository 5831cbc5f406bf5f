"""How far a backfill is, in one line of the terminal."""

import shutil
import sys

from fraudd.ports import Clock

#: Oftener nobody reads it.
_EVERY_SECONDS = 0.2
#: Of the bar, where the terminal has room for it.
_WIDTH = 30
_ERASE = "\r\x1b[K"


class Progress:
    """Shows a bar, the rate and the time left on standard error, where that is a terminal."""

    def __init__(self, total: int, ended_before: int, clock: Clock) -> None:
        self._total = total
        self._ended_before = ended_before
        self._clock = clock
        self._began = clock.monotonic()
        self._shown_at = float("-inf")
        self._on_a_terminal = sys.stderr.isatty()

    def show(self, *, asked: int, ended: int) -> None:
        """Show how many were asked for and have ended by now."""
        now = self._clock.monotonic()
        if not self._on_a_terminal or now - self._shown_at < _EVERY_SECONDS:
            return
        self._shown_at = now
        line = drawn(
            total=self._total,
            asked=asked,
            ended=ended,
            rate=(ended - self._ended_before) / max(now - self._began, 0.001),
            # A line that fills the last column wraps, and what has wrapped is not erased.
            width=shutil.get_terminal_size().columns - 1,
        )
        print(f"{_ERASE}{line}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Make room for another line."""
        if self._on_a_terminal:
            print(_ERASE, end="", file=sys.stderr, flush=True)
            self._shown_at = float("-inf")


def drawn(*, total: int, asked: int, ended: int, rate: float, width: int) -> str:
    """Draw the line, of ``width`` characters at most; ``rate`` is how many ended a second."""
    left = f"  {_spoken((total - ended) / rate)} left" if rate > 0 else ""
    told = f"{ended:,} of {total:,} ended, {asked:,} asked for, {rate:.1f}/s{left}"
    length = max(0, min(_WIDTH, width - len(told) - len("[] ")))
    full = length * ended // total if total else length
    return f"[{'#' * full}{'.' * (length - full)}] {told}"[-width:]


def _spoken(seconds: float) -> str:
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{whole:02d}"
