"""A request in the interactive lane does not wait for the bulk lane, however full that is."""

import asyncio
import random
from dataclasses import replace

import pytest

from tests.simulation.clocks import true_ms
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Fate, Part
from tests.simulation.plan import Plan, draw
from tests.simulation.process import Process
from tests.simulation.world import World

BULK, OTHERS = 300, 20
RUN_SECONDS = 4.0
HOUR_SECONDS = 3600.0


def calm(*, daemons: int, permits: int) -> Plan:
    """A plan without faults, and with a bulk lane."""
    return replace(
        draw(1),
        kinds=frozenset({"bulk"}),
        daemons=daemons,
        permits=permits,
        consumers=permits + 1,
        entities=BULK + OTHERS,
        visibility=60,
        job_timeout=60.0,
        wait=20,
        max_age=None,
        max_wait=None,
        ttl=86_400.0,
        # Nothing is lost, so the sweeper has no work.
        grace=3600.0,
    )


async def waited(world: World) -> list[float]:
    """Fill the bulk lane, and request runs in the other. Give the time until each began."""
    rng = random.Random("others")
    world.start_all()
    await asyncio.sleep(1)
    for number in range(BULK):
        process = rng.choice(world.serving())
        await process.spawn(process.engine.intake.request(f"shop-{number}", lane="bulk"))
    asked = {}
    for number in range(BULK, BULK + OTHERS):
        await asyncio.sleep(rng.uniform(2, 6) * RUN_SECONDS)
        process = rng.choice(world.serving())
        asked[f"shop-{number}"] = true_ms(world.loop)
        await process.spawn(process.engine.intake.request(f"shop-{number}"))
    assert world.bulk_queue.messages, "the bulk lane was full to the end"
    while any(
        world.table.items[entity_id]["state"] in ("queued", "running") for entity_id in asked
    ):
        await asyncio.sleep(1)
    items = world.table.items
    return [
        (int(str(items[entity_id]["started_at"])) - at) / 1000 for entity_id, at in asked.items()
    ]


def play(*, daemons: int, permits: int) -> list[float]:
    """Give the waiting times, the shortest first."""
    loop = VirtualLoop()
    world = World(calm(daemons=daemons, permits=permits), loop)
    rng = random.Random("runs")
    world.database.run_seconds = lambda: rng.uniform(0.5, 1.5) * RUN_SECONDS  # type: ignore[method-assign]
    try:
        times = loop.run_until_complete(waited(world))
    finally:
        world.close()
    assert world.failure is None, world.failure
    return sorted(times)


@pytest.mark.parametrize(("daemons", "permits"), [(1, 2), (1, 4), (3, 2)])
def test_where_there_are_two_permits_it_begins_at_once(daemons: int, permits: int) -> None:
    times = play(daemons=daemons, permits=permits)
    # One permit is reserved. A request waits only if another one has it, for a part of a run.
    assert times[len(times) // 2] < 0.2
    assert times[-1] < RUN_SECONDS


@pytest.mark.parametrize("permits", [1, 2])
def test_at_rest_a_bulk_lane_costs_no_more_than_one_long_poll(permits: int) -> None:
    def calls(kinds: set[str]) -> int:
        loop = VirtualLoop()
        plan = calm(daemons=1, permits=permits)
        world = World(replace(plan, kinds=frozenset(kinds), sweep_interval=15.0), loop)
        made = 0

        def fate(process: Process, part: Part) -> Fate:
            nonlocal made
            made += 1
            return "well"

        world.faults.fate = fate  # type: ignore[method-assign]
        try:
            world.start_all()
            loop.run_until_complete(asyncio.sleep(HOUR_SECONDS))
        finally:
            world.close()
        return made

    a_long_poll = HOUR_SECONDS / 20
    assert calls({"bulk"}) - calls(set()) <= a_long_poll * 1.05


def test_with_one_permit_it_is_the_next_to_begin() -> None:
    times = play(daemons=1, permits=1)
    assert times[len(times) // 2] < RUN_SECONDS
    assert times[-1] < 2 * RUN_SECONDS
