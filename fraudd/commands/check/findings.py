"""What ``fraudd check`` finds, and how it is told."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

from fraudd.aws.provisioning.describe import Denied
from fraudd.errors import Misconfigured, RunError, Unavailable

#: As it should be; works, but should be better, or could not be looked at; will not work.
Verdict = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: a sentence that names it, and the remedy if it needs one."""

    verdict: Verdict
    detail: str


def ok(detail: str) -> Finding:
    """Tell what is as it should be."""
    return Finding(verdict="ok", detail=detail)


def warning(detail: str) -> Finding:
    """Tell what works, but should be better, or could not be looked at."""
    return Finding(verdict="warning", detail=detail)


def failed(detail: str) -> Finding:
    """Tell what will not work, or breaks a promise."""
    return Finding(verdict="failed", detail=detail)


class Findings:
    """All that was found; each finding is shown as it comes."""

    def __init__(self, show: Callable[[Finding], None]) -> None:
        self.all: list[Finding] = []
        self._show = show

    def add(self, *findings: Finding) -> None:
        """Take findings in, and show them."""
        for finding in findings:
            self.all.append(finding)
            self._show(finding)

    @property
    def bad(self) -> bool:
        """Whether anything failed."""
        return any(finding.verdict == "failed" for finding in self.all)

    @property
    def summary(self) -> str:
        """How many findings there are of each verdict: ``27 ok, 1 warning, 0 failed``."""
        verdicts = [finding.verdict for finding in self.all]
        return ", ".join(f"{verdicts.count(one)} {one}" for one in get_args(Verdict))

    @contextmanager
    def caught(self, where: str = "", *, remedy: str = "") -> Iterator[None]:
        """Tell what cannot be used, reached or seen; the block ends, the check goes on.

        ``where`` takes the place of the part that an error names; the remedy is added where the
        error does not name a part of the configuration itself.
        """
        try:
            yield
        except Misconfigured as error:
            self.add(*(failed(f"{where}{problem}") for problem in error.problems))
        except (Unavailable, RunError) as error:
            detail = str(error) if isinstance(error, Unavailable) and not where else error.detail
            self.add(failed(f"{where}{detail}" + ("" if "see [" in detail else remedy)))
        except Denied as error:
            self.add((failed if error.daemon_needs_it else warning)(f"{where}{error}"))
