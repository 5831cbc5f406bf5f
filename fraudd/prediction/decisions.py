"""What a request for a score comes to, and what a message comes to, given the record.

Two tables and nothing else: the callers carry out what is decided here.
"""

from dataclasses import dataclass
from typing import Literal

from fraudd.prediction.record import ALONE_FROM_DEATHS, SKEW_MARGIN_MS, Record, dead_at
from fraudd.prediction.retry import Limits
from fraudd.prediction.transitions import attempts_claimed, deaths_claimed

#: A backlog that is slow to drain is swept ever more rarely, up to 32 times so.
MAX_DOUBLINGS = 5

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
    """The message wakes a run that may be worked on now; ``alone``: with nothing beside it."""

    record: Record
    alone: bool = False


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
class HandOver:
    """This very message is in hand here already: its holder goes on with the newer receipt."""


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
class AskAgain:
    """Another service asks while a run may have read already: its end is to open the next."""

    record: Record


@dataclass(frozen=True, slots=True)
class Promote:
    """Another service asks, and the run that covers it waits in the bulk lane: it need not."""

    record: Record


@dataclass(frozen=True, slots=True)
class Drop:
    """Nothing is owed to this message: delete it."""

    reason: Literal["superseded", "covered", "entity_deleted"]


OnMessage = Claim | GiveUp | GiveBack | HandOver | Announce | Open | AskAgain | Promote | Drop


def on_message(
    record: Record | None,
    run_id: str | None,
    *,
    now: int,
    asked_at: int,
    holder: str | None,
    steal_from: int,
    limits: Limits,
) -> OnMessage:
    """Decide on a message that wakes ``run_id``; None is a request from another service.

    ``asked_at`` is when the message was sent. ``holder`` is the claim that this daemon holds by
    this very message, if any. Before ``steal_from`` a dead lease is left alone. All are epoch
    milliseconds.
    """
    if run_id is None:
        return _on_foreign_request(record, asked_at)
    if record is None:
        return Drop("superseded")
    if record.state == "deleted":
        return Drop("entity_deleted")
    verdicts = (record.result, record.error)
    if any(verdict is not None and verdict["run_id"] == run_id for verdict in verdicts):
        return Announce(record, run_id)
    if record.run_id != run_id or not record.pending:
        return Drop("superseded")
    if record.state == "queued" and record.not_before is not None and now < record.not_before:
        return GiveBack(record.not_before)
    if record.state == "running":
        if holder is not None and holder == record.worker:
            return HandOver()
        if now <= (until := max(dead_at(record), steal_from)):
            return GiveBack(max(until, now + 1000))
    return _claim_or_give_up(record, now, limits)


def _on_foreign_request(record: Record | None, asked_at: int) -> OnMessage:
    if record is not None and record.deleted_at is not None:
        before = asked_at <= record.deleted_at + SKEW_MARGIN_MS
        return Drop("entity_deleted") if before else Open(record)
    if record is None or not record.pending:
        return Open(record)
    if record.state == "running":
        return AskAgain(record)
    return Promote(record) if record.lane == "bulk" else Drop("covered")


def _claim_or_give_up(record: Record, now: int, limits: Limits) -> Claim | GiveUp:
    if attempts_claimed(record) > limits.max_attempts:
        return GiveUp(record, "exhausted")
    # Who asks in bulk waits for as long as it takes.
    may_expire = record.started_at is None and record.lane != "bulk"
    if may_expire and limits.max_wait_seconds is not None:
        # The first wake-up may be late: for lack of a topic, or of whoever asked in a hurry.
        asked_at = record.requested_at
        if record.requeues == 0 and record.published_at is not None:
            asked_at = max(asked_at, record.published_at)
        if now - asked_at > limits.max_wait_seconds * 1000:
            return GiveUp(record, "expired")
    return Claim(record, alone=deaths_claimed(record) >= ALONE_FROM_DEATHS)


def lost(record: Record, *, now: int, requeue_after_seconds: float, emptied_at: int | None) -> bool:
    """Tell whether the sweeper should send the wake-up of a pending run again.

    ``emptied_at`` is when the earlier began of two looks in a row that found no message at all
    in the queue, epoch milliseconds; None where they did not. What it comes after is lost.
    """
    if not record.pending:
        return False
    due = (record.not_before or 0) if record.state == "queued" else dead_at(record)
    if now <= due:
        return False
    if record.published_at is None:
        return True
    sent = max(record.published_at, due)
    if record.requeues == 0 and emptied_at is not None and emptied_at > sent + SKEW_MARGIN_MS:
        return True
    wait_seconds: float = requeue_after_seconds * 2 ** min(record.requeues, MAX_DOUBLINGS)
    return now > sent + wait_seconds * 1000
