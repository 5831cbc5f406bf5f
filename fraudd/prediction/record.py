"""The record of an entity: what is owed, what runs, what came out.

The record is the truth; a transition says what it expects of the stored record and what it
sets. Nothing here does I/O, reads a clock or draws a random number: ``now`` is always an
argument, in epoch milliseconds.
"""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

State = Literal["queued", "running", "done", "failed", "deleted"]
#: By which queue a run is woken: the bulk lane is served with what the other leaves.
Lane = Literal["interactive", "bulk"]
Value = str | int | Mapping[str, Any]
#: What shows that a write was applied: the run's outcome, which later runs keep, or a new run ID,
#: or a new fencing token, or all that the write sets.
Proof = Literal["result", "error", "run_id", "worker", "all"]
Json = Mapping[str, Any]

ENTITY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")
ENTITY_ID_RULE = "1 to 128 characters of A-Z a-z 0-9 . _ : @ -, the first a letter or digit"

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
    deleted_at: int | None = None
    #: The W3C trace that the run belongs to.
    traceparent: str | None = None
    #: The lane of the newest run; None is interactive.
    lane: Literal["bulk"] | None = None
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
    #: The part of ``sets`` that no other write can have left, so it proves that this one did.
    proof: Proof


def already_applied(transition: Transition, old: Record | None) -> bool:
    """Tell whether ``old``, which refused ``transition``, is the result of its own first try.

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
    """Give the record as a reader may see it: what has expired is absent, deleted yet or not."""
    if record is None or record.state == "deleted":
        return None
    past = expired_outcomes(record, now)
    seen = _without(record, past) if past else record
    alive = seen.pending or (seen.result if seen.state == "done" else seen.error) is not None
    return seen if alive else None


def _without(record: Record, verdicts: tuple[str, ...]) -> Record:
    return replace(
        record,
        result=None if "result" in verdicts else record.result,
        error=None if "error" in verdicts else record.error,
    )


def lease_end(visible_at: int) -> int:
    """Give the end of a lease: early enough that a message that comes back finds it dead."""
    return visible_at - 2 * SKEW_MARGIN_MS


def dead_at(record: Record) -> int:
    """Give the time after which the record's lease is dead, whoever's clock says so."""
    return (record.lease_until or 0) + SKEW_MARGIN_MS


def expired_outcomes(record: Record, now: int) -> tuple[str, ...]:
    """Name the verdicts of a record that are past their time to live."""
    return tuple(
        name
        for name in ("result", "error")
        if (verdict := getattr(record, name)) is not None and verdict["expires_at"] * 1000 <= now
    )


def shard(entity_id: str) -> int:
    """Give the partition of the sparse index that lists the entity."""
    return zlib.crc32(entity_id.encode()) % SHARDS
