"""Decides on failed attempts, on the delay between attempts, and on how to release a message."""

import random
from dataclasses import dataclass
from typing import Literal

from fraudd.prediction.record import Record

#: Maximum delay of ``SendMessage``, in seconds.
MAX_DELAY_SECONDS = 900
#: SQS hides a message for at most twelve hours after its receive:
#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
MAX_HELD_SECONDS = 11.5 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How often a run is tried, and how long it may wait for its first attempt."""

    max_attempts: int
    #: None: a run never expires.
    max_wait_seconds: float | None


@dataclass(frozen=True, slots=True)
class Failure:
    """The cause of a failed attempt. Clients see ``type`` and ``detail``.

    ``overrun`` is an attempt that exceeded a timeout, ``bug`` an error that should not happen.
    """

    kind: Literal["permanent", "transient", "overrun", "bug"]
    type: str
    detail: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Store the run as failed. ``dead_letter``: keep a copy of its message for the operator."""

    type: str
    detail: str
    dead_letter: bool


@dataclass(frozen=True, slots=True)
class BackOff:
    """Try the run again in ``seconds``. The attempt counts, and so does an overrun."""

    seconds: float
    overran: bool


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Read again in ``seconds``: the replica may not have the entity yet. No attempt counts."""

    seconds: float


OnFailure = Fail | BackOff | LookAgain


def on_failure(
    failure: Failure,
    claim: Record,
    *,
    now: int,
    limits: Limits,
    replica_lag_seconds: float,
    delay_seconds: float,
) -> OnFailure:
    """Decide on a failed attempt of the run that ``claim`` shows.

    ``delay_seconds`` is the delay before the next attempt, if there is one.
    """
    if failure.type == "entity_unknown":
        waited_seconds = (now - claim.requested_at) / 1000
        if waited_seconds < replica_lag_seconds:
            return LookAgain(replica_lag_seconds - waited_seconds)
    match failure.kind:
        case "permanent":
            return Fail(failure.type, failure.detail, dead_letter=False)
        case "overrun" if claim.overruns:
            # The first attempt exceeded its timeout, too, so a third would do the same.
            return Fail("too_slow", failure.detail, dead_letter=False)
        case "transient" | "overrun" | "bug" if claim.attempts < limits.max_attempts:
            return BackOff(delay_seconds, overran=failure.kind == "overrun")
        case "transient" | "overrun" | "bug":
            return Fail(failure.type, failure.detail, dead_letter=True)


def back_off(times: int, *, base_seconds: float, max_seconds: float, rng: random.Random) -> float:
    """Draw the delay in seconds after failure number ``times``: exponential with full jitter.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    # Above 2^32 the result is the cap anyway, and an unbounded power would overflow.
    ceiling = min(max_seconds, base_seconds * 2.0 ** min(times - 1, 32))
    return rng.uniform(0.0, ceiling)


def may_hide(
    *, receive_count: int, max_receive_count: int | None, held_seconds: float, seconds: float
) -> bool:
    """Return whether a message can be released by its visibility timeout, or needs a fresh copy.

    A copy starts with a receive count of 0 and a new twelve-hour limit. It is needed from half
    of ``max_receive_count`` on, because SQS moves a message to the dead-letter queue above it.
    """
    worn = max_receive_count is not None and receive_count * 2 >= max_receive_count
    return not worn and held_seconds + seconds <= MAX_HELD_SECONDS
