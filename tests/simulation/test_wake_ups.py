"""Wake-up messages that were not sent go out as soon as their part is back."""

import asyncio
from typing import Any

import pytest

from fraudd.errors import Unreadable
from tests.simulation.process import Process
from tests.simulation.queue import Meaning
from tests.simulation.store import SimulatedStore
from tests.simulation.test_errors_of_parts import play, until
from tests.simulation.world import World

#: The defaults of the configuration.
TERMS = {"sweep_interval": 15.0, "grace": 60.0, "requeue_after": 900.0, "max_wait": None}
#: The longest pause between two sweeps: the interval with its jitter.
ROUND_SECONDS = 1.5 * 15


async def others(world: World) -> None:
    """Let other services request scores, so that the lane is never seen empty."""
    number = 1000
    while True:
        number += 1
        entity_id = f"shop-{number}"
        meaning = Meaning(kind="request", entity_id=entity_id)
        world.queue.send(f'{{"entity_id": "{entity_id}"}}', {}, meaning)
        await asyncio.sleep(5)


@pytest.mark.parametrize("busy", [False, True], ids=["quiet", "busy"])
@pytest.mark.parametrize("minutes", [1, 5, 20, 60])
def test_after_an_outage_of_sns_the_runs_of_that_time_are_woken_within_a_sweep(
    minutes: int, busy: bool
) -> None:
    requested = [f"shop-{number}" for number in range(1, 6)]

    async def scene(world: World, process: Process) -> None:
        group = asyncio.create_task(others(world)) if busy else None
        world.faults.on = True
        world.faults.down["topics"] = "refused"
        for entity_id in requested:
            await asyncio.sleep(minutes * 60 / len(requested))
            await process.spawn(process.engine.intake.request(entity_id))
        world.faults.down.clear()
        # In a busy lane the run begins after those that other services requested meanwhile.
        fact = "published_at" if busy else "started_at"
        await until(
            lambda: all(world.table.items[one].get(fact) for one in requested),
            seconds=30 + ROUND_SECONDS,
        )
        if group is not None:
            group.cancel()

    play(scene, **TERMS)


def test_an_outage_of_sns_expires_no_run() -> None:
    async def scene(world: World, process: Process) -> None:
        world.faults.on = True
        world.faults.down["topics"] = "refused"
        await process.spawn(process.engine.intake.request("shop-1"))
        await asyncio.sleep(1200)
        world.faults.down.clear()
        await until(lambda: world.table.items["shop-1"]["state"] == "done", seconds=120)

    play(scene, **(TERMS | {"max_wait": 600.0}))


def test_a_record_that_cannot_be_read_does_not_stop_the_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    get = SimulatedStore.get

    async def damaged(self: SimulatedStore, entity_id: str) -> Any:
        if entity_id == "shop-1":
            raise Unreadable(entity_id, "requested_at is of type S")
        return await get(self, entity_id)

    async def scene(world: World, process: Process) -> None:
        world.faults.on = True
        world.faults.down["topics"] = "refused"
        for number in range(1, 4):
            await process.spawn(process.engine.intake.request(f"shop-{number}"))
        monkeypatch.setattr(SimulatedStore, "get", damaged)
        world.faults.down.clear()
        done = ("shop-2", "shop-3")
        await until(
            lambda: all(world.table.items[one]["state"] == "done" for one in done), seconds=120
        )

    play(scene, **TERMS)
