"""What a failure of a run comes to: a table from its class to what is done."""

import random
from dataclasses import dataclass
from typing import Literal

FailureClass = Literal["permanent", "transient", "infrastructure", "bug"]


@dataclass(frozen=True, slots=True)
class Fail:
    """Store the run as failed; ``dead_letter``: keep a copy of its message for the operator."""

    dead_letter: bool


@dataclass(frozen=True, slots=True)
class BackOff:
    """Try the run again in ``seconds``; the attempt counts."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Release:
    """Try the run again in ``seconds``; the attempt does not count: it was no fault of the run."""

    seconds: float


Disposition = Fail | BackOff | Release


def dispose(
    failure: FailureClass, *, attempts: int, max_attempts: int, delay: float
) -> Disposition:
    """Decide on a failed attempt, the ``attempts``-th; ``delay`` is its back-off in seconds."""
    match failure:
        case "permanent":
            return Fail(dead_letter=False)
        case "infrastructure":
            return Release(delay)
        case "transient" | "bug":
            return BackOff(delay) if attempts < max_attempts else Fail(dead_letter=True)


def back_off(times: int, *, base_seconds: float, max_seconds: float, rng: random.Random) -> float:
    """Draw the delay in seconds after the ``times``-th failure: exponential with full jitter.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    # Beyond 2^32 the cap has long been reached; an unbounded power would overflow.
    ceiling = min(max_seconds, base_seconds * 2.0 ** min(times - 1, 32))
    return rng.uniform(0.0, ceiling)
