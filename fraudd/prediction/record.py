"""The record of an entity: its newest run, its last result, and its last failure.

The record is the source of truth. A transition states what the stored record must be, and what
the write sets. No function here does I/O, reads a clock, or draws a random number. ``now`` is an
argument in epoch milliseconds.
"""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

State = Literal["queued", "running", "done", "failed", "deleted"]
#: Which queue wakes a run. The bulk lane uses the permits that the interactive lane leaves free.
Lane = Literal["interactive", "bulk"]
Value = str | int | Mapping[str, Any]
#: The evidence that a write was applied. No other write leaves the outcome of this run (later runs
#: keep it), its run ID, or its fencing token. Other writes are recognised by all that they set.
Proof = Literal["result", "error", "run_id", "worker", "all"]
Json = Mapping[str, Any]

ENTITY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")
ENTITY_ID_RULE = "1 to 128 characters of A-Z a-z 0-9 . _ : @ -, the first a letter or digit"

#: The clocks of two daemons may differ by this much. A lease ends earlier, and counts as expired
#: later, by this margin.
SKEW_MARGIN_MS = 2_000
#: The number of partitions that the sparse index has for pending records, and for failed ones.
SHARDS = 4
#: One more partition, for pending runs whose wake-up message was not sent. It is empty normally, so
#: that no backlog delays them.
UNSENT_SHARD = SHARDS
#: After this number of process deaths a run is computed alone, so that no other run dies with it.
ALONE_FROM_DEATHS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The newest run of an entity, and its last outcomes. Times are epoch milliseconds."""

    entity_id: str
    state: State
    #: Empty in a tombstone, and so is ``requested_at``.
    run_id: str = ""
    requested_at: int = 0
    #: When the last wake-up message was sent. None if sending failed.
    published_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    #: The number of claims that count, and of claims that ended because the process died.
    attempts: int = 0
    deaths: int = 0
    #: The number of attempts that exceeded a timeout. The second one is the last.
    overruns: int = 0
    #: How often the sweeper has sent the wake-up message again since the last claim.
    requeues: int = 0
    #: When another service last requested a score while the run was running. The end of this run
    #: then starts the next one.
    again: int | None = None
    #: The end of the back-off. No consumer claims the run before.
    not_before: int | None = None
    #: The fencing token of the claim, and when its lease ends unless it is renewed.
    worker: str | None = None
    lease_until: int | None = None
    #: The last result and the last failure. Each has its own ``run_id`` and ``expires_at``.
    result: Json | None = None
    error: Json | None = None
    #: The key in the sparse index of pending and failed records, and the order there.
    listed: str | None = None
    listed_at: int | None = None
    #: Set in a tombstone only. Requests from before this time are dropped.
    deleted_at: int | None = None
    #: The W3C trace that the run belongs to.
    traceparent: str | None = None
    #: The lane of the newest run. None is the interactive lane.
    lane: Literal["bulk"] | None = None
    #: DynamoDB's time to live, in epoch **seconds**.
    expires_at: int | None = None

    @property
    def pending(self) -> bool:
        """Whether the newest run is queued or running."""
        return self.state in ("queued", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One conditional write. ``expects`` is the condition. None means: the attribute is absent."""

    entity_id: str
    expects: Mapping[str, Value | None]
    sets: Mapping[str, Value | None]
    #: The part of ``sets`` that no other write can have left, so it proves that this one did.
    proof: Proof


def already_applied(transition: Transition, old: Record | None) -> bool:
    """Return whether ``old``, which refused ``transition``, is the result of its own first try.

    A write may succeed although its response is lost. The retry then fails its condition.
    """
    if old is None:
        return False
    match transition.proof:
        case "result" | "error" as outcome:
            stored: Json | None = getattr(old, outcome)
            own: Any = transition.sets[outcome]
            return stored is not None and bool(stored["run_id"] == own["run_id"])
        case "run_id" | "worker" as token:
            return bool(getattr(old, token) == transition.sets[token])
        case "all":
            return old.run_id == transition.expects.get("run_id") and all(
                getattr(old, name) == value for name, value in transition.sets.items()
            )


def unexpired(record: Record | None, now: int) -> Record | None:
    """Return the record as clients see it: without expired outcomes, None if nothing is left.

    DynamoDB deletes expired records up to some days late.
    """
    if record is None or record.state == "deleted":
        return None
    expired = expired_outcomes(record, now)
    rest = _without(record, expired) if expired else record
    alive = rest.pending or (rest.result if rest.state == "done" else rest.error) is not None
    return rest if alive else None


def _without(record: Record, outcomes: tuple[str, ...]) -> Record:
    return replace(
        record,
        result=None if "result" in outcomes else record.result,
        error=None if "error" in outcomes else record.error,
    )


def lease_end(visible_at: int) -> int:
    """Return the end of a lease: it has expired before its message is visible again."""
    return visible_at - 2 * SKEW_MARGIN_MS


def dead_at(record: Record) -> int:
    """Return the time after which the record's lease has expired by every daemon's clock."""
    return (record.lease_until or 0) + SKEW_MARGIN_MS


def expired_outcomes(record: Record, now: int) -> tuple[str, ...]:
    """Return the names of the outcomes that are past their time to live."""
    return tuple(
        name
        for name in ("result", "error")
        if (outcome := getattr(record, name)) is not None and outcome["expires_at"] * 1000 <= now
    )


def shard(entity_id: str) -> int:
    """Return the partition of the sparse index that lists the entity."""
    return zlib.crc32(entity_id.encode()) % SHARDS
