"""Errors of parts end no daemon, and judge no healthy run."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from fraudd.engine.breaker import FAULT_RUNS
from fraudd.errors import RunError, Unavailable
from fraudd.prediction.record import Transition
from tests.simulation.loop import VirtualLoop
from tests.simulation.process import Process
from tests.simulation.queue import SimulatedQueue
from tests.simulation.store import SimulatedStore
from tests.simulation.test_priority import calm
from tests.simulation.topics import SimulatedTopics
from tests.simulation.world import World

ENTITIES = [f"shop-{number}" for number in range(1, FAULT_RUNS + 2)]


class _Unchecked:
    """Takes the place of checks whose promises do not apply while a scene refuses calls."""

    def __getattr__(self, name: str) -> Callable[..., bool]:
        return lambda *_, **__: False


def play(scene: Callable[[World, Process], Awaitable[None]], **plan: Any) -> World:
    """Run a scene with one daemon, from its start to the end of the scene."""
    loop = VirtualLoop()
    world = World(
        replace(calm(daemons=1, permits=2), call_faults=0.0, call_crashes=0.0, **plan), loop
    )
    unchecked: Any = _Unchecked()
    world.message_checks = world.record_checks = world.answer_checks = world.end_checks = unchecked

    async def main() -> None:
        world.start_all()
        [process] = world.alive()
        await scene(world, process)
        assert not process.ended, "the daemon runs on"

    try:
        loop.run_until_complete(main())
    finally:
        world.close()
    return world


async def request_all(process: Process) -> None:
    """Request a score of each entity."""
    for entity_id in ENTITIES:
        await process.spawn(process.engine.intake.request(entity_id))


def states(world: World) -> set[object]:
    """The states of all entities."""
    return {world.table.items[entity_id]["state"] for entity_id in ENTITIES}


async def until(condition: Callable[[], bool], *, seconds: float) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.5)


def test_a_topic_that_refuses_each_announcement_dead_letters_no_healthy_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    announced: list[str] = []

    async def scene(world: World, process: Process) -> None:
        with monkeypatch.context() as refusing:

            async def refuse(self: SimulatedTopics, completion: object) -> None:
                raise RunError("refused_by_aws", "InvalidParameter: MessageGroupId")

            refusing.setattr(SimulatedTopics, "announce", refuse)
            await request_all(process)
            await until(lambda: process.engine.breaker.state == "fault", seconds=3600)
            await asyncio.sleep(3600)
            assert not world.queue.dead
            assert all(
                world.table.items[entity_id].get("deaths", 0) == 0
                for entity_id in ENTITIES
                if entity_id in world.table.items
            )

        announce = SimulatedTopics.announce

        async def note(self: SimulatedTopics, completion: Any) -> None:
            announced.append(completion.event["subject"])
            await announce(self, completion)

        monkeypatch.setattr(SimulatedTopics, "announce", note)
        await until(lambda: set(announced) == set(ENTITIES), seconds=7200)

    world = play(scene)
    assert states(world) == {"done"}
    assert not world.queue.dead


def test_a_result_that_the_store_refuses_becomes_a_stored_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    apply = SimulatedStore.apply

    async def refuse(self: SimulatedStore, transition: Transition) -> Any:
        if transition.sets.get("result") is not None:
            raise RunError("refused_by_aws", "ValidationException: Item size has exceeded")
        return await apply(self, transition)

    monkeypatch.setattr(SimulatedStore, "apply", refuse)

    async def scene(world: World, process: Process) -> None:
        await request_all(process)
        await until(lambda: states(world) == {"failed"}, seconds=300)
        errors = [world.table.items[entity_id]["error"] for entity_id in ENTITIES]
        assert {error["type"] for error in errors if isinstance(error, dict)} == {
            "result_too_large"
        }
        assert process.engine.breaker.state == "closed"

    assert not play(scene).queue.dead


@pytest.mark.parametrize(
    ("port", "method"),
    [
        (SimulatedStore, "get"),
        (SimulatedStore, "apply"),
        (SimulatedStore, "listed"),
        (SimulatedQueue, "receive"),
        (SimulatedQueue, "delete"),
        (SimulatedQueue, "hide"),
        (SimulatedQueue, "depth"),
        (SimulatedTopics, "announce"),
    ],
)
def test_an_error_that_nobody_expects_costs_no_run(
    monkeypatch: pytest.MonkeyPatch, port: type, method: str
) -> None:
    async def scene(world: World, process: Process) -> None:
        await request_all(process)
        with monkeypatch.context() as broken:

            async def divide(*_: object, **__: object) -> None:
                raise ZeroDivisionError(method)

            broken.setattr(port, method, divide)
            await asyncio.sleep(120)
        await until(lambda: states(world) == {"done"}, seconds=1200)
        assert {world.table.items[entity_id]["attempts"] for entity_id in ENTITIES} == {1}

    assert not play(scene).queue.dead


def test_a_drain_during_which_no_message_can_be_released_ends_without_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def divide(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    crashed: list[BaseException] = []

    async def scene(world: World, process: Process) -> None:
        world.database.run_seconds = lambda: 3600.0  # type: ignore[method-assign]
        monkeypatch.setattr(
            World, "crashed", lambda self, process, error: crashed.append(error), raising=True
        )
        await request_all(process)
        await until(lambda: len(process.engine.consumers.jobs) == 2, seconds=60)
        monkeypatch.setattr(SimulatedQueue, "hide", divide)
        process.terminate()
        process.terminate()
        await until(lambda: process.ended, seconds=60)
        process.ended = False  # for the check that all other scenes need

    play(scene)
    assert not crashed


def test_messages_that_no_dead_letter_queue_takes_hold_no_permit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise Unavailable("dead_letter_queue", "AccessDenied")

    monkeypatch.setattr(SimulatedQueue, "dead_letter", refuse)

    async def scene(world: World, process: Process) -> None:
        poisoned = ENTITIES[:3]
        for entity_id in poisoned:
            world.database._poisoned[entity_id] = "fails_each_time"
        await request_all(process)
        await until(
            lambda: {world.table.items[one]["state"] for one in ENTITIES[3:]} == {"done"},
            seconds=120,
        )
        assert process.engine.breaker.state == "closed"

    play(scene, max_attempts=1)


def test_a_systemic_failure_ends_with_a_run_that_fails_for_good() -> None:
    async def scene(world: World, process: Process) -> None:
        for entity_id in ENTITIES:
            world.database._poisoned[entity_id] = "fails_each_time"
        await request_all(process)
        await until(lambda: process.engine.breaker.state == "fault", seconds=600)
        for entity_id in ENTITIES:
            world.database._poisoned[entity_id] = "fails_for_good"
        await until(lambda: process.engine.breaker.state == "closed", seconds=600)
        await until(lambda: states(world) == {"failed"}, seconds=600)

    play(scene)


def test_a_table_that_refuses_writes_is_one_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(world: World, process: Process) -> None:
        await request_all(process)
        opened, tries, state = 0, 0, "closed"
        with monkeypatch.context() as refusing:

            async def refuse(self: SimulatedStore, transition: Transition) -> None:
                nonlocal tries
                tries += 1
                raise Unavailable("store", "AccessDenied: dynamodb:UpdateItem")

            refusing.setattr(SimulatedStore, "apply", refuse)
            for _ in range(6000):
                await asyncio.sleep(0.1)
                if process.engine.breaker.state != state:
                    state = process.engine.breaker.state
                    opened += state == "outage"
        assert opened == 1
        assert tries < 150
        await until(lambda: states(world) == {"done"}, seconds=1200)

    play(scene)


def test_the_interactive_lane_keeps_its_speed_while_the_bulk_queue_is_unreachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def bulk_only(method: str) -> None:
        usual = getattr(SimulatedQueue, method)

        async def call(self: SimulatedQueue, *args: Any, **options: Any) -> Any:
            if self._service.lane == "bulk":
                raise Unavailable("bulk_queue", "AccessDenied")
            return await usual(self, *args, **options)

        monkeypatch.setattr(SimulatedQueue, method, call)

    async def scene(world: World, process: Process) -> None:
        world.database.run_seconds = lambda: 4.0  # type: ignore[method-assign]
        for number in range(50):
            await process.spawn(process.engine.intake.request(f"bulk-{number}", lane="bulk"))
        await until(lambda: len(process.engine.consumers.jobs) == 9, seconds=60)
        for method in ("delete", "hide", "send_again", "receive"):
            bulk_only(method)
        await asyncio.sleep(10)
        began = world.loop.time()
        await request_all(process)
        await until(lambda: states(world) == {"done"}, seconds=600)
        assert world.loop.time() - began < 8, "six runs of four seconds fit into ten permits"

    play(scene, permits=10, consumers=11)
