"""The record of an entity, and every transition between its states as data.

The record is the truth: what is owed, what runs, what came out. A transition says what it
expects of the stored record and what it sets; the store carries it out as one conditional
write. Nothing here does I/O, reads a clock or draws a random number: ``now`` is always an
argument, in epoch milliseconds.
"""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

State = Literal["queued", "running", "done", "failed", "forgotten"]
Value = str | int | Mapping[str, Any]
Json = Mapping[str, Any]

ENTITY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")
ENTITY_ID_RULE = "1 to 128 characters of A-Z a-z 0-9 . _ : @ -, the first a letter or digit"
RUN_ID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")

#: Clocks of daemons may differ by this much; leases are cut and outlived by it.
SKEW_MARGIN_MS = 2_000
#: The sparse index of pending and failed records has this many partitions a kind.
SHARDS = 4
#: From this many deaths of its process on a run is worked on alone, so that no other dies with it.
ALONE_FROM_DEATHS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The newest run of an entity and its last result. Times are epoch milliseconds."""

    entity_id: str
    state: State
    #: Empty in a tombstone, as is ``requested_at``.
    run_id: str = ""
    requested_at: int = 0
    #: When the wake-up was last sent; None where publishing failed.
    published_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    #: Claims that count, and claims that ended without a verdict because the process died.
    attempts: int = 0
    deaths: int = 0
    #: Attempts that ran past a deadline: the second is the last.
    overruns: int = 0
    #: How often the sweeper sent the wake-up again since the last claim.
    requeues: int = 0
    #: When another service last asked while the run was running: its end opens the next.
    again: int | None = None
    #: End of the back-off: no consumer claims the run before.
    not_before: int | None = None
    #: The token of the claim that works on the run, and until when it holds unless renewed.
    worker: str | None = None
    lease_until: int | None = None
    #: The last good result, the last failure; each with its own ``run_id`` and ``expires_at``.
    result: Json | None = None
    error: Json | None = None
    #: Key and order in the sparse index of pending and failed records.
    listed: str | None = None
    listed_at: int | None = None
    #: Of a tombstone: what was asked before is not answered any more.
    forgotten_at: int | None = None
    #: DynamoDB's time to live, in epoch **seconds**.
    expires_at: int | None = None

    @property
    def pending(self) -> bool:
        """Whether a run is owed: queued or running."""
        return self.state in ("queued", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One conditional write: what the stored record must be, and what is set. None is absent."""

    entity_id: str
    expects: Mapping[str, Value | None]
    sets: Mapping[str, Value | None]


def landed(transition: Transition, old: Record | None) -> bool:
    """Tell whether ``old``, which refused ``transition``, is what its own first try wrote.

    A write may land although its answer was lost; the retry then fails its condition. Each
    transition leaves something no other can have written: a verdict of this run (which later
    runs keep), a new run, a new claim's token, or the whole of what it sets.
    """
    if old is None:
        return False
    for verdict in ("result", "error"):
        if isinstance(mine := transition.sets.get(verdict), Mapping):
            stored = getattr(old, verdict)
            return stored is not None and bool(stored["run_id"] == mine["run_id"])
    for token in ("run_id", "worker"):
        if (mine := transition.sets.get(token)) is not None:
            return bool(getattr(old, token) == mine)
    return old.run_id == transition.expects.get("run_id") and all(
        getattr(old, name) == value for name, value in transition.sets.items()
    )


# What may happen to a record


def opened(entity_id: str, seen: Record | None, *, run_id: str, now: int) -> Transition:
    """Open a run, provided the record still is as it was ``seen`` (None: absent)."""
    before: dict[str, Value | None] = {"run_id": None, "state": None, "forgotten_at": None}
    stale: tuple[str, ...] = ()
    if seen is not None:
        before = {name: getattr(seen, name) for name in before}
        before["run_id"] = seen.run_id or None
        stale = _expired(seen, now)
    return Transition(
        entity_id=entity_id,
        expects=before,
        sets=_opening(entity_id, run_id, requested_at=now, now=now) | dict.fromkeys(stale),
    )


def unpublished(record: Record) -> Transition:
    """Note that the wake-up of a run just opened was not sent, so that the next ask sends it."""
    return Transition(
        entity_id=record.entity_id,
        expects={"run_id": record.run_id, "state": "queued", "attempts": 0},
        sets={"published_at": None},
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
    )


def asked_again(record: Record, *, now: int) -> Transition:
    """Note that somebody asked while the run was running, whoever holds it."""
    return Transition(
        entity_id=record.entity_id,
        expects={"run_id": record.run_id, "state": "running"},
        sets={"again": now},
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
    return _verdict(record, done, now=now, next_run_id=next_run_id)


def failed(record: Record, *, error: Json, now: int, next_run_id: str) -> Transition:
    """Store why the run failed; ``error`` has its ``run_id`` and ``expires_at``.

    Where the run was asked for again meanwhile, the next one opens in the same write.
    """
    ended: dict[str, Value | None] = {
        "state": "failed",
        "error": error,
        "finished_at": now,
        "listed": f"failed#{shard(record.entity_id)}",
        "listed_at": record.requested_at,
        "expires_at": _latest(error, record.result),
    }
    return _verdict(record, ended, now=now, next_run_id=next_run_id)


def backed_off(record: Record, *, not_before: int, overran: bool = False) -> Transition:
    """Queue the claimed run again, to be tried from ``not_before`` on; the attempt counts."""
    waiting: dict[str, Value | None] = {
        "state": "queued",
        "not_before": not_before,
        "overruns": record.overruns + overran,
        "again": None,
    }
    return _left(record, waiting)


def released(record: Record) -> Transition:
    """Queue the claimed run again and give its attempt back: it ended for no fault of its own."""
    back: dict[str, Value | None] = {
        "state": "queued",
        "attempts": record.attempts - 1,
        "again": None,
    }
    return _left(record, back)


def forgotten(entity_id: str, *, now: int, expires_at: int) -> Transition:
    """Forget the entity, known or not: a tombstone that outlives the messages sent before it."""
    sets: dict[str, Value | None] = dict.fromkeys(field.name for field in fields(Record))
    del sets["entity_id"]
    sets |= {"state": "forgotten", "forgotten_at": now, "expires_at": expires_at}
    return Transition(entity_id=entity_id, expects={}, sets=sets)


def _opening(
    entity_id: str, run_id: str, *, requested_at: int, now: int
) -> dict[str, Value | None]:
    """What a run is when it opens."""
    return {
        "state": "queued",
        "run_id": run_id,
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
        "forgotten_at": None,
        "expires_at": None,
    }


def _verdict(
    record: Record, ended: Mapping[str, Value | None], *, now: int, next_run_id: str
) -> Transition:
    """End the run, unless somebody asks again before this write: then it is decided anew."""
    opening: dict[str, Value | None] = {}
    if record.again is not None:
        opening = _opening(record.entity_id, next_run_id, requested_at=record.again, now=now)
    left = _left(record, {**ended, **opening})
    return replace(left, expects={**left.expects, "again": record.again})


def _left(record: Record, sets: Mapping[str, Value | None]) -> Transition:
    """Leave the state that ``record`` shows; out of ``running`` only its own claim may."""
    return Transition(
        entity_id=record.entity_id,
        expects={"run_id": record.run_id, "state": record.state, "worker": record.worker},
        sets={**sets, "worker": None, "lease_until": None},
    )


# What a reader may see


def current(record: Record | None, now: int) -> Record | None:
    """Give the record as a reader may see it: what has expired is absent, deleted yet or not."""
    if record is None or record.state == "forgotten":
        return None
    expired = _expired(record, now)
    seen = replace(
        record,
        result=None if "result" in expired else record.result,
        error=None if "error" in expired else record.error,
    )
    alive = seen.pending or (seen.result if seen.state == "done" else seen.error) is not None
    return seen if alive else None


def lease_end(visible_at: int) -> int:
    """Give the end of a lease: early enough that a message that comes back finds it dead."""
    return visible_at - 2 * SKEW_MARGIN_MS


def dead_at(record: Record) -> int:
    """Give the time after which the record's lease is dead, whoever's clock says so."""
    return (record.lease_until or 0) + SKEW_MARGIN_MS


def new_run_id(now: int, random_bits: int) -> str:
    """Make a ULID of 48 bits of time and 80 random bits (https://github.com/ulid/spec)."""
    number = (now << 80) | random_bits
    return "".join(
        "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[(number >> s) & 31] for s in range(125, -1, -5)
    )


def _expired(record: Record, now: int) -> tuple[str, ...]:
    return tuple(
        name
        for name in ("result", "error")
        if (verdict := getattr(record, name)) is not None and verdict["expires_at"] * 1000 <= now
    )


def _latest(verdict: Json, other: Json | None) -> int:
    ends = [part["expires_at"] for part in (verdict, other) if part is not None]
    return int(max(ends))


def shard(entity_id: str) -> int:
    """Give the partition of the sparse index that lists the entity."""
    return zlib.crc32(entity_id.encode()) % SHARDS
