"""The journal of a backfill: which IDs were requested, and the outcome of each.

The file survives a kill at any instant. It has one JSON object per line. The first identifies the
IDs by a digest. ``requested`` counts the IDs, from the first on, that the daemon has accepted or
rejected. ``ended`` is the row of one ID. Nothing is ever rewritten.
"""

import fcntl
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Self

from fraudd.client import Prediction
from fraudd.prediction.formats import rfc3339

_FORMAT = "fraudd backfill 1"
#: The first bytes of every journal. A kill may have left fewer of them.
_BEGINNING = json.dumps({"journal": _FORMAT}).removesuffix("}").encode()


class JournalError(Exception):
    """A journal from which the backfill cannot resume. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """The outcome of an ID: a line of the results."""

    entity_id: str
    status: str
    score: float | None = None
    decision: str | None = None
    model: str | None = None
    scored_at: str | None = None
    error: str | None = None


def row_of(prediction: Prediction) -> Row:
    """Make the row of a run that ended. A failed run has no result of its own."""
    if prediction.error is not None:
        error = f"{prediction.error.type}: {prediction.error.detail}"
        return Row(prediction.entity_id, prediction.status, error=error)
    if (result := prediction.result) is None:
        return Row(prediction.entity_id, prediction.status)
    return Row(
        prediction.entity_id,
        prediction.status,
        result.score,
        result.decision,
        result.model,
        rfc3339(round(result.scored_at.timestamp() * 1000)),
    )


class Journal:
    """The journal of one list of IDs, locked for this process.

    Raises ``JournalError`` if the file belongs to other IDs, is in use, or is not a journal.
    Raises ``OSError`` if the file cannot be opened.
    """

    def __init__(self, path: Path, entity_ids: Sequence[str]) -> None:
        self.path = path
        #: The number of IDs, from the first on, that were requested.
        self.requested = 0
        #: The IDs that have ended.
        self.ended: set[str] = set()
        self._file = path.open("ab", buffering=0)
        try:
            self._lock()
            self._drop_partial_line()
            self._read(hashlib.sha256("\n".join(entity_ids).encode()).hexdigest())
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        """Return the open journal."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def append(self, *, requested: int | None = None, ended: Sequence[Row] = ()) -> None:
        """Append progress: the number of IDs requested so far, rows that have ended, or both."""
        lines: list[dict[str, Any]] = [{"ended": astuple(row)} for row in ended]
        self.ended.update(row.entity_id for row in ended)
        if requested is not None:
            lines.append({"requested": requested})
            self.requested = requested
        self._write(lines)

    def rows(self) -> Iterator[Row]:
        """Yield the outcomes in the order in which the runs ended."""
        for line in self._lines():
            if "ended" in line:
                yield Row(*line["ended"])

    def remove(self) -> None:
        """Delete the file: nothing is left to resume."""
        self.path.unlink(missing_ok=True)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(f"{self.path}: another backfill is using this journal") from None

    def _drop_partial_line(self) -> None:
        """Drop the last line if a kill cut it off. Its IDs are then requested again.

        A file that is not a journal stays whole: it may be the input itself.
        """
        content = self.path.read_bytes()
        if not (content.startswith(_BEGINNING) or _BEGINNING.startswith(content)):
            raise self._not_a_journal()
        self._file.truncate(content.rfind(b"\n") + 1)

    def _read(self, digest: str) -> None:
        lines = self._lines()
        try:
            header = next(lines, None)
            if header is None:
                self._write([{"journal": _FORMAT, "ids": digest}])
                return
            if header["ids"] != digest:
                raise JournalError(
                    f"{self.path} is the journal of other IDs. Remove it to start from the"
                    " beginning, or name another file with --journal"
                )
            for line in lines:
                self.requested = line.get("requested", self.requested)
                if "ended" in line:
                    self.ended.add(line["ended"][0])
        except (ValueError, KeyError, AttributeError, TypeError):
            raise self._not_a_journal() from None

    def _not_a_journal(self) -> JournalError:
        return JournalError(
            f"{self.path} is not a journal of a backfill, or is damaged. Name another file with"
            " --journal"
        )

    def _lines(self) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as file:
            for line in file:
                yield json.loads(line)

    def _write(self, lines: Sequence[dict[str, Any]]) -> None:
        # A write survives the end of this process. A power cut may lose it: the IDs are then
        # requested again.
        data = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
        try:
            while data:
                # A disk that is almost full accepts a part, and rejects the rest.
                data = data[self._file.write(data) :]
        except OSError:
            self._drop_partial_line()
            raise
