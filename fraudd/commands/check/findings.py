"""Findings of ``fraudd check``: collected, shown and counted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

from fraudd.aws.provisioning.describe import Denied
from fraudd.errors import Misconfigured, RunError, Unavailable

#: ``warning``: it works but should be better, or could not be checked. ``failed``: will not work.
Level = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The state of one part, which ``detail`` names first, and how to fix it."""

    level: Level
    detail: str
    fix: str = ""


def ok(detail: str) -> Finding:
    """Make a finding about a part that will work."""
    return Finding(level="ok", detail=detail)


def warning(detail: str, *, fix: str = "") -> Finding:
    """Make a finding about a part that should be better, or that could not be checked."""
    return Finding(level="warning", detail=detail, fix=fix)


def failed(detail: str, *, fix: str = "") -> Finding:
    """Make a finding about a part that will not work, or that breaks a promise."""
    return Finding(level="failed", detail=detail, fix=fix)


class Findings:
    """All findings so far. Each one is shown at once."""

    def __init__(self, show: Callable[[Finding], None]) -> None:
        self.all: list[Finding] = []
        self._show = show

    def add(self, *findings: Finding) -> None:
        """Add findings, and show them."""
        for finding in findings:
            self.all.append(finding)
            self._show(finding)

    @property
    def any_failed(self) -> bool:
        """Whether any part failed."""
        return any(finding.level == "failed" for finding in self.all)

    @property
    def summary(self) -> str:
        """The number of findings of each level: ``27 ok, 1 warning, 0 failed``."""
        levels = [finding.level for finding in self.all]
        return ", ".join(f"{levels.count(level)} {level}" for level in get_args(Level))

    @contextmanager
    def caught(self, part: str = "", *, fix: str = "") -> Iterator[None]:
        """Turn an error of the block into a finding. The check goes on.

        ``part`` replaces the name of the part in an error. ``fix`` applies if the error does not
        name a configuration section itself.
        """
        try:
            yield
        except Misconfigured as error:
            self.add(*(failed(f"{part}{problem}") for problem in error.problems))
        except (Unavailable, RunError) as error:
            detail = str(error) if isinstance(error, Unavailable) and not part else error.detail
            self.add(failed(f"{part}{detail}", fix="" if "see [" in detail else fix))
        except Denied as error:
            self.add((failed if error.daemon_needs_it else warning)(f"{part}{error}"))
