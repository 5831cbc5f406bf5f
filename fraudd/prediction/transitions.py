"""Every transition between the states of a record, as data.

Each one is a conditional write, whose condition names the run and the state that it leaves.
"""

from collections.abc import Mapping
from dataclasses import fields, replace

from fraudd.prediction.formats import new_traceparent
from fraudd.prediction.record import (
    ALONE_FROM_DEATHS,
    UNSENT_SHARD,
    Json,
    Lane,
    Proof,
    Record,
    Transition,
    Value,
    expired_outcomes,
    shard,
)

_UNSENT = f"pending#{UNSENT_SHARD}"


def opened(
    entity_id: str,
    stored: Record | None,
    *,
    run_id: str,
    now: int,
    traceparent: str | None = None,
    lane: Lane = "interactive",
) -> Transition:
    """Start a run if the record is still as it was read: ``stored`` (None: absent).

    A run without a ``traceparent`` starts its own trace.
    """
    expects: dict[str, Value | None] = {"run_id": None, "state": None, "deleted_at": None}
    sets = _opening(entity_id, run_id, requested_at=now, now=now)
    if stored is not None:
        expects = {name: getattr(stored, name) for name in expects}
        expects["run_id"] = stored.run_id or None
        sets |= dict.fromkeys(expired_outcomes(stored, now))
    if traceparent is not None:
        sets["traceparent"] = traceparent
    if lane == "bulk":
        sets["lane"] = lane
    return Transition(entity_id=entity_id, expects=expects, sets=sets, proof="run_id")


def unpublished(record: Record) -> Transition:
    """Note that the wake-up message was not sent: ``record`` says that it was.

    The next request or sweep sends it. It is like the first one then.
    """
    names = ("run_id", "state", "attempts", "published_at", "worker")
    return Transition(
        entity_id=record.entity_id,
        expects={name: getattr(record, name) for name in names},
        sets={"published_at": None, "requeues": 0, "listed": _UNSENT},
        proof="all",
    )


def republished(record: Record, *, now: int) -> Transition:
    """Note that a wake-up message is sent again. Of many daemons that try, one succeeds."""
    names = ("run_id", "state", "published_at", "worker", "not_before")
    return Transition(
        entity_id=record.entity_id,
        expects={name: getattr(record, name) for name in names},
        sets={
            "published_at": now,
            "requeues": record.requeues + (record.published_at is not None),
            "listed": f"pending#{shard(record.entity_id)}",
        },
        proof="all",
    )


def promoted(record: Record, *, now: int) -> Transition:
    """Promote a queued run to the interactive lane. Of many daemons that try, one succeeds.

    That daemon sends another wake-up message there. The message in the bulk queue does no harm.
    """
    return Transition(
        entity_id=record.entity_id,
        expects={"run_id": record.run_id, "state": "queued", "lane": "bulk"},
        sets={
            "lane": None,
            "published_at": now,
            "requeues": 0,
            "listed": f"pending#{shard(record.entity_id)}",
        },
        proof="all",
    )


def claimed(record: Record, *, worker: str, now: int, lease_until: int) -> Transition:
    """Claim a run that is queued or has an expired lease. ``worker`` is the new fencing token."""
    return Transition(
        entity_id=record.entity_id,
        expects={
            "run_id": record.run_id,
            "state": record.state,
            "attempts": record.attempts,
            "deaths": record.deaths,
            "not_before": record.not_before,
            "worker": record.worker,
            "lease_until": record.lease_until,
        },
        sets={
            "state": "running",
            "worker": worker,
            "lease_until": lease_until,
            "started_at": now,
            "attempts": attempts_claimed(record),
            "deaths": deaths_claimed(record),
            "requeues": 0,
            # This attempt reads the database after all requests so far, so it serves them.
            "again": None,
            "not_before": None,
        },
        proof="worker",
    )


def unrenewed(transition: Transition, record: Record) -> Transition:
    """Refuse a transition out of ``running`` if the holder of the run has renewed its lease.

    For a daemon that is not the holder: the holder may be alive after all.
    """
    return replace(transition, expects={**transition.expects, "lease_until": record.lease_until})


def deaths_claimed(record: Record) -> int:
    """Return the deaths after a claim: the process of a claim with an expired lease died."""
    return record.deaths + (record.state == "running")


def attempts_claimed(record: Record) -> int:
    """Return the attempts after a claim.

    An attempt does not count if its process died while it computed other runs, too. Any of them
    may have killed the process.
    """
    with_others = record.state == "running" and record.deaths < ALONE_FROM_DEATHS
    return record.attempts + 1 - with_others


def renewed(claim: Record, *, lease_until: int) -> Transition:
    """Renew the lease of a claim. Refused if another claim holds the run by now."""
    return Transition(
        entity_id=claim.entity_id,
        expects={"run_id": claim.run_id, "state": "running", "worker": claim.worker},
        sets={"lease_until": lease_until},
        proof="all",
    )


def requested_again(record: Record, *, now: int) -> Transition:
    """Note a request that came while the run was running."""
    return Transition(
        entity_id=record.entity_id,
        expects={"run_id": record.run_id, "state": "running"},
        sets={"again": now},
        proof="all",
    )


def first_claim(
    entity_id: str, run_id: str, *, worker: str, now: int, lease_until: int
) -> Transition:
    """Claim a run that nobody has claimed before. Nearly every claim is one, and needs no read."""
    guess = Record(entity_id=entity_id, state="queued", run_id=run_id, requested_at=0)
    return claimed(guess, worker=worker, now=now, lease_until=lease_until)


def completed(record: Record, *, result: Json, now: int, next_run_id: str) -> Transition:
    """Store the result of a claimed run. ``result`` has its ``run_id`` and ``expires_at``.

    If a request came while the run was running, the same write starts the next run.
    """
    done: dict[str, Value | None] = {
        "state": "done",
        "result": result,
        "finished_at": now,
        "listed": None,
        "listed_at": None,
        "expires_at": _latest(result, record.error),
    }
    return _ended(record, done, now=now, next_run_id=next_run_id, proof="result")


def failed(record: Record, *, error: Json, now: int, next_run_id: str) -> Transition:
    """Store the failure of a run. ``error`` has its ``run_id`` and ``expires_at``.

    If a request came while the run was running, the same write starts the next run.
    """
    failed: dict[str, Value | None] = {
        "state": "failed",
        "error": error,
        "finished_at": now,
        "listed": f"failed#{shard(record.entity_id)}",
        "listed_at": record.requested_at,
        "expires_at": _latest(error, record.result),
    }
    return _ended(record, failed, now=now, next_run_id=next_run_id, proof="error")


def backed_off(record: Record, *, not_before: int, overran: bool = False) -> Transition:
    """Queue the claimed run again. The next attempt starts at ``not_before``. This one counts."""
    sets: dict[str, Value | None] = {
        "state": "queued",
        "not_before": not_before,
        "overruns": record.overruns + overran,
        "again": None,
    }
    return _left(record, sets, proof="all")


def released(record: Record, *, not_before: int | None = None) -> Transition:
    """Queue the claimed run again. The attempt does not count, because the run did not fail."""
    sets: dict[str, Value | None] = {
        "state": "queued",
        "attempts": record.attempts - 1,
        "not_before": not_before,
        "again": None,
    }
    return _left(record, sets, proof="all")


def deleted(entity_id: str, *, now: int, expires_at: int) -> Transition:
    """Delete an entity. Its tombstone lives longer than all messages sent before."""
    sets: dict[str, Value | None] = dict.fromkeys(field.name for field in fields(Record))
    del sets["entity_id"]
    sets |= {"state": "deleted", "deleted_at": now, "expires_at": expires_at}
    return Transition(entity_id=entity_id, expects={}, sets=sets, proof="all")


def _opening(
    entity_id: str, run_id: str, *, requested_at: int, now: int
) -> dict[str, Value | None]:
    """Return the attributes of a run when it starts."""
    return {
        "state": "queued",
        "run_id": run_id,
        "lane": None,
        "traceparent": new_traceparent(run_id),
        "requested_at": requested_at,
        "published_at": now,
        "started_at": None,
        "finished_at": None,
        "attempts": 0,
        "deaths": 0,
        "overruns": 0,
        "requeues": 0,
        "again": None,
        "not_before": None,
        "worker": None,
        "lease_until": None,
        "listed": f"pending#{shard(entity_id)}",
        "listed_at": requested_at,
        "deleted_at": None,
        "expires_at": None,
    }


def _ended(
    record: Record,
    outcome: Mapping[str, Value | None],
    *,
    now: int,
    next_run_id: str,
    proof: Proof,
) -> Transition:
    """End the run. The write is refused if a request changes ``again`` before it."""
    opening: dict[str, Value | None] = {}
    if record.again is not None:
        opening = _opening(record.entity_id, next_run_id, requested_at=record.again, now=now)
        # Its message is sent after this write. If the process dies before, a sweep sends it.
        opening |= {"published_at": None, "listed": _UNSENT}
    transition = _left(record, {**outcome, **opening}, proof=proof)
    return replace(transition, expects={**transition.expects, "again": record.again})


def _left(record: Record, sets: Mapping[str, Value | None], *, proof: Proof) -> Transition:
    """Leave the state that ``record`` shows. Only its own claim may leave ``running``."""
    return Transition(
        entity_id=record.entity_id,
        expects={"run_id": record.run_id, "state": record.state, "worker": record.worker},
        sets={**sets, "worker": None, "lease_until": None},
        proof=proof,
    )


def _latest(outcome: Json, other: Json | None) -> int:
    ends = [part["expires_at"] for part in (outcome, other) if part is not None]
    return int(max(ends))
