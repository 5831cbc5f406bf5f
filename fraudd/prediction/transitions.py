"""What may happen to the record of an entity: every transition between its states, as data.

Each is carried out as one conditional write, which names the run and the state that it leaves.
"""

from collections.abc import Mapping
from dataclasses import fields, replace

from fraudd.prediction.formats import new_traceparent
from fraudd.prediction.record import (
    ALONE_FROM_DEATHS,
    Json,
    Lane,
    Proof,
    Record,
    Transition,
    Value,
    expired_outcomes,
    shard,
)


def opened(
    entity_id: str,
    seen: Record | None,
    *,
    run_id: str,
    now: int,
    traceparent: str | None = None,
    lane: Lane = "interactive",
) -> Transition:
    """Open a run, provided the record still is as it was ``seen`` (None: absent).

    Without a ``traceparent`` the run begins a trace of its own.
    """
    before: dict[str, Value | None] = {"run_id": None, "state": None, "deleted_at": None}
    stale: tuple[str, ...] = ()
    if seen is not None:
        before = {name: getattr(seen, name) for name in before}
        before["run_id"] = seen.run_id or None
        stale = expired_outcomes(seen, now)
    sets = _opening(entity_id, run_id, requested_at=now, now=now) | dict.fromkeys(stale)
    if traceparent is not None:
        sets["traceparent"] = traceparent
    if lane == "bulk":
        sets["lane"] = lane
    return Transition(entity_id=entity_id, expects=before, sets=sets, proof="run_id")


def unpublished(record: Record) -> Transition:
    """Note that the wake-up of a run just opened was not sent, so that the next ask sends it."""
    return Transition(
        entity_id=record.entity_id,
        expects={"run_id": record.run_id, "state": "queued", "attempts": 0},
        sets={"published_at": None},
        proof="all",
    )


def republished(record: Record, *, now: int) -> Transition:
    """Take on sending a wake-up that was not sent, or is lost; of many callers one succeeds."""
    names = ("run_id", "state", "published_at", "worker", "not_before")
    return Transition(
        entity_id=record.entity_id,
        expects={name: getattr(record, name) for name in names},
        sets={
            "published_at": now,
            "requeues": record.requeues + (record.published_at is not None),
        },
        proof="all",
    )


def promoted(record: Record, *, now: int) -> Transition:
    """Move a run that is queued in the bulk lane to the interactive one; of many callers one does.

    Whoever does sends another wake-up there. The one in the bulk queue does no harm.
    """
    return Transition(
        entity_id=record.entity_id,
        expects={"run_id": record.run_id, "state": "queued", "lane": "bulk"},
        sets={"lane": None, "published_at": now, "requeues": 0},
        proof="all",
    )


def claimed(record: Record, *, worker: str, now: int, lease_until: int) -> Transition:
    """Claim a run that is queued, or whose lease is dead, under a new token ``worker``."""
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
            # It reads anew, so whoever asked meanwhile is served by it.
            "again": None,
            "not_before": None,
        },
        proof="worker",
    )


def deaths_claimed(record: Record) -> int:
    """Give the deaths once the run is claimed: a claim that stands in a dead lease died."""
    return record.deaths + (record.state == "running")


def attempts_claimed(record: Record) -> int:
    """Give the attempts once the run is claimed.

    An attempt that died beside others is given back: any of them may have killed the process.
    """
    beside_others = record.state == "running" and record.deaths < ALONE_FROM_DEATHS
    return record.attempts + 1 - beside_others


def renewed(claim: Record, *, lease_until: int) -> Transition:
    """Keep a claim alive until then; refused where somebody else holds the run by now."""
    return Transition(
        entity_id=claim.entity_id,
        expects={"run_id": claim.run_id, "state": "running", "worker": claim.worker},
        sets={"lease_until": lease_until},
        proof="all",
    )


def requested_again(record: Record, *, now: int) -> Transition:
    """Note that somebody asked while the run was running, whoever holds it."""
    return Transition(
        entity_id=record.entity_id,
        expects={"run_id": record.run_id, "state": "running"},
        sets={"again": now},
        proof="all",
    )


def first_claim(
    entity_id: str, run_id: str, *, worker: str, now: int, lease_until: int
) -> Transition:
    """Claim a run on the guess that nobody did before: right nearly always, and saves a read."""
    guess = Record(entity_id=entity_id, state="queued", run_id=run_id, requested_at=0)
    return claimed(guess, worker=worker, now=now, lease_until=lease_until)


def completed(record: Record, *, result: Json, now: int, next_run_id: str) -> Transition:
    """Store the result of a claimed run; ``result`` has its ``run_id`` and ``expires_at``.

    Where the run was asked for again meanwhile, the next one opens in the same write.
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
    """Store why the run failed; ``error`` has its ``run_id`` and ``expires_at``.

    Where the run was asked for again meanwhile, the next one opens in the same write.
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
    """Queue the claimed run again, to be tried from ``not_before`` on; the attempt counts."""
    waiting: dict[str, Value | None] = {
        "state": "queued",
        "not_before": not_before,
        "overruns": record.overruns + overran,
        "again": None,
    }
    return _left(record, waiting, proof="all")


def released(record: Record, *, not_before: int | None = None) -> Transition:
    """Queue the claimed run again and give its attempt back: it ended for no fault of its own."""
    back: dict[str, Value | None] = {
        "state": "queued",
        "attempts": record.attempts - 1,
        "not_before": not_before,
        "again": None,
    }
    return _left(record, back, proof="all")


def deleted(entity_id: str, *, now: int, expires_at: int) -> Transition:
    """Forget the entity, known or not: a tombstone that outlives the messages sent before it."""
    sets: dict[str, Value | None] = dict.fromkeys(field.name for field in fields(Record))
    del sets["entity_id"]
    sets |= {"state": "deleted", "deleted_at": now, "expires_at": expires_at}
    return Transition(entity_id=entity_id, expects={}, sets=sets, proof="all")


def _opening(
    entity_id: str, run_id: str, *, requested_at: int, now: int
) -> dict[str, Value | None]:
    """What a run is when it opens."""
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
    """End the run. A request that comes before this write has the transition refused."""
    opening: dict[str, Value | None] = {}
    if record.again is not None:
        opening = _opening(record.entity_id, next_run_id, requested_at=record.again, now=now)
    left = _left(record, {**outcome, **opening}, proof=proof)
    return replace(left, expects={**left.expects, "again": record.again})


def _left(record: Record, sets: Mapping[str, Value | None], *, proof: Proof) -> Transition:
    """Leave the state that ``record`` shows. Only its own claim may leave ``running``."""
    return Transition(
        entity_id=record.entity_id,
        expects={"run_id": record.run_id, "state": record.state, "worker": record.worker},
        sets={**sets, "worker": None, "lease_until": None},
        proof=proof,
    )


def _latest(verdict: Json, other: Json | None) -> int:
    ends = [part["expires_at"] for part in (verdict, other) if part is not None]
    return int(max(ends))
