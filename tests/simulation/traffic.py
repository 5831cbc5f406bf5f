"""Who asks: callers of the HTTP interface, and other services that publish events."""

import asyncio
import json
import random
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from fraudd.errors import Unavailable
from fraudd.prediction.record import Lane
from tests.simulation.answer_checks import Standing
from tests.simulation.clocks import true_ms
from tests.simulation.network import Crashed
from tests.simulation.process import Process
from tests.simulation.queue import Meaning

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")

_MALFORMED = ("nonsense", "[]", "{}", '{"entity_id": 7}', '{"entity_id": "-"}')


class Traffic:
    """All requests of a seed."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = random.Random(f"traffic {world.plan.seed}")
        self.entities = [f"shop-{number}" for number in range(1, world.plan.entities + 1)]

    def all(self) -> list[Coroutine[Any, Any, None]]:
        """Give one coroutine for each request, spread over the time of faults."""
        plan = self._world.plan
        found: list[Coroutine[Any, Any, None]] = []
        while len(found) < plan.asks:
            at = self._rng.uniform(0, plan.fault_seconds * 0.95)
            entity_id = self._entity()
            many = 1
            if plan.has("burst") and self._rng.random() < 0.15:
                self._world.faults.strike("burst")
                many = self._rng.randint(2, 8)
            together = self._rng.random() < 0.5
            for _ in range(many):
                found.append(self._caller(at, entity_id if together else self._entity()))
        if plan.has("forget"):
            found += [self._forgetter() for _ in range(self._rng.randint(1, 5))]
        if plan.has("foreign"):
            found += [self._service() for _ in range(plan.foreign)]
        if plan.has("bulk"):
            found += [caller for _ in range(plan.batches) for caller in self._batch()]
        if plan.has("malformed"):
            found += [self._nonsense() for _ in range(self._rng.randint(1, 5))]
        return found

    def _entity(self) -> str:
        """Some entities are asked for far more often than others."""
        few = max(1, len(self.entities) // 4)
        return self._rng.choice(self.entities[:few] if self._rng.random() < 0.5 else self.entities)

    def _time(self) -> float:
        return self._rng.uniform(0, self._world.plan.fault_seconds * 0.95)

    def _batch(self) -> list[Coroutine[Any, Any, None]]:
        """Ask for some entities at once, in the bulk lane."""
        at = self._time()
        some = self._rng.sample(self.entities, self._rng.randint(1, len(self.entities)))
        return [self._caller(at, entity_id, "bulk") for entity_id in some]

    async def _caller(self, at: float, entity_id: str, lane: Lane = "interactive") -> None:
        """Ask, ask again where there was no answer, and look up what became of it."""
        plan = self._world.plan
        force = plan.has("force") and self._rng.random() < 0.3
        max_age = self._rng.choice((None, None, self._rng.uniform(0, 120)))
        vanishes = plan.has("vanish") and self._rng.random() < 0.3
        pauses = [self._rng.uniform(0.2, 40) for _ in range(self._rng.randint(1, 4))]
        await asyncio.sleep(at)
        if force:
            self._world.faults.strike("force")
        if lane == "bulk":
            self._world.faults.strike("bulk")
        for pause in pauses:
            if await self._ask(entity_id, force=force, max_age=max_age, lane=lane):
                break
            await asyncio.sleep(pause)
        if vanishes:
            self._world.faults.strike("vanish")
            return
        for pause in pauses:
            await asyncio.sleep(pause)
            await self._look_up(entity_id)

    async def _ask(self, entity_id: str, *, force: bool, max_age: float | None, lane: Lane) -> bool:
        world = self._world
        if (process := self._some_process()) is None:
            return False
        entity = world.lives.entity(entity_id)
        since = Standing(entity, true_ms(world.loop))
        world.note(process.name, entity_id, "asked", force=force, lane=lane)
        entity.asking += 1
        entity.asked_ms = true_ms(world.loop)
        try:
            asked = await self._call(
                process,
                process.engine.intake.request(
                    entity_id, max_age_seconds=max_age, force=force, lane=lane
                ),
            )
        finally:
            entity.asking -= 1
            entity.asked_ms = true_ms(world.loop)
        if asked is None:
            return False
        world.note(
            process.name, entity_id, "answered", status=asked.status, run=asked.record.run_id
        )
        world.answer_checks.answered(
            process,
            entity_id,
            asked.record,
            since=since,
            started=asked.status == "started",
            asked_in=lane,
        )
        return True

    async def _look_up(self, entity_id: str) -> None:
        world = self._world
        if (process := self._some_process()) is None:
            return
        since = Standing(world.lives.entity(entity_id), true_ms(world.loop))
        found: list[Any] = []

        async def look_up() -> bool:
            found.append(await process.engine.intake.get(entity_id))
            return True

        if await self._call(process, look_up()):
            [record] = found
            world.note(process.name, entity_id, "looked up", state=record and record.state)
            world.answer_checks.answered(process, entity_id, record, since=since, started=False)

    async def _forgetter(self) -> None:
        at, entity_id = self._time(), self._entity()
        await asyncio.sleep(at)
        if (process := self._some_process()) is not None:
            self._world.faults.strike("forget")
            self._world.note(process.name, entity_id, "asked to forget")
            self._world.lives.entity(entity_id).to_forget = True
            await self._call(process, process.engine.intake.delete(entity_id))

    async def _service(self) -> None:
        """Publish another service's event, now and then twice."""
        world = self._world
        at, entity_id = self._time(), self._entity()
        later = self._rng.uniform(0.1, 60)
        twice = world.plan.has("foreign_twice") and self._rng.random() < 0.4
        await asyncio.sleep(at)
        for _ in range(2 if twice else 1):
            world.faults.strike("foreign_twice" if twice else "foreign")
            meaning = Meaning(kind="request", entity_id=entity_id, asked_at=true_ms(world.loop))
            world.topics.publish(
                "service", json.dumps({"entity_id": entity_id, "extra": 1}), meaning, loses=False
            )
            await asyncio.sleep(later)

    async def _nonsense(self) -> None:
        at, body = self._time(), self._rng.choice(_MALFORMED)
        await asyncio.sleep(at)
        self._world.faults.strike("malformed")
        self._world.topics.publish("service", body, Meaning(kind="malformed"), loses=False)

    def _some_process(self) -> Process | None:
        serving = self._world.serving()
        return self._rng.choice(serving) if serving else None

    async def _call(self, process: Process, work: Coroutine[Any, Any, T]) -> T | None:
        """Call a process; None where no answer came."""
        process.asking += 1
        task = process.spawn(work)
        await asyncio.wait([task])
        process.asking -= 1
        if task.cancelled():
            return None
        error = task.exception()
        if error is not None and not isinstance(error, Unavailable | Crashed):
            self._world.crashed(process, error)
        return None if error is not None else task.result()
