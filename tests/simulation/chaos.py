"""Faults that no call triggers: outages, partitions, signals, and faults of every run."""

import asyncio
import random
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.database import BUSY_THREADS
from tests.simulation.network import Part

if TYPE_CHECKING:
    from tests.simulation.world import World

_PARTS: Final[tuple[Part, ...]] = ("store", "queue", "bulk_queue", "topics", "database")


class Chaos:
    """Has a coroutine for each kind of trouble in the seed's plan."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = random.Random(f"chaos {world.plan.seed}")

    def troubles(self) -> list[Coroutine[Any, Any, None]]:
        """Return the coroutines that run while faults are on."""
        plan = self._world.plan
        outages: list[Coroutine[Any, Any, None]] = [
            self._outages(part) for part in _PARTS if plan.has(f"{part}_down")
        ]
        kinds = {
            "partition": self._partitions,
            "crash": self._crashes,
            "sigterm": self._signals,
            "database_slow": self._slowness,
            "database_full": self._crowds,
            "database_busy": self._load,
            "every_run_fails": self._bad_features,
            "items_expire": self._expiry,
            "redriven": self._redrives,
        }
        return outages + [trouble() for kind, trouble in kinds.items() if plan.has(kind)]

    async def _lull(self) -> None:
        await asyncio.sleep(self._rng.expovariate(4 / self._world.plan.fault_seconds))

    def _length(self) -> float:
        """Draw a length: usually some seconds, sometimes longer than a visibility."""
        if self._rng.random() < 0.7:
            return self._rng.uniform(1, 15)
        return self._rng.uniform(0.5, 3) * self._world.plan.visibility

    async def _outages(self, part: Part) -> None:
        faults = self._world.faults
        while True:
            await self._lull()
            faults.begin_outage(part)
            self._world.note("world", None, f"{part} goes down", how=faults.down[part])
            # A long outage of the topics makes the sweeper send wake-ups at its longest interval.
            long = part == "topics" and self._rng.random() < 0.4
            await asyncio.sleep(self._world.plan.fault_seconds if long else self._length())
            faults.down.pop(part, None)
            self._world.note("world", None, f"{part} is back")

    async def _partitions(self) -> None:
        faults = self._world.faults
        while True:
            await self._lull()
            number = self._rng.randrange(self._world.plan.daemons)
            faults.begin_partition(number)
            self._world.note("world", None, f"d{number} cut off", parts=faults.cut_off[number])
            await asyncio.sleep(self._length())
            faults.cut_off.pop(number, None)
            self._world.note("world", None, f"d{number} reachable again")

    async def _crowds(self) -> None:
        """Let others take connections, so that few or none remain for all daemons."""
        database = self._world.database
        while True:
            await self._lull()
            database.room = self._rng.choice((0, 0, 1, 2, 3))
            self._world.note("world", None, "the database is full", room=database.room)
            await asyncio.sleep(self._length())
            database.room = None
            self._world.note("world", None, "the database has room")

    async def _load(self) -> None:
        """Let others keep the database busy."""
        database = self._world.database
        while True:
            await self._lull()
            database.threads_running = BUSY_THREADS + 1
            self._world.note("world", None, "the database is busy")
            await asyncio.sleep(self._length())
            database.threads_running = 1
            self._world.note("world", None, "the database is calm")

    async def _crashes(self) -> None:
        while True:
            await self._lull()
            if alive := self._world.alive():
                self._world.faults.strike("crash")
                self._rng.choice(alive).crash("SIGKILL")

    async def _signals(self) -> None:
        plan, faults = self._world.plan, self._world.faults
        while True:
            await self._lull()
            ready = [one for one in self._world.alive() if not one.draining]
            if not ready:
                continue
            process = self._rng.choice(ready)
            faults.strike("sigterm")
            process.terminate()
            if plan.has("sigterm_twice") and self._rng.random() < 0.6:
                await asyncio.sleep(self._rng.uniform(0, plan.drain))
                if not process.dead and not process.ended:
                    faults.strike("sigterm_twice")
                    process.terminate()

    async def _slowness(self) -> None:
        database = self._world.database
        while True:
            await self._lull()
            database.slow = self._rng.uniform(2, 8)
            self._world.faults.strike("database_slow")
            self._world.note("world", None, "the database is slow", factor=database.slow)
            await asyncio.sleep(self._length())
            database.slow = 1.0

    async def _bad_features(self) -> None:
        database = self._world.database
        while True:
            await self._lull()
            database.every_run = self._rng.choice(("sql", "model"))
            self._world.note("world", None, "every run fails", at=database.every_run)
            await asyncio.sleep(self._length() * 3)
            database.every_run = None
            self._world.note("world", None, "runs do not fail any more")

    async def _expiry(self) -> None:
        while True:
            await self._lull()
            for _ in range(self._world.table.expire()):
                self._world.faults.strike("items_expire")

    async def _redrives(self) -> None:
        while True:
            await self._lull()
            queues = self._world.queues
            for queue in queues:
                for _ in range(queue.redrive(self._rng.randint(1, 5), to=self._rng.choice(queues))):
                    self._world.faults.strike("redriven")
