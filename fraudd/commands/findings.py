"""What ``fraudd check`` finds, and how it is told."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from fraudd.ports import Misconfigured, RunError, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: a sentence that names it, and the remedy if it needs one."""

    verdict: Literal["ok", "note", "problem"]
    detail: str


class Findings:
    """All that was found; each finding is shown as it comes."""

    def __init__(self, show: Callable[[Finding], None]) -> None:
        self.all: list[Finding] = []
        self._show = show

    def ok(self, detail: str) -> None:
        """Tell what is as it should be."""
        self._add(Finding(verdict="ok", detail=detail))

    def note(self, detail: str) -> None:
        """Tell what works, but could be better, or could not be looked at."""
        self._add(Finding(verdict="note", detail=detail))

    def problem(self, detail: str) -> None:
        """Tell what will not work."""
        self._add(Finding(verdict="problem", detail=detail))

    @property
    def bad(self) -> bool:
        """Whether there is any problem."""
        return any(finding.verdict == "problem" for finding in self.all)

    @contextmanager
    def caught(self, where: str = "", *, remedy: str = "") -> Iterator[None]:
        """Make a problem of what cannot be used or reached; the block ends, the check goes on.

        The remedy is added where the error does not name a part of the configuration itself.
        """
        try:
            yield
        except Misconfigured as error:
            for problem in error.problems:
                self.problem(f"{where}{problem}")
        except (Unavailable, RunError) as error:
            detail = error.detail if isinstance(error, RunError) else str(error)
            self.problem(f"{where}{detail}" + ("" if "see [" in detail else remedy))

    def _add(self, finding: Finding) -> None:
        self.all.append(finding)
        self._show(finding)
