"""Which call meets which fault, and which part is out of reach for whom."""

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
    """Draws what becomes of each call; counts what it drew."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rng = random.Random(f"faults {plan.seed}")
        #: How often each kind of fault struck.
        self.struck: Counter[str] = Counter()
        #: Whether faults strike at all: not any more once the world is to be calm.
        self.on = True
        self._crashes = plan.call_crashes if plan.has("crash") else 0.0
        self._kinds: list[Fate] = []
        if plan.has("slow_network"):
            self._kinds.append("slow")
        for kind in ("throttled", "request_lost", "answer_lost"):
            if plan.has(kind):
                self._kinds.append(kind)
        self._likely = plan.call_faults if self._kinds else 0.0
        #: Parts that are out of reach for everybody, and whether they are silent or refuse.
        self.down: dict[Part, Fate] = {}
        #: The same for one daemon, by its number.
        self.cut_off: dict[int, dict[Part, Fate]] = {}

    def strike(self, kind: str) -> None:
        """Count a fault that struck."""
        self.struck[kind] += 1

    def strikes(self, kind: str, likely: float, rng: random.Random) -> bool:
        """Draw whether a kind of fault strikes, if it exists in the seed; counts it if so."""
        if not (self._plan.has(kind) and self.on) or rng.random() >= likely:
            return False
        self.strike(kind)
        return True

    def fate(self, process: "Process", part: Part) -> Fate:
        """Draw what becomes of a call."""
        if not self.on:
            return "well"
        if (down := self.down.get(part)) is not None:
            self.strike(f"{part}_down")
            return down
        cut = self.cut_off.get(process.number, {})
        if part == "bulk_queue":
            # Both are SQS: what takes one away takes the other.
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
        """Put a part out of reach of everybody."""
        self.down[part] = self._rng.choice(("refused", "throttled", "request_lost", "answer_lost"))

    def begin_partition(self, number: int) -> None:
        """Put some parts out of reach of one daemon."""
        parts = self._rng.sample(_PARTS, self._rng.randint(1, len(_PARTS)))
        fate: Fate = self._rng.choice(("refused", "request_lost", "answer_lost"))
        self.cut_off[number] = dict.fromkeys(parts, fate)

    def calm(self) -> None:
        """Let nothing fail any more."""
        self.on = False
        self.down.clear()
        self.cut_off.clear()
