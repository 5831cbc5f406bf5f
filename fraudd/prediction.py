"""The record of an entity, and every transition between its states as data.

The record is the truth: what is owed, what runs, what came out. A transition says what it
expects of the stored record and what it sets; the store carries it out as one conditional
write. Nothing here does I/O, reads a clock or draws a random number: ``now`` is always an
argument, in epoch milliseconds.
"""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

State = Literal["queued", "running", "done", "failed"]
Value = str | int | Mapping[str, Any]
Json = Mapping[str, Any]

ENTITY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")
ENTITY_ID_RULE = "1 to 128 characters of A-Z a-z 0-9 . _ : @ -, the first a letter or digit"
RUN_ID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")

#: Clocks of daemons may differ by this much; leases are cut and outlived by it.
SKEW_MARGIN_MS = 2_000
#: The sparse index of pending and failed records has this many partitions a kind.
SHARDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The newest run of an entity and its last result. Times are epoch milliseconds."""

    entity_id: str
    state: State
    run_id: str
    requested_at: int
    #: When the wake-up was last sent; None where publishing failed.
    published_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    #: Claims that count, and claims that ended without a verdict because the process died.
    attempts: int = 0
    deaths: int = 0
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
    transition leaves something no other can have written: a new run, a new claim's token, a
    verdict of this run (which later runs keep), or the whole of what it sets.
    """
    if old is None:
        return False
    for token in ("run_id", "worker"):
        if (mine := transition.sets.get(token)) is not None:
            return bool(getattr(old, token) == mine)
    for verdict in ("result", "error"):
        mine, stored = transition.sets.get(verdict), getattr(old, verdict)
        if isinstance(mine, Mapping) and stored is not None:
            return bool(stored["run_id"] == mine["run_id"])
    return old.run_id == transition.expects.get("run_id") and all(
        getattr(old, name) == value for name, value in transition.sets.items()
    )


# What may happen to a record


def opened(entity_id: str, seen: Record | None, *, run_id: str, now: int) -> Transition:
    """Open a run, provided the record still is as it was ``seen`` (None: absent)."""
    before: dict[str, Value | None] = (
        {"run_id": None, "state": None}
        if seen is None
        else {"run_id": seen.run_id, "state": seen.state}
    )
    stale = () if seen is None else _expired(seen, now)
    return Transition(
        entity_id=entity_id,
        expects=before,
        sets={
            "state": "queued",
            "run_id": run_id,
            "requested_at": now,
            "published_at": now,
            "started_at": None,
            "finished_at": None,
            "attempts": 0,
            "deaths": 0,
            "not_before": None,
            "worker": None,
            "lease_until": None,
            "listed": f"pending#{_shard(entity_id)}",
            "listed_at": now,
            "expires_at": None,
            **dict.fromkeys(stale),
        },
    )


def unpublished(record: Record) -> Transition:
    """Note that the wake-up of a run just opened was not sent, so that the next ask sends it."""
    return Transition(
        entity_id=record.entity_id,
        expects={"run_id": record.run_id, "state": "queued", "attempts": 0},
        sets={"published_at": None},
    )


def republished(record: Record, *, now: int) -> Transition:
    """Take on sending the wake-up that was not sent; of many callers one succeeds."""
    return Transition(
        entity_id=record.entity_id,
        expects={"run_id": record.run_id, "state": "queued", "published_at": None},
        sets={"published_at": now},
    )


def claimed(record: Record, *, worker: str, now: int, lease_until: int) -> Transition:
    """Claim a run that is queued, or whose lease is dead, under a new token ``worker``."""
    died = record.state == "running"
    return Transition(
        entity_id=record.entity_id,
        expects={
            "run_id": record.run_id,
            "state": record.state,
            "attempts": record.attempts,
            "not_before": record.not_before,
            "worker": record.worker,
            "lease_until": record.lease_until,
        },
        sets={
            "state": "running",
            "worker": worker,
            "lease_until": lease_until,
            "started_at": now,
            "attempts": record.attempts + 1,
            "deaths": record.deaths + died,
            "not_before": None,
        },
    )


def first_claim(
    entity_id: str, run_id: str, *, worker: str, now: int, lease_until: int
) -> Transition:
    """Claim a run on the guess that nobody did before: right nearly always, and saves a read."""
    guess = Record(entity_id=entity_id, state="queued", run_id=run_id, requested_at=0)
    return claimed(guess, worker=worker, now=now, lease_until=lease_until)


def completed(record: Record, *, result: Json, now: int) -> Transition:
    """Store the result of a claimed run; ``result`` has its ``run_id`` and ``expires_at``."""
    return _ended(
        record,
        {
            "state": "done",
            "result": result,
            "finished_at": now,
            "listed": None,
            "listed_at": None,
            "expires_at": _latest(result, record.error),
        },
    )


def failed(record: Record, *, error: Json, now: int) -> Transition:
    """Store why the run failed; ``error`` has its ``run_id`` and ``expires_at``."""
    return _ended(
        record,
        {
            "state": "failed",
            "error": error,
            "finished_at": now,
            "listed": f"failed#{_shard(record.entity_id)}",
            "listed_at": record.requested_at,
            "expires_at": _latest(error, record.result),
        },
    )


def backed_off(record: Record, *, not_before: int) -> Transition:
    """Queue the claimed run again, to be tried from ``not_before`` on; the attempt counts."""
    return _ended(record, {"state": "queued", "not_before": not_before})


def released(record: Record) -> Transition:
    """Queue the claimed run again and give its attempt back: it ended for no fault of its own."""
    return _ended(record, {"state": "queued", "attempts": record.attempts - 1})


def _ended(record: Record, sets: Mapping[str, Value | None]) -> Transition:
    """Leave the state that ``record`` shows; out of ``running`` only its own claim may."""
    return Transition(
        entity_id=record.entity_id,
        expects={"run_id": record.run_id, "state": record.state, "worker": record.worker},
        sets={**sets, "worker": None, "lease_until": None},
    )


# What a reader may see


def current(record: Record | None, now: int) -> Record | None:
    """Give the record as a reader may see it: what has expired is absent, deleted yet or not."""
    if record is None:
        return None
    expired = _expired(record, now)
    seen = replace(
        record,
        result=None if "result" in expired else record.result,
        error=None if "error" in expired else record.error,
    )
    alive = seen.pending or (seen.result if seen.state == "done" else seen.error) is not None
    return seen if alive else None


def lease_end(received_at: int, visibility_seconds: float) -> int:
    """Give the end of a lease: early enough that a message that comes back finds it dead."""
    return received_at + int(visibility_seconds * 1000) - 2 * SKEW_MARGIN_MS


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


def _shard(entity_id: str) -> int:
    return zlib.crc32(entity_id.encode()) % SHARDS
