"""Draws the fault of each call, and keeps which parts are unreachable."""

import random
from collections import Counter
from typing import TYPE_CHECKING, Final

from tests.simulation.network import Fate, Part
from tests.simulation.plan import Plan

if TYPE_CHECKING:
    from tests.simulation.process import Process

_PARTS: Final[tuple[Part, ...]] = ("store", "queue", "topics", "database")
_DEATHS: Final[tuple[Fate, ...]] = ("dies_before", "dies_during", "dies_after")


class Faults:
    """Draws the fate of each call, and counts the faults."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rng = random.Random(f"faults {plan.seed}")
        #: The number of faults of each kind.
        self.struck: Counter[str] = Counter()
        #: Whether faults strike. It is false after ``calm``.
        self.on = True
        self._crashes = plan.call_crashes if plan.has("crash") else 0.0
        self._kinds: list[Fate] = []
        if plan.has("slow_network"):
            self._kinds.append("slow")
        for kind in ("throttled", "request_lost", "answer_lost"):
            if plan.has(kind):
                self._kinds.append(kind)
        self._likely = plan.call_faults if self._kinds else 0.0
        #: Parts that are unreachable for all daemons, with the fate of each call.
        self.down: dict[Part, Fate] = {}
        #: The same for one daemon, by its number.
        self.cut_off: dict[int, dict[Part, Fate]] = {}

    def strike(self, kind: str) -> None:
        """Count a fault that struck."""
        self.struck[kind] += 1

    def strikes(self, kind: str, likely: float, rng: random.Random) -> bool:
        """Draw whether a kind of fault strikes, and count it. The seed's plan must have it."""
        if not (self._plan.has(kind) and self.on) or rng.random() >= likely:
            return False
        self.strike(kind)
        return True

    def fate(self, process: "Process", part: Part) -> Fate:
        """Draw the fate of a call."""
        if not self.on:
            return "well"
        if (down := self.down.get(part)) is not None:
            self.strike(f"{part}_down")
            return down
        cut = self.cut_off.get(process.number, {})
        if part == "bulk_queue":
            # Both queues are in SQS, so an outage takes away both.
            down = self.down.get("queue")
            cut = {part: cut["queue"]} if "queue" in cut else {}
        if down is not None:
            return down
        if part in cut:
            self.strike("partition")
            return cut[part]
        luck = self._rng.random()
        if luck < self._crashes:
            self.strike("crash")
            return self._rng.choice(_DEATHS)
        if luck < self._crashes + self._likely:
            fate = self._rng.choice(self._kinds)
            self.strike("slow_network" if fate == "slow" else fate)
            return fate
        return "well"

    def begin_outage(self, part: Part) -> None:
        """Make a part unreachable for all daemons."""
        self.down[part] = self._rng.choice(("refused", "throttled", "request_lost", "answer_lost"))

    def begin_partition(self, number: int) -> None:
        """Make some parts unreachable for one daemon."""
        parts = self._rng.sample(_PARTS, self._rng.randint(1, len(_PARTS)))
        fate: Fate = self._rng.choice(("refused", "request_lost", "answer_lost"))
        self.cut_off[number] = dict.fromkeys(parts, fate)

    def calm(self) -> None:
        """End all faults."""
        self.on = False
        self.down.clear()
        self.cut_off.clear()
