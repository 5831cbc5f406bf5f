"""Decides what to do about a request, a message, and a pending run, from the record alone.

The decisions are tables of values. Their users carry them out.
"""

from dataclasses import dataclass
from typing import Literal

from fraudd.prediction.record import ALONE_FROM_DEATHS, SKEW_MARGIN_MS, Record, dead_at
from fraudd.prediction.retry import Limits
from fraudd.prediction.transitions import attempts_claimed, deaths_claimed

#: Each re-sent wake-up message doubles the wait for the next one, up to 2^5 = 32 times. A backlog
#: that drains slowly would otherwise fill up with copies.
MAX_DOUBLINGS = 5
#: If the queue is empty, the copy is lost as well. The wait for the next one begins with this time,
#: doubles, and ends at ``requeue_after_seconds``.
FIRST_REPEAT_SECONDS = 30.0

OnRequest = Literal["start", "pending", "stored", "failed"]


def on_request(
    record: Record | None,
    *,
    now: int,
    max_age_seconds: float | None,
    force: bool,
    retry_failed_after_seconds: float,
) -> OnRequest:
    """Decide on a request for a score. ``record`` has no expired outcomes."""
    if record is None:
        return "start"
    if record.pending:
        return "pending"
    if force:
        return "start"
    if record.state == "failed":
        age = now - (record.finished_at or 0)
        return "failed" if age < retry_failed_after_seconds * 1000 else "start"
    assert record.result is not None, "a done record without its result is absent for readers"
    age = now - record.result["scored_at"]
    return "stored" if max_age_seconds is None or age <= max_age_seconds * 1000 else "start"


@dataclass(frozen=True, slots=True)
class Claim:
    """The message wakes a run: claim it. ``alone``: compute no other run meanwhile."""

    record: Record
    alone: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The run has no attempts left, or has expired: store it as failed."""

    record: Record
    type: Literal["exhausted", "expired"]


@dataclass(frozen=True, slots=True)
class Release:
    """The message comes too early: hide it until then (epoch milliseconds)."""

    until: int


@dataclass(frozen=True, slots=True)
class HandOver:
    """This daemon already works on the message: give the new receipt handle to that job."""


@dataclass(frozen=True, slots=True)
class Announce:
    """The run has ended: publish its completion event again, then delete the message."""

    record: Record
    run_id: str


@dataclass(frozen=True, slots=True)
class StartRun:
    """Another service requests a score, and no run is pending: start one, delete the message."""

    record: Record | None


@dataclass(frozen=True, slots=True)
class RunAgain:
    """Another service requests a score while the run may have read: its end starts the next."""

    record: Record


@dataclass(frozen=True, slots=True)
class Promote:
    """Another service requests a score, and the run waits in the bulk lane: promote it."""

    record: Record


@dataclass(frozen=True, slots=True)
class Drop:
    """The message needs no run: delete it."""

    reason: Literal["superseded", "covered", "entity_deleted"]


OnMessage = Claim | GiveUp | Release | HandOver | Announce | StartRun | RunAgain | Promote | Drop


def on_message(
    record: Record | None,
    run_id: str | None,
    *,
    now: int,
    sent_at: int,
    holder: str | None,
    steal_from: int,
    limits: Limits,
) -> OnMessage:
    """Decide on a message that wakes ``run_id``, or (None) is another service's request.

    ``holder`` is the fencing token of the job in this daemon that has the same message, if any.
    Until ``steal_from`` no expired lease is taken over. Times are epoch milliseconds.
    """
    if run_id is None:
        return _on_foreign_request(record, sent_at)
    if record is None:
        return Drop("superseded")
    if record.state == "deleted":
        return Drop("entity_deleted")
    outcomes = (record.result, record.error)
    if any(outcome is not None and outcome["run_id"] == run_id for outcome in outcomes):
        return Announce(record, run_id)
    if record.run_id != run_id or not record.pending:
        return Drop("superseded")
    if record.state == "queued" and record.not_before is not None and now < record.not_before:
        return Release(record.not_before)
    if record.state == "running":
        if holder is not None and holder == record.worker:
            return HandOver()
        if now <= (until := max(dead_at(record), steal_from)):
            return Release(max(until, now + 1000))
    return _claim_or_give_up(record, now, limits)


def _on_foreign_request(record: Record | None, sent_at: int) -> OnMessage:
    if record is not None and record.deleted_at is not None:
        before_deletion = sent_at <= record.deleted_at + SKEW_MARGIN_MS
        return Drop("entity_deleted") if before_deletion else StartRun(record)
    if record is None or not record.pending:
        return StartRun(record)
    if record.state == "running":
        return RunAgain(record)
    return Promote(record) if record.lane == "bulk" else Drop("covered")


def _claim_or_give_up(record: Record, now: int, limits: Limits) -> Claim | GiveUp:
    if attempts_claimed(record) > limits.max_attempts:
        return GiveUp(record, "exhausted")
    # A bulk run never expires: its client asked for it to wait.
    may_expire = record.started_at is None and record.lane != "bulk"
    if may_expire and limits.max_wait_seconds is not None:
        # The wait starts with the last wake-up message. An outage of SNS expires no run.
        waiting_since = max(record.requested_at, record.published_at or now)
        if now - waiting_since > limits.max_wait_seconds * 1000:
            return GiveUp(record, "expired")
    return Claim(record, alone=deaths_claimed(record) >= ALONE_FROM_DEATHS)


def is_lost(
    record: Record, *, now: int, requeue_after_seconds: float, emptied_at: int | None
) -> bool:
    """Return whether the sweeper should send the wake-up message of a record's run again.

    ``emptied_at`` (epoch milliseconds): the last two samples of the queue found no message, and the
    earlier one began then. A message sent before ``emptied_at`` is lost.
    """
    if not record.pending:
        return False
    due = (record.not_before or 0) if record.state == "queued" else dead_at(record)
    if now <= due:
        return False
    if record.published_at is None:
        return True
    sent = max(record.published_at, due)
    if emptied_at is not None and emptied_at > sent + SKEW_MARGIN_MS:
        # Copies that vanish, too, are sent again and again, but ever more rarely.
        repeat_seconds = min(requeue_after_seconds, FIRST_REPEAT_SECONDS * 2**record.requeues)
        if record.requeues == 0 or now > sent + repeat_seconds * 1000:
            return True
    wait_seconds: float = requeue_after_seconds * 2 ** min(record.requeues, MAX_DOUBLINGS)
    return now > sent + wait_seconds * 1000
