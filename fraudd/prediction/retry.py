"""What a failure of a run comes to: a table from its class to what is done."""

import random
from dataclasses import dataclass
from typing import Literal

FailureClass = Literal["permanent", "transient", "overrun", "bug"]

#: The longest that ``SendMessage`` delays a message, in seconds.
MAX_DELAY_SECONDS = 900
#: SQS hides a message for twelve hours after its receive and no longer:
#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
MAX_HELD_SECONDS = 11.5 * 3600


@dataclass(frozen=True, slots=True)
class Fail:
    """Store the run as failed; ``dead_letter``: keep a copy of its message for the operator."""

    dead_letter: bool


@dataclass(frozen=True, slots=True)
class BackOff:
    """Try the run again in ``seconds``; the attempt counts."""

    seconds: float


Disposition = Fail | BackOff


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How often a run is tried, and how long it may wait for its first attempt."""

    max_attempts: int
    #: None: a run never expires.
    max_wait_seconds: float | None


def dispose(
    failure: FailureClass, *, attempts: int, overruns: int, max_attempts: int, delay: float
) -> Disposition:
    """Decide on a failed attempt, the ``attempts``-th; ``delay`` is its back-off in seconds.

    What ran past its deadline for the second time (``overruns``: the times before) will again.
    """
    match failure:
        case "overrun" if overruns:
            return Fail(dead_letter=False)
        case "permanent":
            return Fail(dead_letter=False)
        case "transient" | "overrun" | "bug":
            return BackOff(delay) if attempts < max_attempts else Fail(dead_letter=True)


def back_off(times: int, *, base_seconds: float, max_seconds: float, rng: random.Random) -> float:
    """Draw the delay in seconds after the ``times``-th failure: exponential with full jitter.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    # Beyond 2^32 the cap has long been reached; an unbounded power would overflow.
    ceiling = min(max_seconds, base_seconds * 2.0 ** min(times - 1, 32))
    return rng.uniform(0.0, ceiling)


def may_hide(
    *, receive_count: int, max_receive_count: int | None, held_seconds: float, seconds: float
) -> bool:
    """Tell whether a message can be given back by its visibility; else by a fresh copy.

    From half of the receives on, after which SQS itself would take it for dead, and near the
    longest that SQS hides a message, a copy begins anew.
    """
    worn = max_receive_count is not None and receive_count * 2 >= max_receive_count
    return not worn and held_seconds + seconds <= MAX_HELD_SECONDS
