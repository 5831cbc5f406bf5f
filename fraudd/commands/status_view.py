"""How ``fraudd status`` shows what a daemon does: lines of text, from the answer and the time."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

#: Names of what is shown stand in a column of this width.
_LABEL = 12
#: A reason that is longer is cut: the log has all of it.
_REASON_LINES = 3
#: An identifier of a run, the longest phase (``waiting_alone``), and a day in seconds with tenths.
_RUN, _PHASE, _SECONDS = 26, 13, 8
#: A bar of more would say no more.
_BAR = 20


def lines(status: Mapping[str, Any], *, url: str, now: datetime, width: int) -> Sequence[str]:
    """Show the body of ``GET /v1/status`` in lines of ``width`` characters at most."""
    shown = [*_daemon(status, url, now), *_trouble(status, width), *_work(status)]
    return [clipped(line, width) for line in [*shown, "", *_jobs(status["runs"], width)]]


def fitted(shown: Sequence[str], height: int) -> Sequence[str]:
    """Cut lines to ``height`` of them, the last saying how many more there are."""
    if len(shown) <= height:
        return shown
    return [*shown[: height - 1], f"… {len(shown) - height + 1} more"]


def clipped(text: str, width: int) -> str:
    """Cut a line to ``width`` characters, without what would steer a terminal."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return plain if len(plain) <= width else f"{plain[: width - 1]}…"


def duration(seconds: float) -> str:
    """Say how long that is, in two units."""
    whole = max(0, int(seconds))
    for unit, size, part, smaller in (
        ("d", 86_400, "h", 3_600),
        ("h", 3_600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller} {part}"
    return f"{whole} s"


def _daemon(status: Mapping[str, Any], url: str, now: datetime) -> Iterator[str]:
    since = (now - datetime.fromisoformat(status["started_at"])).total_seconds()
    yield f"fraudd {status['version']} at {url}"
    yield _line("state", f"{status['state']}, started {duration(since)} ago")
    yield _line("model", status["model"])
    if reload := status.get("reload"):
        yield _line("reload", f"{reload['outcome']} at {reload['at']}")


def _trouble(status: Mapping[str, Any], width: int) -> Iterator[str]:
    yield _line("breaker", _BREAKER.get(status["breaker"], status["breaker"]))
    refused = "; ".join((status.get("reload") or {}).get("problems") or ())
    for label, why in (("blocked by", status["blocked_by"] or "none"), ("refused", refused)):
        if why:
            folded = textwrap.wrap(
                why, max(width - _LABEL, 20), max_lines=_REASON_LINES, placeholder=" …"
            )
            yield from (_line("" if number else label, part) for number, part in enumerate(folded))


_BREAKER = {
    "closed": "closed: messages are taken",
    "outage": "open: something is out of reach, no messages are taken",
    "fault": "open: every run fails, one message at a time is tried",
}


def _work(status: Mapping[str, Any]) -> Iterator[str]:
    permits, consumers = status["permits"], status["consumers"]
    limited = "" if permits["limit"] == permits["max"] else f", of {permits['max']} at best"
    # A message is asked for only with a permit to work on it: a daemon at rest holds one.
    holder = " by the poll" if permits["in_use"] and not status["runs"] else ""
    connections = status["database_connections"]
    yield ""
    yield _line(
        "permits",
        f"{_bar(permits['in_use'], permits['max'])} {permits['in_use']} of"
        f" {permits['limit']} taken{holder}{limited};"
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
        "callers",
        f"{status['waiters']} wait for a run;"
        f" one asked for now ends in about {duration(status['estimated_seconds'])}",
    )


def _depth(depth: Mapping[str, int] | None) -> str:
    if depth is None:
        return "not seen: it does not answer, or was not asked yet"
    waiting = f"{depth['visible']} wait, {depth['in_flight']} in hand, {depth['delayed']} delayed"
    dead = depth.get("dead_lettered")
    return waiting if dead is None else f"{waiting}; {dead} dead letters"


def _jobs(jobs: Sequence[Mapping[str, Any]], width: int) -> Iterator[str]:
    if not jobs:
        yield "no message in hand"
        return
    entity = max(width - _RUN - _PHASE - _SECONDS - 3, 6)
    yield _row(entity, "ENTITY", "RUN", "PHASE", "SECONDS")
    for job in sorted(jobs, key=lambda job: -float(job["seconds"])):
        name = f"{job['entity_id'] or '-'}{' (bulk)' if job.get('lane') == 'bulk' else ''}"
        yield _row(entity, name, job["run_id"] or "-", job["phase"], f"{job['seconds']:.1f}")


def _row(entity: int, name: str, run_id: str, phase: str, seconds: str) -> str:
    return (
        f"{clipped(name, entity):{entity}} {run_id:{_RUN}} {phase:{_PHASE}} {seconds:>{_SECONDS}}"
    )


def _line(label: str, text: str) -> str:
    return f"{label:{_LABEL}}{text}"


def _bar(used: int, most: int) -> str:
    length = min(most, _BAR)
    full = min(length, -(-used * length // most)) if most else 0
    return f"[{'#' * full}{'.' * (length - full)}]"
