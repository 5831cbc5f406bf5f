"""Progress of a backfill: a line in the terminal, problems, and the summary."""

import shutil
import sys
from collections import Counter

from fraudd.client import Prediction
from fraudd.commands.backfill.journal import Journal, Row
from fraudd.commands.daemon_call import show
from fraudd.commands.terminal import ERASE_LINE, bar, duration, say
from fraudd.ports import Clock

#: Nobody reads faster changes.
_REFRESH_SECONDS = 0.2
#: Width of the bar, if the terminal has room for it.
_MAX_BAR_WIDTH = 30


class Report:
    """Reports each ID that ends, and the progress if standard error is a terminal."""

    def __init__(self, journal: Journal, total: int, *, clock: Clock, as_json: bool) -> None:
        self._journal = journal
        self._total = total
        self._as_json = as_json
        self._statuses = Counter(row.status for row in journal.rows())
        self._ended_before = len(journal.ended)
        self._clock = clock
        self._started_at = clock.monotonic()
        self._drawn_at = float("-inf")
        self._is_terminal = sys.stderr.isatty()

    @property
    def done(self) -> int:
        """The number of IDs that have a score."""
        return self._statuses["done"]

    def ended(self, row: Row, prediction: Prediction | None) -> None:
        """Count an ID that ended. Print its problem, or its prediction as JSON."""
        self._statuses[row.status] += 1
        if row.status != "done":
            self.clear()
            say(f"{row.entity_id}  {row.status}  {row.error or ''}".rstrip())
        if self._as_json and prediction is not None:
            show(prediction, as_json=True)
        self._draw()

    def clear(self) -> None:
        """Erase the line of progress."""
        if self._is_terminal:
            print(ERASE_LINE, end="", file=sys.stderr, flush=True)
            self._drawn_at = float("-inf")

    def summary(self, *, invalid: int) -> str:
        """Count the IDs by outcome. ``invalid`` lines of the file had no ID."""
        statuses = self._statuses
        failed = statuses["failed"] + statuses["deleted"]
        pending = self._total - statuses.total()
        refused = statuses["refused"] + invalid
        return f"{statuses['done']} done, {failed} failed, {pending} pending, {refused} refused"

    def _draw(self) -> None:
        now = self._clock.monotonic()
        if not self._is_terminal or now - self._drawn_at < _REFRESH_SECONDS:
            return
        self._drawn_at = now
        ended = len(self._journal.ended)
        line = progress_line(
            total=self._total,
            requested=self._journal.requested,
            ended=ended,
            rate=(ended - self._ended_before) / max(now - self._started_at, 0.001),
            # A text in the last column would wrap, and a wrapped line cannot be erased.
            width=shutil.get_terminal_size().columns - 1,
        )
        print(f"{ERASE_LINE}{line}", end="", file=sys.stderr, flush=True)


def progress_line(*, total: int, requested: int, ended: int, rate: float, width: int) -> str:
    """Draw the progress in up to ``width`` characters. ``rate`` counts IDs per second."""
    remaining = f"  {duration((total - ended) / rate)} left" if rate > 0 else ""
    text = f"{ended:,} of {total:,} ended, {requested:,} requested, {rate:.1f}/s{remaining}"
    bar_width = max(0, min(_MAX_BAR_WIDTH, width - len(text) - len("[] ")))
    # Without IDs there is nothing left to do: the bar is full.
    progress = bar(ended if total else 1, total or 1, width=bar_width)
    return f"{progress} {text}"[-width:]
