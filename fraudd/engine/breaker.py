"""Decides when to stop taking work: a part is unreachable, or every run fails.

Pure: time is an argument, in seconds of a monotonic clock.
"""

import math
import random
from dataclasses import dataclass
from typing import Literal

from fraudd.prediction.retry import back_off

#: Parts that only some runs need. While one is unreachable, fraudd works on all other runs.
_OPTIONAL_PARTS = frozenset({"bulk_queue"})
#: It is a fault if runs of this number of different entities fail, with no success between.
FAULT_RUNS = 5
#: After a fault, fraudd tries one run per interval. The interval doubles up to the maximum.
FAULT_TRIAL_SECONDS, MAX_FAULT_TRIAL_SECONDS = 30.0, 300.0


@dataclass(frozen=True, slots=True)
class Go:
    """The call or the poll may begin now."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Check again in ``seconds``, or as soon as something changes."""

    seconds: float


@dataclass(frozen=True, slots=True)
class WaitForChange:
    """Check again as soon as something changes. Time alone does not help."""


Permission = Go | Wait | WaitForChange


@dataclass(slots=True)
class _Outage:
    """An unreachable part."""

    detail: str
    failures: int
    trial_at: float
    on_trial: bool = False


@dataclass(slots=True)
class _Fault:
    """A systemic failure: every run fails."""

    detail: str
    interval: float
    trial_at: float


class Breaker:
    """Open while a part that every run needs is unreachable, or while every run fails."""

    def __init__(self, *, base_seconds: float, max_seconds: float, rng: random.Random) -> None:
        self._base_seconds = base_seconds
        self._max_seconds = max_seconds
        self._rng = rng
        self._outages: dict[str, _Outage] = {}
        self._outage_ended_at: dict[str, float] = {}
        self._failed_entities: list[str] = []
        self._fault: _Fault | None = None

    @property
    def state(self) -> Literal["closed", "outage", "fault"]:
        """Why fraudd takes no messages. It takes them if the breaker is ``closed``."""
        return "outage" if self._blocking_outages() else "fault" if self._fault else "closed"

    @property
    def blocked_by(self) -> str | None:
        """Describe the outage or the systemic failure. None: there is neither."""
        if outages := self._blocking_outages():
            return "; ".join(f"{part}: {outage.detail}" for part, outage in outages.items())
        if self._fault is None:
            return None
        return f"every run fails; last error: {self._fault.detail}"

    def retry(self, now: float) -> None:
        """Allow a trial call now: an operator may have fixed the cause."""
        for outage in self._outages.values():
            outage.trial_at = min(outage.trial_at, now)
        if self._fault is not None:
            self._fault.trial_at = min(self._fault.trial_at, now)

    # Outages: a part is unreachable

    def enter(self, part: str, now: float) -> Permission:
        """Return whether a call of the part may begin.

        An unreachable part gets one trial call at a time. ``Go`` reserves it, and ``left`` ends it.
        """
        outage = self._outages.get(part)
        if outage is None:
            return Go()
        if outage.on_trial:
            return WaitForChange()
        if now < outage.trial_at:
            return Wait(outage.trial_at - now)
        outage.on_trial = True
        return Go()

    def left(self, part: str) -> None:
        """Note that a call is over, so that another trial call may begin."""
        if (outage := self._outages.get(part)) is not None:
            outage.on_trial = False

    def answered(self, part: str, now: float) -> bool:
        """Note that a part answered. Returns whether this ends an outage."""
        if self._outages.pop(part, None) is None:
            return False
        self._outage_ended_at[part] = now
        return True

    def failed(self, part: str, detail: str, now: float) -> bool:
        """Note that a part was unreachable. Returns whether this begins an outage."""
        outage = self._outages.get(part)
        if outage is not None and not outage.on_trial and now < outage.trial_at:
            return False  # this call had begun before the outage did
        failures = outage.failures + 1 if outage is not None else 1
        delay = back_off(
            failures,
            base_seconds=self._base_seconds,
            max_seconds=self._max_seconds,
            rng=self._rng,
        )
        self._outages[part] = _Outage(detail, failures, now + delay)
        return outage is None

    def unreachable(self, part: str) -> bool:
        """Whether the last call of a part failed."""
        return part in self._outages

    def seconds_since_outage(self, part: str, now: float) -> float:
        """Return the seconds since the last outage: 0 during one, infinity before the first."""
        if part in self._outages:
            return 0.0
        ended_at = self._outage_ended_at.get(part)
        return math.inf if ended_at is None else now - ended_at

    # Faults: every run fails

    def run_succeeded(self) -> bool:
        """Note that a run has its score. Returns whether this ends a fault."""
        self._failed_entities.clear()
        fault, self._fault = self._fault, None
        return fault is not None

    def run_failed(self, entity_id: str, detail: str, now: float) -> bool:
        """Note a transient failure or a bug. Returns whether this begins a fault."""
        if self._fault is not None:
            interval = min(self._fault.interval * 2, MAX_FAULT_TRIAL_SECONDS)
            self._fault = _Fault(detail, interval, now + interval)
            return False
        if entity_id in self._failed_entities:
            return False
        self._failed_entities.append(entity_id)
        if len(self._failed_entities) < FAULT_RUNS:
            return False
        self._fault = _Fault(detail, FAULT_TRIAL_SECONDS, now + FAULT_TRIAL_SECONDS)
        return True

    def run_began(self, now: float) -> None:
        """Note that a run began. During a fault, the next trial call is one interval later."""
        if self._fault is not None:
            self._fault.trial_at = now + self._fault.interval

    # Polls

    def may_poll(self, now: float, *, in_flight: int) -> Permission:
        """Return whether a poll may begin, with ``in_flight`` messages and outstanding polls.

        While the breaker is open, fraudd takes one message at a time, as the trial call.
        """
        if self.state == "closed":
            return Go()
        if in_flight:
            return WaitForChange()
        return _go_at(self._trial_poll_at(), now)

    def may_poll_bulk(self, now: float) -> Permission:
        """Return whether an outage of the bulk queue allows a poll of it."""
        outage = self._outages.get("bulk_queue")
        return Go() if outage is None else _go_at(outage.trial_at, now)

    def _trial_poll_at(self) -> float:
        fault_at = self._fault.trial_at if self._fault is not None else 0.0
        if not (outages := self._blocking_outages()):
            return fault_at
        # A poll needs the queue. The run of its message tries every other part.
        first = min(outages.values(), key=lambda outage: outage.trial_at)
        return max(fault_at, outages.get("queue", first).trial_at)

    def _blocking_outages(self) -> dict[str, _Outage]:
        """Return the outages of the parts that every run needs."""
        if not self._outages:
            return {}
        return {
            part: outage for part, outage in self._outages.items() if part not in _OPTIONAL_PARTS
        }


def _go_at(at: float, now: float) -> Permission:
    return Wait(at - now) if now < at else Go()
