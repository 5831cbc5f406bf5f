"""What a backfill has asked for and what came of it, in a file that outlives a kill at any instant.

Lines of JSON: the first names the ids by a digest; ``asked`` says how many of them, from the first
on, have been answered for; ``ended`` is what came of one. Nothing is ever rewritten.
"""

import fcntl
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fraudd.client import Prediction
from fraudd.prediction.formats import rfc3339

_FORMAT = "fraudd backfill 1"
#: What each journal begins with, as far as it was written.
_BEGINNING = json.dumps({"journal": _FORMAT}).removesuffix("}").encode()


class Unusable(Exception):
    """A journal that cannot be gone on with; its text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """What came of an id: a line of the results."""

    entity_id: str
    status: str
    score: float | None = None
    decision: str | None = None
    model: str | None = None
    scored_at: str | None = None
    error: str | None = None


def row_of(prediction: Prediction) -> Row:
    """Make the row of a run that ended; a result of an earlier run is none of one that failed."""
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
    """The journal of one input, open for this process alone.

    Raises ``Unusable`` where the file is another input's, in use, or no journal; ``OSError`` where
    it cannot be opened.
    """

    def __init__(self, path: Path, entity_ids: Sequence[str]) -> None:
        self.path = path
        #: How many of the ids, from the first on, were asked for.
        self.asked = 0
        #: Which of them have ended.
        self.ended: set[str] = set()
        self._file = path.open("ab", buffering=0)
        try:
            self._lock()
            self._cut_the_torn_line()
            self._read(hashlib.sha256("\n".join(entity_ids).encode()).hexdigest())
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()

    def note(self, *, asked: int | None = None, ended: Sequence[Row] = ()) -> None:
        """Add what was answered: how many were asked for by now, which have ended, or both."""
        lines: list[dict[str, Any]] = [{"ended": astuple(row)} for row in ended]
        self.ended.update(row.entity_id for row in ended)
        if asked is not None:
            lines.append({"asked": asked})
            self.asked = asked
        self._write(lines)

    def rows(self) -> Iterator[Row]:
        """Give what came of the ids, in the order in which they ended."""
        for line in self._lines():
            if "ended" in line:
                yield Row(*line["ended"])

    def remove(self) -> None:
        """Delete the file: there is nothing left to go on with."""
        self.path.unlink(missing_ok=True)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unusable(f"{self.path}: another backfill is at work on it") from None

    def _cut_the_torn_line(self) -> None:
        """Drop the line that a kill may have cut off: what it told is asked for once more.

        Of a file that is no journal nothing is dropped: it may be the input itself.
        """
        content = self.path.read_bytes()
        if not (content.startswith(_BEGINNING) or _BEGINNING.startswith(content)):
            raise self._no_journal()
        self._file.truncate(content.rfind(b"\n") + 1)

    def _read(self, digest: str) -> None:
        lines = self._lines()
        try:
            header = next(lines, None)
            if header is None:
                self._write([{"journal": _FORMAT, "ids": digest}])
                return
            if header["ids"] != digest:
                raise Unusable(
                    f"{self.path} is the journal of other ids: remove it to begin anew, or name"
                    " another --journal"
                )
            for line in lines:
                self.asked = line.get("asked", self.asked)
                if "ended" in line:
                    self.ended.add(line["ended"][0])
        except (ValueError, KeyError, AttributeError, TypeError):
            raise self._no_journal() from None

    def _no_journal(self) -> Unusable:
        return Unusable(
            f"{self.path} is no journal of a backfill, or damaged: name another --journal"
        )

    def _lines(self) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as file:
            for line in file:
                yield json.loads(line)

    def _write(self, lines: Sequence[dict[str, Any]]) -> None:
        # What the system was given survives us; of what a power cut takes, the ids are asked for
        # once more.
        left = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
        try:
            while left:
                # A disk that is nearly full takes a part, and refuses the rest.
                left = left[self._file.write(left) :]
        except OSError:
            self._cut_the_torn_line()
            raise
