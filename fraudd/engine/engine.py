"""What runs, wired on ports alone: the daemon gives it AWS and MySQL, the simulation a world."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from fraudd.engine.backlog import RunTimes
from fraudd.engine.breaker import Breaker
from fraudd.engine.claims import Claims
from fraudd.engine.consumers import Consumers
from fraudd.engine.depth_sampler import DepthSampler
from fraudd.engine.guard import Guard
from fraudd.engine.guarded import GuardedStore, GuardedTopics, Through, guarded
from fraudd.engine.intake import Intake
from fraudd.engine.lease import Lease
from fraudd.engine.listing import Listing
from fraudd.engine.publisher import Publisher, lane_of
from fraudd.engine.settlement import Settlement
from fraudd.engine.sweeper import Sweeper
from fraudd.engine.waiters import Waiters
from fraudd.engine.worker import Worker
from fraudd.ports import Clock, Permits, Queues, Scorer, Store, Topics
from fraudd.prediction.decisions import Limits
from fraudd.prediction.record import Lane, Record
from fraudd.telemetry.clock_skew import ClockSkew
from fraudd.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The numbers that the engine runs by; the configuration says what they mean."""

    consumers: int
    max_attempts: int
    run_timeout_seconds: float
    visibility_timeout_seconds: float
    wait_seconds: float
    drain_seconds: float
    backoff_base_seconds: float
    backoff_max_seconds: float
    max_wait_seconds: float | None
    default_max_age_seconds: float | None
    retry_failed_after_seconds: float
    result_ttl_seconds: float
    failed_ttl_seconds: float
    sweep_interval_seconds: float
    grace_seconds: float
    requeue_after_seconds: float
    replica_lag_seconds: float
    fleet_size: int
    max_pending: int | None
    test_entities: bool
    source: str


class Engine:
    """Intake, consumers, waiters, sweeper and samplers of one daemon.

    There are as many lanes as ``queues``, the interactive one always. ``scorer`` gives what makes
    scores now: it may be another one for the next run.
    """

    def __init__(
        self,
        *,
        store: Store,
        queues: Queues,
        topics: Topics,
        scorer: Callable[[], Scorer],
        permits: Permits,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        skew: ClockSkew,
        terms: Terms,
    ) -> None:
        self._store = store
        self._queues = queues
        self._topics = topics
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._skew = skew
        self._terms = terms
        self._run_times = RunTimes()
        self.breaker = Breaker(
            base_seconds=terms.backoff_base_seconds,
            max_seconds=terms.backoff_max_seconds,
            rng=rng,
        )
        self._guard = guard = Guard(self.breaker, clock=clock, rng=rng)
        self.samplers = {lane: self._sampler(lane, permits) for lane in self._queues}
        self.intake = self._intake(guard.once)
        self.listing = Listing(GuardedStore(store, guard.once), clock)
        self.waiters = Waiters(self.intake.look_up)
        self.sweeper = Sweeper(
            store=GuardedStore(store, guard.once),
            queues=self._queues,
            publisher=self._publisher(),
            breaker=self.breaker,
            skew=skew,
            clock=clock,
            rng=rng,
            metrics=metrics,
            interval_seconds=terms.sweep_interval_seconds,
            grace_seconds=terms.grace_seconds,
            requeue_after_seconds=terms.requeue_after_seconds,
            visibility_timeout_seconds=terms.visibility_timeout_seconds,
        )
        self.consumers = Consumers(
            store=GuardedStore(store, guard.once),
            queues=guarded(self._queues, guard.once),
            permits=permits,
            worker=self._worker(scorer, permits),
            guard=guard,
            skew=skew,
            clock=clock,
            rng=rng,
            metrics=metrics,
            count=terms.consumers,
            wait_seconds=terms.wait_seconds,
            drain_seconds=terms.drain_seconds,
            visibility_timeout_seconds=terms.visibility_timeout_seconds,
        )

    async def run(self) -> None:
        """Consume, sweep and sample until told to stop and drained."""
        runs = [self.sweeper.run, self.waiters.run, *(one.run for one in self.samplers.values())]
        async with asyncio.TaskGroup() as background:
            tasks = [background.create_task(run()) for run in runs]
            await self.consumers.run()
            for task in tasks:
                task.cancel()

    def mended(self) -> None:
        """Try again at once what failed: somebody may have mended it."""
        self._guard.retry()

    def stop(self) -> None:
        """Begin to drain."""
        self.waiters.stop()
        self.consumers.stop()

    def release(self) -> None:
        """Release at once what is in hand."""
        self.consumers.release()

    @property
    def has_bulk_lane(self) -> bool:
        """Whether there is a bulk lane."""
        return "bulk" in self._queues

    def estimate(self, record: Record) -> int:
        """Estimate in how many seconds a pending run will have ended."""
        return self._sampler_of(record).estimate(record)

    def _sampler(self, lane: Lane, permits: Permits) -> DepthSampler:
        return DepthSampler(
            lane=lane,
            queue=self._queues[lane],
            permits=permits,
            run_times=self._run_times,
            clock=self._clock,
            metrics=self._metrics,
            fleet_size=self._terms.fleet_size,
            max_pending=self._terms.max_pending,
            ahead=lambda: self.samplers["interactive"].backlog.owed if lane == "bulk" else 0,
        )

    def _sampler_of(self, record: Record) -> DepthSampler:
        return self.samplers[lane_of(record, self._queues)]

    def _publisher(self) -> Publisher:
        once = self._guard.once
        return Publisher(GuardedTopics(self._topics, once), guarded(self._queues, once))

    def _intake(self, through: Through) -> Intake:
        """A door whose reads and writes fail in an outage, or wait it out."""
        return Intake(
            store=GuardedStore(self._store, through),
            publisher=self._publisher(),
            clock=self._clock,
            rng=self._rng,
            skew=self._skew,
            default_max_age_seconds=self._terms.default_max_age_seconds,
            retry_failed_after_seconds=self._terms.retry_failed_after_seconds,
            room=lambda lane: self.samplers[lane].room(),
            note_opened=self._note_opened,
        )

    def _note_opened(self, record: Record) -> None:
        """Take in a run just opened."""
        self._sampler_of(record).note_opened(record)
        if record.lane == "bulk":
            self.consumers.bulk_opened()

    def _note_ended(self, record: Record) -> None:
        """Take in a verdict just stored."""
        self._sampler_of(record).note_ended(record)
        self.waiters.tell(record)

    def _settlement(self, through: Through, intake: Intake) -> Settlement:
        return Settlement(
            store=GuardedStore(self._store, through),
            queues=guarded(self._queues, through),
            topics=GuardedTopics(self._topics, through),
            publish=intake.publish,
            note_ended=self._note_ended,
            clock=self._clock,
            rng=self._rng,
            metrics=self._metrics,
            result_ttl_seconds=self._terms.result_ttl_seconds,
            failed_ttl_seconds=self._terms.failed_ttl_seconds,
            source=self._terms.source,
        )

    def _worker(self, scorer: Callable[[], Scorer], permits: Permits) -> Worker:
        """What the consumers do with a message, from its claim to its settlement."""
        terms, guard = self._terms, self._guard
        patient = self._intake(guard.patiently)
        settlement = self._settlement(guard.patiently, patient)
        held: dict[str, Lease] = {}
        claiming = Claims(
            store=GuardedStore(self._store, guard.patiently),
            impatient=GuardedStore(self._store, guard.once),
            intake=patient,
            settlement=settlement,
            guard=guard,
            clock=self._clock,
            held=held,
            visibility_timeout_seconds=terms.visibility_timeout_seconds,
            limits=Limits(max_attempts=terms.max_attempts, max_wait_seconds=terms.max_wait_seconds),
        )
        return Worker(
            claiming=claiming,
            settlement=settlement,
            parting=self._settlement(guard.once, self.intake),
            store=GuardedStore(self._store, guard.once),
            scorer=scorer,
            permits=permits,
            guard=guard,
            skew=self._skew,
            clock=self._clock,
            rng=self._rng,
            metrics=self._metrics,
            run_times=self._run_times,
            held=held,
            run_timeout_seconds=terms.run_timeout_seconds,
            replica_lag_seconds=terms.replica_lag_seconds,
            max_attempts=terms.max_attempts,
            backoff_base_seconds=terms.backoff_base_seconds,
            backoff_max_seconds=terms.backoff_max_seconds,
            test_entities=terms.test_entities,
        )
