"""When to stop taking work: parts that are out of reach, and faults that hit every run.

Pure: time is an argument, in seconds of a monotonic clock.
"""

import math
import random
from dataclasses import dataclass
from typing import Literal

from fraudd.prediction.retry import back_off

#: Parts that only some runs need: while one is out of reach the others are worked on.
_FOR_SOME = frozenset({"bulk_queue"})
#: So many runs of different entities that fail in a row, none succeeding between, are one fault.
FAULT_RUNS = 5
#: How long after a fault one run is tried, and how long that may grow.
FAULT_PROBE_SECONDS, FAULT_PROBE_MOST_SECONDS = 30.0, 300.0


@dataclass(slots=True)
class _Outage:
    """A part that is out of reach."""

    detail: str
    failures: int
    probe_at: float
    probing: bool = False


@dataclass(slots=True)
class _Fault:
    """Something that makes every run fail."""

    detail: str
    interval: float
    probe_at: float


class Breaker:
    """Closed while all is well; open while something every run needs is not."""

    def __init__(self, *, base_seconds: float, max_seconds: float, rng: random.Random) -> None:
        self._base_seconds = base_seconds
        self._max_seconds = max_seconds
        self._rng = rng
        self._outages: dict[str, _Outage] = {}
        self._back_at: dict[str, float] = {}
        self._failed_entities: list[str] = []
        self._fault: _Fault | None = None

    @property
    def state(self) -> Literal["closed", "outage", "fault"]:
        """Why no messages are taken; ``closed``: they are."""
        return "outage" if self._needed() else "fault" if self._fault else "closed"

    @property
    def blocked_by(self) -> str | None:
        """Say what is wrong; None where nothing is."""
        if needed := self._needed():
            return "; ".join(f"{part}: {outage.detail}" for part, outage in needed.items())
        if self._fault is None:
            return None
        return f"runs fail one after the other, the last of them: {self._fault.detail}"

    def retry(self, now: float) -> None:
        """Let the next probe be now: somebody may have mended what is wrong."""
        for outage in self._outages.values():
            outage.probe_at = min(outage.probe_at, now)
        if self._fault is not None:
            self._fault.probe_at = min(self._fault.probe_at, now)

    # A part out of reach

    def enter(self, part: str, now: float) -> float:
        """Ask to call a part: 0 is yes, else the seconds to wait before asking again.

        Of all who wait for a part that is out of reach one calls, as the probe.
        """
        outage = self._outages.get(part)
        if outage is None:
            return 0.0
        if outage.probing:
            return math.inf
        if now < outage.probe_at:
            return outage.probe_at - now
        outage.probing = True
        return 0.0

    def answered(self, part: str, now: float) -> bool:
        """Note that a part answered; tells whether that ends an outage."""
        if self._outages.pop(part, None) is None:
            return False
        self._back_at[part] = now
        return True

    def failed(self, part: str, detail: str, now: float) -> bool:
        """Note that a part was out of reach; tells whether that begins an outage."""
        known = self._outages.get(part)
        if known is not None and not known.probing and now < known.probe_at:
            return False  # a call that was under way when the outage was noticed
        failures = known.failures + 1 if known is not None else 1
        delay = back_off(
            failures,
            base_seconds=self._base_seconds,
            max_seconds=self._max_seconds,
            rng=self._rng,
        )
        self._outages[part] = _Outage(detail, failures, now + delay)
        return known is None

    def left(self, part: str) -> None:
        """Note that a call ended without telling anything: another may probe."""
        if (outage := self._outages.get(part)) is not None:
            outage.probing = False

    def answering_for(self, part: str, now: float) -> float:
        """Tell for how many seconds a part has answered again; infinity where it always did."""
        if part in self._outages:
            return 0.0
        back_at = self._back_at.get(part)
        return math.inf if back_at is None else now - back_at

    # A fault that hits every run

    def run_succeeded(self) -> bool:
        """Note a run that found its score; tells whether that ends a fault."""
        self._failed_entities.clear()
        fault, self._fault = self._fault, None
        return fault is not None

    def run_failed(self, entity_id: str, detail: str, now: float) -> bool:
        """Note an attempt that ended transient or as a bug; tells whether that begins a fault."""
        if self._fault is not None:
            interval = min(self._fault.interval * 2, FAULT_PROBE_MOST_SECONDS)
            self._fault = _Fault(detail, interval, now + interval)
            return False
        if entity_id in self._failed_entities:
            return False
        self._failed_entities.append(entity_id)
        if len(self._failed_entities) < FAULT_RUNS:
            return False
        self._fault = _Fault(detail, FAULT_PROBE_SECONDS, now + FAULT_PROBE_SECONDS)
        return True

    def run_began(self, now: float) -> None:
        """Note that an attempt began: after a fault the next probe is an interval away."""
        if self._fault is not None:
            self._fault.probe_at = now + self._fault.interval

    # The poll

    def poll_in(self, now: float, *, in_hand: int) -> float:
        """Give the seconds until a poll is allowed: 0 is now, infinity not before a change.

        While something is wrong only one message at a time is taken, as the probe: in an outage
        where nothing in hand can probe, after a fault at growing intervals.
        """
        if self.state == "closed":
            return 0.0
        if in_hand:
            return math.inf
        return max(0.0, self._poll_at() - now)

    def poll_bulk_in(self, now: float) -> float:
        """Give the seconds until the bulk queue may be polled, by what is known of it alone."""
        outage = self._outages.get("bulk_queue")
        return max(0.0, outage.probe_at - now) if outage is not None else 0.0

    def _poll_at(self) -> float:
        fault_at = self._fault.probe_at if self._fault is not None else 0.0
        if not (needed := self._needed()):
            return fault_at
        first = min(needed.values(), key=lambda outage: outage.probe_at)
        # The poll cannot do without the queue; of the other parts it probes any.
        return max(fault_at, needed.get("queue", first).probe_at)

    def _needed(self) -> dict[str, _Outage]:
        """Give the outages that every run suffers from."""
        return {part: outage for part, outage in self._outages.items() if part not in _FOR_SOME}
