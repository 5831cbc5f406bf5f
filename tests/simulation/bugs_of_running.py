"""Bugs in permits, polls, drains and outages, in requests, and in the sweeper."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from fraudd.database.limit import AdaptiveLimit
from fraudd.database.permits import NumberedPermit, Permits
from fraudd.engine import breaker as breaker_module
from fraudd.engine.breaker import Breaker, Go, Wait
from fraudd.engine.claims import Claims
from fraudd.engine.computation import Computation
from fraudd.engine.consumers import Consumers
from fraudd.engine.guard import Guard
from fraudd.engine.intake import Intake
from fraudd.engine.job import Job
from fraudd.engine.lease import Lease
from fraudd.engine.poll_plan import Poll
from fraudd.engine.sweeper import Sweeper
from fraudd.engine.worker import Worker
from fraudd.errors import BackPressure, TransientError, Unavailable
from fraudd.ports import FeatureValues, Message, Model
from fraudd.prediction.decisions import Claim, Drop, OnMessage, RunAgain, StartRun
from fraudd.prediction.formats import new_ulid
from fraudd.prediction.record import Record, Transition
from fraudd.prediction.transitions import completed, deleted, opened, released, republished
from fraudd.telemetry.clock_skew import ClockSkew
from tests.simulation.bugs import bug, loosened, put, put_at
from tests.stack.database import permits_up_to

# Permits, polls, drains


@bug
def let_the_limit_fall_to_nothing(stack: ExitStack) -> None:
    def refused(self: AdaptiveLimit, now: float, *, connected: bool) -> bool:
        self.value -= 1
        return False

    put(stack, AdaptiveLimit, "refused", refused)


@bug
def count_a_refused_connection_as_a_failed_attempt(stack: ExitStack) -> None:
    real = Computation._read

    async def _read(self: Computation, job: Job, claim: Record) -> tuple[FeatureValues, Model]:
        try:
            return await real(self, job, claim)
        except BackPressure as error:
            raise TransientError("connection_refused", error.detail) from error

    put(stack, Computation, "_read", _read)


@bug
def give_out_what_was_taken_when_the_limit_fell(stack: ExitStack) -> None:
    def in_use(self: Permits) -> int:
        return max(0, self.limit - len(self._free))

    put(stack, Permits, "in_use", property(in_use))


@bug
def ask_for_more_than_there_are_permits(stack: ExitStack) -> None:
    real = Consumers._messages

    async def _messages(self: Consumers, poll: Poll, limit: int) -> Sequence[Message]:
        return (await real(self, poll, min(10, limit + 1)))[:limit]

    put(stack, Consumers, "_messages", _messages)


@bug
def poll_without_a_permit(stack: ExitStack) -> None:
    async def acquire(self: Permits) -> NumberedPermit:
        return self.try_acquire() or NumberedPermit(permits_up_to(1), [0])

    put(stack, Permits, "acquire", acquire)


@bug
def release_the_permit_before_the_features_are_read(stack: ExitStack) -> None:
    real = Computation._read

    async def _read(self: Computation, job: Job, claim: Record) -> tuple[FeatureValues, Model]:
        job.permit.release()
        return await real(self, job, claim)

    put(stack, Computation, "_read", _read)


@bug
def leak_the_permit_of_a_job_that_is_cancelled(stack: ExitStack) -> None:
    real = Consumers._finished

    def _finished(self: Consumers, task: "asyncio.Task[None]") -> None:
        if task.cancelled():
            self._jobs.pop(task)
        else:
            real(self, task)

    put(stack, Consumers, "_finished", _finished)


@bug
def wait_for_all_permits_while_holding_one(stack: ExitStack) -> None:
    async def _wait_alone(self: Worker, job: Job) -> None:
        job.alone = True
        job.permit = await self._permits.acquire_all()

    put(stack, Worker, "_wait_alone", _wait_alone)


@bug
def cancel_the_poll_on_drain(stack: ExitStack) -> None:
    real = Consumers.stop

    def stop(self: Consumers) -> None:
        real(self)
        self._pollers[0].cancel()

    put(stack, Consumers, "stop", stop)


@bug
def go_on_polling_while_it_drains(stack: ExitStack) -> None:
    real = Consumers.stop

    def stop(self: Consumers) -> None:
        asyncio.get_running_loop().call_later(30, real, self)

    put(stack, Consumers, "stop", stop)


@bug
def attempt_not_given_back_on_release(stack: ExitStack) -> None:

    def kept(record: Record) -> Transition:
        transition = released(record)
        return replace(transition, sets={**transition.sets, "attempts": record.attempts})

    put_at(stack, "fraudd.engine.settlement.released", kept)


@bug
def leave_what_is_in_hand_when_it_drains(stack: ExitStack) -> None:
    async def _release(self: Worker, job: Job) -> None:
        return None

    put(stack, Worker, "_release", _release)


# Outages and faults


@bug
def take_an_outage_for_a_failure(stack: ExitStack) -> None:
    real = Computation._read

    async def _read(self: Computation, job: Job, claim: Record) -> tuple[FeatureValues, Model]:
        try:
            return await real(self, job, claim)
        except Unavailable as error:
            raise TransientError("database", error.detail) from None

    put(stack, Computation, "_read", _read)


@bug
def breaker_never_closes(stack: ExitStack) -> None:
    put(stack, Breaker, "answered", lambda self, part, now, call="": False)


@bug
def breaker_does_not_see_one_fault_in_many_runs(stack: ExitStack) -> None:
    put(stack, breaker_module, "FAULT_RUNS", 10**9)


@bug
def probes_of_a_fault_without_an_interval(stack: ExitStack) -> None:
    put(
        stack,
        Breaker,
        "may_poll",
        lambda self, now, *, in_flight: Wait(1.0) if in_flight else Go(),
    )


@bug
def poll_through_an_outage(stack: ExitStack) -> None:
    put(stack, Breaker, "may_poll", lambda self, now, *, in_flight: Go())


@bug
def take_over_right_after_an_outage(stack: ExitStack) -> None:
    put(stack, Guard, "lease_grace_seconds", lambda self: 0.0)


@bug
def trust_a_clock_that_is_off(stack: ExitStack) -> None:
    put(stack, ClockSkew, "blocked_by", None)


@bug
def work_beside_others_on_what_kills(stack: ExitStack) -> None:
    real = Claims._decide

    def _decide(self: Claims, lease: Lease, event: Any, record: Record | None) -> OnMessage:
        decision = real(self, lease, event, record)
        return replace(decision, alone=False) if isinstance(decision, Claim) else decision

    put(stack, Claims, "_decide", _decide)


# Requests


@bug
def open_on_a_stale_reading(stack: ExitStack) -> None:

    put_at(stack, "fraudd.engine.intake.opened", loosened(opened))


@bug
def a_stale_read_answers_a_caller(stack: ExitStack) -> None:
    real = Intake.get
    seen: dict[tuple[int, str], Record | None] = {}

    async def get(self: Intake, entity_id: str) -> Record | None:
        key = id(self), entity_id
        if key not in seen:
            seen[key] = await real(self, entity_id)
        return seen[key]

    put(stack, Intake, "get", get)


@bug
def revert_the_record_when_publishing_fails(stack: ExitStack) -> None:
    async def publish(self: Intake, record: Record) -> None:
        try:
            await self._publisher.send(record)
        except Unavailable:
            now = self._clock.now()
            await self._store.apply(deleted(record.entity_id, now=now, expires_at=now))

    put(stack, Intake, "publish", publish)


@bug
def join_an_event_to_a_run_that_has_read(stack: ExitStack) -> None:
    real = Claims._decide

    def _decide(self: Claims, lease: Lease, event: Any, record: Record | None) -> OnMessage:
        decision = real(self, lease, event, record)
        return Drop("covered") if isinstance(decision, RunAgain) else decision

    put(stack, Claims, "_decide", _decide)


@bug
def ignore_the_tombstone(stack: ExitStack) -> None:
    real = Claims._decide

    def _decide(self: Claims, lease: Lease, event: Any, record: Record | None) -> OnMessage:
        decision = real(self, lease, event, record)
        dropped = isinstance(decision, Drop) and decision.reason == "entity_deleted"
        return StartRun(record) if dropped and event.run_id is None else decision

    put(stack, Claims, "_decide", _decide)


@bug
def forget_who_asked_again(stack: ExitStack) -> None:

    def ended(record: Record, **terms: Any) -> Transition:
        return loosened(completed, "again")(replace(record, again=None), **terms)

    put_at(stack, "fraudd.engine.settlement.completed", ended)


# The sweeper


@bug
def sweep_under_a_new_run(stack: ExitStack) -> None:
    def renamed(record: Record, *, now: int) -> Transition:
        transition = republished(record, now=now)
        return replace(transition, sets={**transition.sets, "run_id": new_ulid(now, now)})

    put_at(stack, "fraudd.engine.sweeper.republished", renamed)


@bug
def sweep_in_spite_of_the_back_off(stack: ExitStack) -> None:
    def hasty(record: Record, *, now: int, **_: Any) -> bool:
        sent = record.published_at
        return record.pending and (sent is None or now > sent + 1000)

    put_at(stack, "fraudd.engine.sweeper.is_lost", hasty)


@bug
def sweep_nothing(stack: ExitStack) -> None:
    async def run_once(self: Sweeper) -> int:
        return 0

    put(stack, Sweeper, "run_once", run_once)


@bug
def requeue_delay_without_its_cap(stack: ExitStack) -> None:
    put_at(stack, "fraudd.prediction.decisions.MAX_DOUBLINGS", 60)


@bug
def sweep_only_one_shard(stack: ExitStack) -> None:
    put_at(stack, "fraudd.engine.sweeper.SHARDS", 1)


# What grows


@bug
def start_a_task_for_each_outcome_and_forget_it(stack: ExitStack) -> None:
    real = Consumers._work

    async def _work(self: Consumers, job: Job) -> None:
        await real(self, job)
        asyncio.get_running_loop().create_task(asyncio.sleep(1e9))

    put(stack, Consumers, "_work", _work)
