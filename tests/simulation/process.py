"""One process life of a daemon: it starts the shipped engine, and dies or drains."""

import asyncio
import contextvars
import random
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from fraudd.database.limit import AdaptiveLimit
from fraudd.database.permits import Permits
from fraudd.engine.engine import Engine
from fraudd.engine.job import Job
from fraudd.engine.terms import (
    BacklogTerms,
    ConsumerTerms,
    EngineTerms,
    RequestTerms,
    ResultTerms,
    RetryTerms,
    RunTerms,
    SweeperTerms,
)
from fraudd.ports import Ports, Scorer
from fraudd.prediction.record import Lane
from fraudd.prediction.retry import Limits
from fraudd.telemetry.clock_skew import ClockSkew
from tests.simulation.clocks import SimulatedClock, true_ms
from tests.simulation.database import BUSY_THREADS, SimulatedFeatures, SimulatedModel
from tests.simulation.loop import NumberedTask
from tests.simulation.network import Link
from tests.simulation.plan import Plan
from tests.simulation.queue import SimulatedQueue
from tests.simulation.store import SimulatedStore
from tests.simulation.topics import SimulatedTopics

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")

#: Which process a task belongs to: whatever it starts belongs there too.
HOME: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("HOME", default=None)


class Process:
    """A daemon from its start to its end; the next start is another process."""

    def __init__(self, world: "World", number: int, serial: int, offset_ms: int) -> None:
        self.world = world
        self.number = number
        self.serial = serial
        self.name = f"d{number}.{serial}"
        self.clock = SimulatedClock(world.loop, offset_ms)
        self.link = Link(world, self)
        self.skew = ClockSkew()
        limit = AdaptiveLimit(world.plan.permits, busy_threads=BUSY_THREADS)
        self.permits = Permits(limit, clock=self.clock)
        self.tasks: dict[int, NumberedTask] = {}
        self.dead = False
        self.draining = False
        self.released = False
        self.ended = False
        #: How many messages the poll of each lane that is outstanding asks for.
        self.polling: dict[Lane, int] = {}
        #: Whether the last poll of each lane brought anything.
        self.brought: dict[Lane, bool] = {}
        #: Calls of its HTTP interface under way.
        self.asking = 0
        #: Whether any call of it met a fault.
        self.disturbed = False
        #: When calls of it failed in the end, or took long: beats may have been missed.
        self.hurt_at: list[float] = []
        #: When calls of it failed in the end: what was to come after them did not.
        self.failed_at: list[float] = []
        #: When it was told to stop, or died.
        self.stopped_at = float("inf")
        #: Entities whose runs failed in passing since one last succeeded.
        self.failed_in_a_row: dict[str, None] = {}
        #: The entity whose run kills it.
        self.killer: str | None = None
        #: When a poll last brought a message although every run failed.
        self.probed_at = float("-inf")
        # Jobs whose feature phase is over, by the tokens of their leases.
        self._read: set[str] = set()
        scorer = Scorer(
            SimulatedFeatures(world.database, self), SimulatedModel(world.database, self)
        )
        self.engine = Engine(
            ports=Ports(
                store=SimulatedStore(world.table, self),
                queues={queue.lane: SimulatedQueue(queue, self) for queue in world.queues},
                topics=SimulatedTopics(world.topics, self),
            ),
            scorer=lambda: scorer,
            permits=self.permits,
            clock=self.clock,
            rng=random.Random(f"process {world.plan.seed} {serial}"),
            metrics=world.metrics,
            skew=self.skew,
            terms=terms(world.plan),
        )

    @property
    def serves(self) -> bool:
        """Whether callers reach it: alive, and its clock is right."""
        return not self.dead and not self.ended and self.skew.blocked_by is None

    def well(self, begin: float, end: float) -> bool:
        """Whether nothing kept it from doing what it should between two times."""
        unhurt = not any(begin <= at <= end for at in self.hurt_at)
        return unhurt and self.stopped_at > end

    def obeyed(self, begin: float, end: float) -> bool:
        """Whether every call it made between two times was answered, however late."""
        return self.stopped_at > end and not any(begin <= at <= end for at in self.failed_at)

    def start(self) -> None:
        """Start, as a daemon does: the table and the queues answered before anything else."""
        now = self.clock.now()
        date = true_ms(self.world.loop) // 1000 * 1000
        for _ in ("table", "queue"):
            self.skew.answered(date=date, sent=now, received=now)
        self.world.note(self.name, None, "started", offset_ms=self.clock.offset_ms)
        self.spawn(self._live())

    def spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Start a task of this process."""
        context = contextvars.copy_context()
        context.run(HOME.set, self)
        return self.world.loop.create_task(work, context=context)

    def adopt(self, task: NumberedTask) -> None:
        """Take on a task that one of its tasks started."""
        self.tasks[task.number] = task
        task.add_done_callback(self._leave)
        self.world.end_checks.task_started(self)

    def crash(self, why: str) -> None:
        """Die, at this very point."""
        if self.dead or self.ended:
            return
        self.dead = True
        self.stopped_at = min(self.stopped_at, self.world.loop.time())
        self.world.note(self.name, None, "died", why=why)
        self.world.lives.died(self)
        self.world.loop.call_soon(self._kill, 0)
        self.world.gone(self)

    def terminate(self) -> None:
        """Send SIGTERM: the first drains, the second releases."""
        if self.draining:
            self.world.note(self.name, None, "SIGTERM again")
            self.released = True
            self.engine.release()
        else:
            self.world.note(self.name, None, "SIGTERM")
            self.draining = True
            self.stopped_at = min(self.stopped_at, self.world.loop.time())
            self.engine.stop()

    def database_done(self, entity_id: str) -> None:
        """Note that the feature phase of a run is over."""
        for job in self.engine.consumers.jobs:
            if job.entity_id == entity_id:
                self._read.add(job.lease.token)

    def receipt(self, token: str) -> str | None:
        """Give the receipt of the message that is held under a token."""
        for job in self.engine.consumers.jobs:
            if job.lease.token == token:
                return job.lease.message.receipt_handle
        return None

    def unread(self) -> list[Job]:
        """Give the jobs in hand whose feature phase is to come or under way."""
        return [
            job
            for job in self.engine.consumers.jobs
            if job.needs_database and job.lease.token not in self._read
        ]

    async def _live(self) -> None:
        try:
            await self.engine.run()
        except BaseException as error:
            if not self.dead:
                self.world.crashed(self, error)
            raise
        if not self.dead:
            self.ended = True
            self.world.note(self.name, None, "ended")
            self.world.end_checks.ended(self)
            self.world.gone(self)

    def _kill(self, times: int) -> None:
        for task in list(self.tasks.values()):
            task.cancel()
        if self.tasks and times < 100:
            self.world.loop.call_later(0.1, self._kill, times + 1)

    def _leave(self, task: "asyncio.Task[Any]") -> None:
        self.tasks.pop(hash(task), None)
        # Of what a dead process raises nobody hears.
        if not task.cancelled():
            task.exception()


def terms(plan: Plan) -> EngineTerms:
    """Give the configuration of every daemon of a seed."""
    return EngineTerms(
        visibility_timeout_seconds=plan.beat,
        consumers=ConsumerTerms(
            count=plan.consumers, wait_seconds=plan.wait, drain_seconds=plan.drain
        ),
        requests=RequestTerms(
            default_max_age_seconds=plan.max_age,
            retry_failed_after_seconds=plan.retry_failed_after,
        ),
        backlog=BacklogTerms(fleet_size=plan.daemons, max_pending=None),
        retry=RetryTerms(
            limits=Limits(max_attempts=plan.max_attempts, max_wait_seconds=plan.max_wait),
            backoff_base_seconds=plan.backoff_base,
            backoff_max_seconds=plan.backoff_max,
            replica_lag_seconds=0.0,
        ),
        runs=RunTerms(timeout_seconds=plan.job_timeout, test_entities=False),
        results=ResultTerms(
            result_ttl_seconds=plan.ttl, failed_ttl_seconds=plan.ttl, source="urn:simulation"
        ),
        sweeper=SweeperTerms(
            interval_seconds=plan.sweep_interval,
            grace_seconds=plan.grace,
            requeue_after_seconds=plan.requeue_after,
        ),
    )
