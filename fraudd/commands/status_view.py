"""The text of ``fraudd status``: lines, made from the response and the time."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from fraudd.commands.terminal import bar, clipped, duration

#: Width of the column of labels.
_LABEL_WIDTH = 12
#: A longer explanation is cut. The log has all of it.
_MAX_LINES = 3
#: A run ID, the longest phase (``waiting_alone``), and a day in seconds with tenths.
_RUN_WIDTH, _PHASE_WIDTH, _SECONDS_WIDTH = 26, 13, 8
#: A longer bar would not be more exact for a reader.
_MAX_BAR_WIDTH = 20
_BREAKER = {
    "closed": "closed: no outage, no systemic failure",
    "outage": "open: a dependency is unreachable; the daemon receives no messages",
    "fault": "open: every run fails; the daemon tries one message at a time",
}


def lines(status: Mapping[str, Any], *, url: str, now: datetime, width: int) -> Sequence[str]:
    """Describe the body of ``GET /v1/status`` in lines of up to ``width`` characters."""
    head = [*_daemon(status, url, now), *_breaker(status, width), *_load(status)]
    return [clipped(line, width) for line in [*head, "", *_runs(status["runs"], width)]]


def fitted(lines: Sequence[str], height: int) -> Sequence[str]:
    """Cut to ``height`` lines. The last one counts the lines that are missing."""
    if len(lines) <= height:
        return lines
    return [*lines[: height - 1], f"… {len(lines) - height + 1} more"]


def _daemon(status: Mapping[str, Any], url: str, now: datetime) -> Iterator[str]:
    age = (now - datetime.fromisoformat(status["started_at"])).total_seconds()
    yield f"fraudd {status['version']} at {url}"
    yield _line("state", f"{status['state']}, started {duration(age)} ago")
    yield _line("model", status["model"])
    if reload := status.get("reload"):
        yield _line("reload", f"{reload['outcome']} at {reload['at']}")


def _breaker(status: Mapping[str, Any], width: int) -> Iterator[str]:
    yield _line("breaker", _BREAKER.get(status["breaker"], status["breaker"]))
    yield from _paragraph("blocked by", status["blocked_by"] or "none", width)
    yield from _paragraph("index", status.get("index_problem") or "", width)
    problems = (status.get("reload") or {}).get("problems") or ()
    yield from _paragraph("refused", "; ".join(problems), width)


def _load(status: Mapping[str, Any]) -> Iterator[str]:
    permits, consumers = status["permits"], status["consumers"]
    reduced = "" if permits["limit"] == permits["max"] else f", reduced from {permits['max']}"
    # A poll holds a permit for the message that it may receive: an idle daemon uses one permit.
    poll = " by the poll" if permits["in_use"] and not status["runs"] else ""
    connections = status["database_connections"]
    yield ""
    yield _line(
        "permits",
        f"{_bar(permits['in_use'], permits['max'])} {permits['in_use']} of"
        f" {permits['limit']} in use{poll}{reduced};"
        f" {connections} connection{'' if connections == 1 else 's'} open",
    )
    yield _line(
        "consumers",
        f"{_bar(consumers['busy'], consumers['count'])} {consumers['busy']} of"
        f" {consumers['count']} busy",
    )
    yield _line("queue", _depth(status["queue"]))
    if "bulk_queue" in status:
        yield _line("bulk queue", _depth(status["bulk_queue"]))
    yield _line(
        "requests",
        f"{status['waiters']} waiting for a run;"
        f" a new run would end in about {duration(status['estimated_seconds'])}",
    )


def _bar(count: int, total: int) -> str:
    return bar(count, total, width=min(total, _MAX_BAR_WIDTH))


def _depth(depth: Mapping[str, int] | None) -> str:
    if depth is None:
        return "unknown (no sample yet, or SQS is unreachable)"
    counts = (
        f"{depth['visible']} waiting, {depth['in_flight']} in flight, {depth['delayed']} delayed"
    )
    dead = depth.get("dead_lettered")
    return counts if dead is None else f"{counts}; {dead} dead letters"


def _runs(runs: Sequence[Mapping[str, Any]], width: int) -> Iterator[str]:
    if not runs:
        yield "no run in progress"
        return
    entity_width = max(width - _RUN_WIDTH - _PHASE_WIDTH - _SECONDS_WIDTH - 3, 6)
    yield _row(entity_width, "ENTITY", "RUN", "PHASE", "SECONDS")
    for run in sorted(runs, key=lambda run: -float(run["seconds"])):
        entity = f"{run['entity_id'] or '-'}{' (bulk)' if run.get('lane') == 'bulk' else ''}"
        seconds = f"{run['seconds']:.1f}"
        yield _row(entity_width, entity, run["run_id"] or "-", run["phase"], seconds)


def _row(entity_width: int, entity: str, run_id: str, phase: str, seconds: str) -> str:
    return (
        f"{clipped(entity, entity_width):{entity_width}} {run_id:{_RUN_WIDTH}}"
        f" {phase:{_PHASE_WIDTH}} {seconds:>{_SECONDS_WIDTH}}"
    )


def _paragraph(label: str, text: str, width: int) -> Iterator[str]:
    """Fold a text next to its label. An empty text has no lines."""
    folded = textwrap.wrap(
        text, max(width - _LABEL_WIDTH, 20), max_lines=_MAX_LINES, placeholder=" …"
    )
    for number, part in enumerate(folded):
        yield _line("" if number else label, part)


def _line(label: str, text: str) -> str:
    return f"{label:{_LABEL_WIDTH}}{text}"
