"""Estimates of how long a run takes, compared with how long it took."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from fraudd.prediction.record import Record
from tests.simulation.clocks import true_ms
from tests.simulation.loop import VirtualLoop, cancel_all
from tests.simulation.plan import Plan, draw
from tests.simulation.process import Process
from tests.simulation.world import World

JOBS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """An estimate, and the time that it took, in seconds."""

    estimated: int
    took: float

    @property
    def honest(self) -> bool:
        # No estimate is below a second.
        return self.took / 2 <= self.estimated <= max(self.took * 2, 1)


class InOrder(random.Random):
    """Hands out messages in their order, as SQS does with most."""

    def sample(self, population: Sequence[object], k: int, **_: object) -> list[object]:  # type: ignore[override]
        return list(population[:k])


class Drain:
    """Opens a backlog and drains it. Meanwhile, clients request runs and read results."""

    def __init__(self, world: World, *, fronts: int) -> None:
        self._world = world
        self._rng = random.Random(f"drain {world.plan.seed}")
        self._fronts = fronts
        self._estimates: list[tuple[str, str, float, int]] = []

    async def play(self) -> tuple[list[Estimate], list[Estimate]]:
        """Give the estimates of requests that opened runs, and of those that read results."""
        world = self._world
        world.start_all()
        await asyncio.sleep(1)
        # A daemon that has never run anything can only guess.
        for number in range(JOBS, JOBS + 20):
            await self._ask(self._rng.choice(world.serving()), f"shop-{number}")
        await self._drained()
        self._estimates.clear()
        looking = asyncio.get_running_loop().create_task(self._look())
        for number in range(JOBS):
            front = world.serving()[number % self._fronts]
            await self._ask(front, f"shop-{number}")
            await asyncio.sleep(self._rng.uniform(0, 0.1))
        await self._drained()
        looking.cancel()
        return self._came("asked"), self._came("looked")

    async def _ask(self, process: Process, entity_id: str) -> None:
        asked = await process.spawn(process.engine.intake.request(entity_id))
        self._note("asked", process, asked.record)

    async def _look(self) -> None:
        """Read a pending run at any daemon, three times a second."""
        while True:
            await asyncio.sleep(0.33)
            if pending := self._world.pending():
                entity_id = self._rng.choice(pending)
                process = self._rng.choice(self._world.serving())
                record = await process.spawn(process.engine.intake.get(entity_id))
                if record is not None and record.pending:
                    self._note("looked", process, record)

    def _note(self, how: str, process: Process, record: Record) -> None:
        estimated = process.engine.estimate(record)
        self._estimates.append((how, record.entity_id, true_ms(self._world.loop) / 1000, estimated))

    async def _drained(self) -> None:
        while self._world.pending():
            await asyncio.sleep(0.5)

    def _came(self, wanted: str) -> list[Estimate]:
        items = self._world.table.items
        return [
            Estimate(
                estimated=estimated, took=int(str(items[entity_id]["finished_at"])) / 1000 - at
            )
            for how, entity_id, at, estimated in self._estimates
            if how == wanted
        ]


def calm(*, daemons: int, permits: int) -> Plan:
    """A plan without faults."""
    return replace(
        draw(1),
        kinds=frozenset(),
        daemons=daemons,
        permits=permits,
        consumers=permits + 1,
        entities=JOBS + 50,
        visibility=60,
        max_age=None,
        max_wait=None,
        ttl=86_400.0,
    )


def drain(*, daemons: int, permits: int, fronts: int) -> tuple[list[Estimate], list[Estimate]]:
    """Drain a backlog of 200 runs, requested at some of the daemons: about a minute of work."""
    loop = VirtualLoop()
    world = World(calm(daemons=daemons, permits=permits), loop)
    rng = random.Random("runs")
    slow = daemons * permits / 2
    world.database.run_seconds = lambda: rng.uniform(0.2, 1.2) * slow  # type: ignore[method-assign]
    world.queue._rng = InOrder("queue")
    try:
        return loop.run_until_complete(Drain(world, fronts=fronts).play())
    finally:
        cancel_all(loop)
        loop.close()


def share(estimates: list[Estimate]) -> float:
    """Give the share of honest estimates."""
    return sum(estimate.honest for estimate in estimates) / len(estimates)


@pytest.mark.parametrize(
    ("daemons", "permits", "fronts"), [(1, 2, 1), (1, 10, 1), (3, 2, 3), (3, 2, 1)]
)
def test_an_estimate_is_right_within_a_factor_of_two_for_nine_of_ten(
    daemons: int, permits: int, fronts: int
) -> None:
    asked, looked = drain(daemons=daemons, permits=permits, fronts=fronts)
    assert len(asked) == JOBS
    assert share(asked) >= 0.9, [estimate for estimate in asked if not estimate.honest]
    # A daemon does not know the order of runs that other daemons opened.
    assert share(looked) >= (0.9 if daemons == 1 else 0.8)
