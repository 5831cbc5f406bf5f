"""What a daemon does right now, in the one line that ``systemctl status`` shows."""

from dataclasses import dataclass
from typing import Literal

from fraudd.prediction.formats import rfc3339

#: systemd keeps a line of any length; an operator reads this much of one.
_MAX_CHARACTERS = 400

Phase = Literal["serving", "reloading", "draining", "closing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A reload that came to nothing: when (epoch milliseconds), and why."""

    at: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """What a daemon does right now."""

    phase: Phase
    address: str
    jobs: int
    consumers: int
    #: Why no messages are taken; None: they are.
    blocked_by: str | None
    #: Messages that wait in the queue; None: nobody knows.
    waiting: int | None
    model: str
    #: The last reload, where it was refused.
    refusal: Refusal | None


def status_line(doing: Doing) -> str:
    """Say it in one line, what matters most first."""
    line = "; ".join(_parts(doing))
    shown = "".join(character if character.isprintable() else " " for character in line)
    return shown if len(shown) <= _MAX_CHARACTERS else shown[: _MAX_CHARACTERS - 1] + "…"


def _parts(doing: Doing) -> list[str]:
    match doing.phase:
        case "draining":
            return [f"draining: {_jobs(doing.jobs)} left", f"still serving at {doing.address}"]
        case "closing":
            return ["closing: the last callers are answered"]
    blocked_by = f", taking no messages: {doing.blocked_by}" if doing.blocked_by else ""
    return [
        f"{doing.phase} at {doing.address}{blocked_by}"
        if doing.phase == "serving"
        else f"reloading, still serving at {doing.address}{blocked_by}",
        f"{doing.jobs} of {doing.consumers} consumers busy",
        "queue unknown" if doing.waiting is None else f"{doing.waiting} waiting in the queue",
        f"model {doing.model}",
        *_refused(doing.refusal),
    ]


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


def _refused(refusal: Refusal | None) -> list[str]:
    if refusal is None:
        return []
    more = len(refusal.problems) - 1
    others = f" (and {more} more)" if more else ""
    return [f"refused the reload of {rfc3339(refusal.at)}: {refusal.problems[0]}{others}"]
