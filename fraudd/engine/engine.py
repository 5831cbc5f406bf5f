"""Builds the engine on ports and runs it. The daemon and the simulation run the same engine."""

import asyncio
import random
from collections.abc import Callable

from fraudd.engine.backlog import RunTimes
from fraudd.engine.breaker import Breaker
from fraudd.engine.claims import Claims
from fraudd.engine.computation import Computation
from fraudd.engine.consumers import Consumers
from fraudd.engine.depth_sampler import DepthSampler, Throughput
from fraudd.engine.failures import Failures
from fraudd.engine.guard import Guard
from fraudd.engine.guarded_ports import guarded
from fraudd.engine.intake import Intake
from fraudd.engine.job import Job
from fraudd.engine.lease import Lease
from fraudd.engine.listing import Listing
from fraudd.engine.pending_limit import PendingLimit
from fraudd.engine.publisher import Publisher, lane_of
from fraudd.engine.settlement import Settlement
from fraudd.engine.sweeper import Sweeper
from fraudd.engine.terms import EngineTerms
from fraudd.engine.waiters import Waiters
from fraudd.engine.worker import Worker
from fraudd.ports import Clock, Message, Permit, Permits, Ports, Scorer
from fraudd.prediction.formats import new_ulid
from fraudd.prediction.record import Lane, Record
from fraudd.telemetry import loops as background_loops
from fraudd.telemetry.clock_skew import ClockSkew
from fraudd.telemetry.metrics import Metrics


class Engine:
    """Intake, consumers, waiters, sweeper and samplers of one daemon.

    Each lane has a queue. The interactive lane always exists. ``scorer`` returns the SQL and the
    model in use now.
    """

    def __init__(
        self,
        *,
        ports: Ports,
        scorer: Callable[[], Scorer],
        permits: Permits,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        skew: ClockSkew,
        terms: EngineTerms,
    ) -> None:
        self._queues = ports.queues
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._skew = skew
        self._terms = terms
        self.breaker = Breaker(
            base_seconds=terms.retry.backoff_base_seconds,
            max_seconds=terms.retry.backoff_max_seconds,
            rng=rng,
        )
        self._guard = guard = Guard(
            self.breaker,
            skew,
            clock=clock,
            rng=rng,
            visibility_timeout_seconds=terms.visibility_timeout_seconds,
        )
        #: Calls of a part, and waits, for checks that the daemon makes at its start.
        self.patiently, self.wait = guard.patiently, guard.wait
        self._prompt = prompt = guarded(ports, guard.once)
        self._publisher = Publisher(prompt.topics, prompt.queues, guard)
        self._run_times = RunTimes()
        throughput = Throughput(
            permits=permits, run_times=self._run_times, fleet_size=terms.backlog.fleet_size
        )
        self.samplers = {lane: self._sampler(lane, throughput) for lane in ports.queues}
        self._pending_limits = {
            lane: PendingLimit(lane=lane, sampler=sampler, max_pending=terms.backlog.max_pending)
            for lane, sampler in self.samplers.items()
        }
        self.intake, self._prompt_settlement = self._intake_and_settlement(prompt)
        self.listing = Listing(prompt.store, clock)
        self.waiters = Waiters(self.intake.get)
        self.sweeper = self._sweeper(prompt)
        self.consumers = Consumers(
            queues=prompt.queues,
            permits=permits,
            worker=self._worker(guarded(ports, guard.settling), scorer, permits),
            new_job=self._new_job,
            guard=guard,
            clock=clock,
            metrics=metrics,
            terms=terms.consumers,
        )

    async def run(self) -> None:
        """Consume, sweep and sample until ``stop`` is called and the drain has ended."""
        loops = {
            "sweeper": self.sweeper.run,
            "waiters": self.waiters.run,
            **{f"sampler_{lane}": sampler.run for lane, sampler in self.samplers.items()},
        }
        async with asyncio.TaskGroup() as background:
            tasks = background_loops.start(background, loops, metrics=self._metrics)
            await self.consumers.run()
            for task in tasks:
                task.cancel()

    def retry(self) -> None:
        """Retry now all that failed, because an operator may have fixed the cause."""
        self._guard.retry()

    def stop(self) -> None:
        """Start to drain."""
        self.waiters.stop()
        self.consumers.stop()

    def hold(self, reason: str | None) -> None:
        """Receive no messages for ``reason``. None: receive them."""
        self.consumers.hold(reason)

    def release(self) -> None:
        """Release all messages in flight now."""
        self.consumers.release()

    @property
    def has_bulk_lane(self) -> bool:
        """Whether a bulk lane is configured."""
        return "bulk" in self._queues

    def estimate(self, record: Record) -> int:
        """Estimate the seconds until a pending run has ended."""
        return self._sampler_of(record).estimate(record)

    def _new_job(self, message: Message, permit: Permit) -> Job:
        lease = Lease(
            message,
            store=self._prompt.store,
            queue=self._queues[message.lane],
            guard=self._guard,
            clock=self._clock,
            token=new_ulid(self._clock.now(), self._rng.getrandbits(80)),
            visibility_timeout_seconds=self._terms.visibility_timeout_seconds,
        )
        return Job(lease=lease, permit=permit)

    def _sweeper(self, ports: Ports) -> Sweeper:
        return Sweeper(
            store=ports.store,
            queues=self._queues,
            publisher=self._publisher,
            guard=self._guard,
            clock=self._clock,
            rng=self._rng,
            metrics=self._metrics,
            terms=self._terms.sweeper,
        )

    def _sampler(self, lane: Lane, throughput: Throughput) -> DepthSampler:
        return DepthSampler(
            lane=lane,
            queue=self._queues[lane],
            throughput=throughput,
            clock=self._clock,
            metrics=self._metrics,
            ahead=lambda: self.samplers["interactive"].backlog.pending if lane == "bulk" else 0,
        )

    def _sampler_of(self, record: Record) -> DepthSampler:
        return self.samplers[lane_of(record, self._queues)]

    def _intake_and_settlement(self, ports: Ports) -> tuple[Intake, Settlement]:
        """Build the start and the end of runs on ``ports``.

        Prompt ports raise ``Unavailable`` in an outage. Patient ports wait for its end.
        """
        intake = Intake(
            store=ports.store,
            # Always prompt: if SNS is unreachable, the record notes the missing message.
            publisher=self._publisher,
            clock=self._clock,
            rng=self._rng,
            skew=self._skew,
            terms=self._terms.requests,
            reserve=lambda lane: self._pending_limits[lane].reserve(),
            note_opened=self._note_opened,
        )
        settlement = Settlement(
            ports=ports,
            publish=intake.publish_again,
            note_ended=self._note_ended,
            clock=self._clock,
            rng=self._rng,
            metrics=self._metrics,
            terms=self._terms.results,
        )
        return intake, settlement

    def _worker(self, patient: Ports, scorer: Callable[[], Scorer], permits: Permits) -> Worker:
        """Build the part that takes a message from its claim to its settlement."""
        guard, clock, terms = self._guard, self._clock, self._terms
        intake, settlement = self._intake_and_settlement(patient)
        return Worker(
            claims=Claims(
                patient=patient.store,
                prompt=self._prompt.store,
                intake=intake,
                settlement=settlement,
                guard=guard,
                clock=clock,
                limits=terms.retry.limits,
            ),
            computation=Computation(
                scorer=scorer,
                guard=guard,
                clock=clock,
                metrics=self._metrics,
                run_times=self._run_times,
                terms=terms.runs,
            ),
            failures=Failures(guard=guard, clock=clock, rng=self._rng, terms=terms.retry),
            settlement=settlement,
            prompt_settlement=self._prompt_settlement,
            permits=permits,
            guard=guard,
            clock=clock,
        )

    def _note_opened(self, record: Record) -> None:
        """Count a run that has just started."""
        self._sampler_of(record).note_opened(record)
        if record.lane == "bulk":
            self.consumers.bulk_opened()

    def _note_ended(self, record: Record) -> None:
        """Count a run that has just ended, and wake the requests that wait for it."""
        self._sampler_of(record).note_ended(record)
        self.waiters.wake(record)
