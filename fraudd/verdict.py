"""What a request for a score comes to, and what a message comes to, given the record.

Two tables and nothing else: the callers carry out what is decided here.
"""

from dataclasses import dataclass
from typing import Literal

from fraudd.prediction import Record, dead_at

OnRequest = Literal["open", "pending", "stored", "failed"]


def on_request(
    record: Record | None,
    *,
    now: int,
    max_age_seconds: float | None,
    force: bool,
    retry_failed_after_seconds: float,
) -> OnRequest:
    """Decide on a request, given the record as a reader may see it."""
    if record is None:
        return "open"
    if record.pending:
        return "pending"
    if force:
        return "open"
    if record.state == "failed":
        since = now - (record.finished_at or 0)
        return "failed" if since < retry_failed_after_seconds * 1000 else "open"
    assert record.result is not None, "a reader sees no done record without its result"
    age = now - record.result["scored_at"]
    return "stored" if max_age_seconds is None or age <= max_age_seconds * 1000 else "open"


@dataclass(frozen=True, slots=True)
class Claim:
    """The message wakes a run that may be worked on now."""

    record: Record


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The run will not be worked on any more: store it as failed."""

    record: Record
    type: Literal["exhausted", "expired"]


@dataclass(frozen=True, slots=True)
class GiveBack:
    """The message comes too early: hide it until then (epoch milliseconds)."""

    until: int


@dataclass(frozen=True, slots=True)
class Announce:
    """The run has ended: announce its end again, then delete the message."""

    record: Record
    run_id: str


@dataclass(frozen=True, slots=True)
class Open:
    """Another service asks, and no run covers it: open one, then delete the message."""

    seen: Record | None


@dataclass(frozen=True, slots=True)
class Drop:
    """Nothing is owed to this message: delete it."""

    reason: Literal["superseded", "covered"]


OnMessage = Claim | GiveUp | GiveBack | Announce | Open | Drop


def on_message(
    record: Record | None,
    run_id: str | None,
    *,
    now: int,
    max_attempts: int,
    max_wait_seconds: float | None,
) -> OnMessage:
    """Decide on a message that wakes ``run_id``; None is a request from another service."""
    if run_id is None:
        return _on_foreign_request(record, now)
    if record is None:
        return Drop("superseded")
    verdicts = (record.result, record.error)
    if any(verdict is not None and verdict["run_id"] == run_id for verdict in verdicts):
        return Announce(record, run_id)
    if record.run_id != run_id or not record.pending:
        return Drop("superseded")
    if record.state == "queued" and record.not_before is not None and now < record.not_before:
        return GiveBack(record.not_before)
    if record.state == "running" and now <= dead_at(record):
        return _when_dead(record, now)
    if record.attempts >= max_attempts:
        return GiveUp(record, "exhausted")
    if record.started_at is None and _waited_too_long(record, now, max_wait_seconds):
        return GiveUp(record, "expired")
    return Claim(record)


def _on_foreign_request(record: Record | None, now: int) -> OnMessage:
    if record is None or not record.pending:
        return Open(record)
    if record.state == "queued":
        return Drop("covered")
    # A running run may have read its snapshot before this event was sent: look again at its end.
    return _when_dead(record, now)


def _when_dead(record: Record, now: int) -> GiveBack:
    return GiveBack(max(dead_at(record), now + 1000))


def _waited_too_long(record: Record, now: int, max_wait_seconds: float | None) -> bool:
    return max_wait_seconds is not None and now - record.requested_at > max_wait_seconds * 1000
