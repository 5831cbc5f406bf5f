"""Decides when to stop taking work: a part is unreachable, or every run fails.

Pure: time is an argument, in seconds of a monotonic clock.
"""

import math
import random
from dataclasses import dataclass
from typing import Literal

from fraudd.prediction.retry import back_off

#: Parts that only some runs need. While one is unreachable, fraudd works on all other runs.
OPTIONAL_PARTS = frozenset({"bulk_queue", "dead_letter_queue"})
#: Kinds of call that no run in flight needs. If only these fail, fraudd takes messages.
_OPTIONAL_CALLS = frozenset({"request", "list"})
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
    """An unreachable part. ``calls`` are the kinds of call that failed and have not answered."""

    detail: str
    failures: int
    trial_at: float
    began_at: float
    calls: set[str]
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
        #: When the last outage of each part began and ended.
        self._last_outages: dict[str, tuple[float, float]] = {}
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

    def enter(self, part: str, now: float, call: str = "") -> Permission:
        """Return whether a call of the part may begin. ``call`` is the kind of call.

        The failing kinds get one trial call at a time. ``Go`` reserves it, and ``left`` ends it.
        """
        permission = self.look(part, now, call)
        outage = self._outages.get(part)
        if isinstance(permission, Go) and outage is not None and call in outage.calls:
            outage.on_trial = True
        return permission

    def look(self, part: str, now: float, call: str = "") -> Permission:
        """Return whether a call of the part may begin, and reserve nothing."""
        outage = self._outages.get(part)
        if outage is None or call not in outage.calls:
            return Go()
        if outage.on_trial:
            return WaitForChange()
        return _go_at(outage.trial_at, now)

    def left(self, part: str, call: str = "") -> None:
        """Note that a call is over, so that another trial call may begin."""
        outage = self._outages.get(part)
        if outage is not None and call in outage.calls:
            outage.on_trial = False

    def answered(self, part: str, now: float, call: str = "") -> bool:
        """Note that a part answered. Returns whether this ends an outage.

        An outage ends after each kind of call that failed has answered. Otherwise a part that
        answers reads and refuses writes would begin a new outage with each write.
        """
        outage = self._outages.get(part)
        if outage is None or call not in outage.calls:
            return False
        outage.calls.remove(call)
        if outage.calls:
            outage.on_trial, outage.trial_at = False, now  # the other kinds may work again, too
            return False
        del self._outages[part]
        self._last_outages[part] = (outage.began_at, now)
        return True

    def failed(self, part: str, detail: str, now: float, call: str = "") -> bool:
        """Note that a part was unreachable. Returns whether this begins an outage."""
        outage = self._outages.get(part)
        if outage is None:
            delay = self._delay(1)
            self._outages[part] = _Outage(detail, 1, now + delay, now, {call})
            return True
        if call not in outage.calls:
            outage.calls.add(call)
            return False
        if not outage.on_trial and now < outage.trial_at:
            return False  # this call had begun before the outage did
        outage.detail, outage.failures, outage.on_trial = detail, outage.failures + 1, False
        outage.trial_at = now + self._delay(outage.failures)
        return False

    def unreachable(self, part: str, call: str | None = None) -> bool:
        """Whether a call of a part failed last: of the kind ``call``, or any that runs need."""
        outage = self._outages.get(part)
        if outage is None:
            return False
        return call in outage.calls if call is not None else not outage.calls <= _OPTIONAL_CALLS

    def seconds_since_outage(self, part: str, now: float, *, lasting: float = 0.0) -> float:
        """Return the seconds since an outage: 0 during one, infinity before the first.

        Outages of less than ``lasting`` seconds do not count.
        """
        outage = self._outages.get(part)
        if outage is not None and self.unreachable(part) and now - outage.began_at >= lasting:
            return 0.0
        began_at, ended_at = self._last_outages.get(part, (0.0, -math.inf))
        return now - ended_at if ended_at - began_at >= lasting else math.inf

    def _delay(self, failures: int) -> float:
        return back_off(
            failures,
            base_seconds=self._base_seconds,
            max_seconds=self._max_seconds,
            rng=self._rng,
        )

    # Faults: every run fails

    def run_succeeded(self) -> bool:
        """Note that a run has ended with a verdict. Returns whether this ends a fault."""
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
            part: outage
            for part, outage in self._outages.items()
            if part not in OPTIONAL_PARTS and self.unreachable(part)
        }


def _go_at(at: float, now: float) -> Permission:
    return Wait(at - now) if now < at else Go()
