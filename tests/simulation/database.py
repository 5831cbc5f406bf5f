"""The database and the model, with their faults, and with poison entities."""

import asyncio
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, NoReturn

from fraudd.errors import BackPressure, PermanentError, TransientError, Unavailable
from fraudd.ports import FeatureValues, Permit, Scored
from tests.simulation.clocks import true_ms
from tests.simulation.network import Crashed

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

Poison = Literal["fails_for_good", "fails_each_time", "never_ends", "kills_the_process"]
_POISONS: Final[tuple[Poison, ...]] = (
    "fails_for_good",
    "fails_each_time",
    "never_ends",
    "kills_the_process",
)
#: The longest run time, as a share of the run time-out. Only poison takes longer.
_LONGEST_SHARE = 0.6
_LONGEST_SECONDS = 60.0
#: With more running threads than this, the database is busy.
BUSY_THREADS = 50


class Database:
    """The state of the database, for all daemons."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.rng = random.Random(f"database {world.plan.seed}")
        self.slow = 1.0
        #: The number of connections that are left for the daemons. None means enough.
        self.room: int | None = None
        self.threads_running = 1
        #: A fault that every run meets, in the SQL or in the model.
        self.every_run: Literal["sql", "model"] | None = None
        #: The entity whose read hangs until it is cancelled.
        self.hanging: str | None = None
        self._poisons = [poison for poison in _POISONS if world.plan.has(poison)]
        self._poisoned: dict[str, Poison] = {}
        # Running statements, by process and permit.
        self._reading: dict[int, dict[int, str]] = {}

    def calm(self) -> None:
        """End all faults of the database."""
        self.slow, self.every_run = 1.0, None
        self.room, self.threads_running = None, 1

    def draw_poisons(self, entities: list[str]) -> None:
        """Choose the poison entities."""
        for poison in self._poisons:
            victim = self.rng.choice(entities)
            self._poisoned.setdefault(victim, poison)

    def poison(self, entity_id: str) -> Poison | None:
        """Return the poison of an entity, if it has one."""
        return self._poisoned.get(entity_id)

    def run_seconds(self) -> float:
        """Draw the time of a run, with a heavy tail."""
        plan = self._world.plan
        seconds = plan.run_seconds * self.rng.paretovariate(1.2) * 0.5
        return min(seconds, plan.job_timeout * _LONGEST_SHARE, _LONGEST_SECONDS) * self.slow

    def begin(self, process: "Process", permit: Permit, entity_id: str) -> None:
        """Note that a read begins on the connection of a permit."""
        reading = self._reading.setdefault(process.serial, {})
        self._world.message_checks.reading(process, permit.number, reading, entity_id)
        reading[permit.number] = entity_id

    def end(self, process: "Process", permit: Permit) -> None:
        """Note that a read ends."""
        self._reading[process.serial].pop(permit.number, None)

    def reading(self, process: "Process") -> int:
        """Return the number of running statements of a process."""
        return len(self._reading.get(process.serial, {}))

    def admit(self, process: "Process", entity_id: str) -> None:
        """Refuse a connection if none is left. Report how busy the server is."""
        everybody = sum(len(reading) for reading in self._reading.values())
        if self.room is None or everybody <= self.room:
            if self.threads_running > BUSY_THREADS:
                self._world.faults.strike("database_busy")
            process.permits.observe(self.threads_running)
            return
        self._world.faults.strike("database_full")
        self._world.lives.disturb(entity_id, "no connection left")
        if process.permits.refused(connected=self.reading(process) > 1):
            raise Unavailable("database", "too many connections")
        raise BackPressure("database", "too many connections")


class SimulatedFeatures:
    """The feature SQL of one process."""

    def __init__(self, database: Database, process: "Process") -> None:
        self._database = database
        self._process = process

    async def read(self, entity_id: str, permit: Permit, *, seconds: float) -> FeatureValues:
        """Read the features in one snapshot. A cancelled read ends when the statement has."""
        try:
            async with asyncio.timeout(seconds):
                return await self._read_on(entity_id, permit)
        except TimeoutError:
            raise TransientError("too_slow", "the run timed out") from None

    async def _read_on(self, entity_id: str, permit: Permit) -> FeatureValues:
        process = self._process
        if process.dead:
            raise Crashed
        self._database.begin(process, permit, entity_id)
        try:
            return await self._read(entity_id)
        except (TransientError, PermanentError):
            process.database_done(entity_id)
            raise
        except asyncio.CancelledError:
            process.world.lives.cut(process, entity_id)
            process.database_done(entity_id)
            if process.dead:
                raise Crashed from None
            # The statement is killed and its error read before the permit may go back.
            await _shielded_pause(process.world.network.uniform(0.01, 0.3))
            raise
        finally:
            self._database.end(process, permit)

    async def _read(self, entity_id: str) -> FeatureValues:
        process, world = self._process, self._process.world
        # The snapshot begins when the server has answered.
        as_of = await process.link.call(
            "database", lambda: true_ms(world.loop), about=entity_id, tries=1
        )
        self._database.admit(process, entity_id)
        world.lives.snapshot(process, entity_id, as_of)
        world.note(process.name, entity_id, "snapshot")
        await self._suffer(entity_id)
        await asyncio.sleep(self._database.run_seconds())
        if process.dead:
            raise Crashed
        world.lives.read_ended(process, entity_id)
        return FeatureValues(
            values={"poison": float(hash_of(entity_id))}, as_of=as_of, connecting_ms=0, files_ms={}
        )

    async def _suffer(self, entity_id: str) -> None:
        """Apply the faults of the database, of every run, and of this entity."""
        database, world = self._database, self._process.world
        rng, strike = database.rng, world.faults.strike
        poison = database.poison(entity_id)
        if world.faults.on and rng.random() < 0.1:
            if world.plan.has("database_kills"):
                strike("database_kills")
                await asyncio.sleep(rng.uniform(0, 1))
                self._fail(entity_id, "connection_lost", "the connection was killed")
            if world.plan.has("deadlocks"):
                strike("deadlocks")
                self._fail(entity_id, "deadlock", "a deadlock")
        if database.every_run == "sql":
            strike("every_run_fails")
            self._fail(entity_id, "division_by_zero", "a bad statement")
        if world.plan.has("hangs_for_half_a_day") and database.hanging is None:
            strike("hangs_for_half_a_day")
            database.hanging = entity_id
            await asyncio.Event().wait()
        if poison == "never_ends":
            strike("never_ends")
            await asyncio.Event().wait()
        if poison == "fails_each_time":
            strike("fails_each_time")
            self._fail(entity_id, "deadlock", "a deadlock, as ever")
        if poison == "fails_for_good":
            strike("fails_for_good")
            world.lives.failed_for_good(self._process, entity_id)
            raise PermanentError("entity_unknown", "no such entity")

    def _fail(self, entity_id: str, type_: str, detail: str) -> NoReturn:
        self._process.world.lives.failed_in_passing(self._process, entity_id, type_)
        raise TransientError(type_, detail)


class SimulatedModel:
    """The model of one process."""

    version = "2026-11-24-51fab1"

    def __init__(self, database: Database, process: "Process") -> None:
        self._database = database
        self._process = process

    def score(self, values: Mapping[str, float]) -> Scored:
        """Score, unless the model is bad or the entity kills the process."""
        process, world = self._process, self._process.world
        entity_id = world.lives.by_hash(int(values["poison"]))
        if self._database.poison(entity_id) == "kills_the_process":
            world.faults.strike("kills_the_process")
            world.lives.killed(process, entity_id)
            process.crash(f"killed by {entity_id}")
            raise Crashed
        if self._database.every_run == "model":
            world.faults.strike("every_run_fails")
            world.lives.failed_in_passing(process, entity_id, "model")
            raise ValueError("the model expects other features")
        process.failed_in_a_row.clear()
        return Scored(score=0.5, decision="review", reasons=())


def hash_of(entity_id: str) -> int:
    """Return the number that identifies an entity in its features."""
    return int(entity_id.rpartition("-")[2])


async def _shielded_pause(seconds: float) -> None:
    """Wait in spite of cancellation, which does not make the server quicker."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    loop.call_later(seconds, over.set_result, None)
    while not over.done():
        try:
            await asyncio.shield(over)
        except asyncio.CancelledError:
            continue
