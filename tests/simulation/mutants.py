"""Deliberate bugs, one at a time, and which promise catches each: ``make mutants``.

A check that cannot fail proves nothing. Each mutant wraps or replaces one part of the shipped
code; it is caught by the first seed that is green without it and broken with it.
"""

import argparse
import asyncio
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from fraudd import breaker as breaker_module
from fraudd.breaker import Breaker
from fraudd.claiming import Claiming
from fraudd.consumers import Consumers
from fraudd.database.permits import NumberedPermit, Permits
from fraudd.event import completion, wake_up
from fraudd.intake import Intake
from fraudd.job import Job, Worker
from fraudd.lease import Lease
from fraudd.ports import Applied, FeatureValues, Message, TransientError, Unavailable
from fraudd.prediction import (
    Record,
    Transition,
    backed_off,
    claimed,
    completed,
    failed,
    first_claim,
    forgotten,
    landed,
    lease_end,
    new_run_id,
    opened,
    released,
    republished,
)
from fraudd.settlement import Outcome, Settlement
from fraudd.skew import Skew
from fraudd.sweeper import Sweeper
from fraudd.verdict import AskAgain, Claim, Drop, OnMessage, Open
from tests.simulation.seed import run_seed
from tests.simulation.store import SimulatedStore

#: A bug: entered it is there, left it is gone.
Bug = Callable[[ExitStack], None]

BUGS: dict[str, Bug] = {}


def bug(made: Bug) -> Bug:
    """Register a bug under the name of its function."""
    BUGS[made.__name__.replace("_", " ")] = made
    return made


def put(stack: ExitStack, owner: Any, name: str, value: Any) -> None:
    """Replace an attribute until the stack is left."""
    stack.enter_context(patch.object(owner, name, value))


def put_at(stack: ExitStack, target: str, value: Any) -> None:
    """Replace a module's global until the stack is left."""
    stack.enter_context(patch(target, value))


def loosened(make: Callable[..., Transition], *dropped: str) -> Callable[..., Transition]:
    """Make a transition that does not expect some attributes; none named: any."""

    def made(*args: Any, **kwargs: Any) -> Transition:
        transition = make(*args, **kwargs)
        kept = {
            name: value
            for name, value in transition.expects.items()
            if dropped and name not in dropped
        }
        return replace(transition, expects=kept)

    return made


# Messages and results


@bug
def delete_before_the_result_is_written(stack: ExitStack) -> None:
    real = Settlement.complete

    async def complete(
        self: Settlement, lease: Lease, claim: Record, found: Mapping[str, Any]
    ) -> Outcome:
        await self._queue.delete(lease.message)
        return await real(self, lease, claim, found)

    put(stack, Settlement, "complete", complete)


@bug
def announce_before_it_is_durable(stack: ExitStack) -> None:
    real = Settlement._end

    async def _end(
        self: Settlement, lease: Lease, claim: Record, end: Callable[[Record, str], Transition]
    ) -> Record | None:
        sets: dict[str, Any] = dict(end(replace(claim, again=None), "").sets)
        await self._topics.announce(completion(replace(claim, **sets), source="mutant"))
        return await real(self, lease, claim, end)

    put(stack, Settlement, "_end", _end)


@bug
def announce_nothing(stack: ExitStack) -> None:
    async def _announce(self: Settlement, record: Record, run_id: str) -> None:
        return None

    put(stack, Settlement, "_announce", _announce)


@bug
def bury_before_the_failure_is_written(stack: ExitStack) -> None:
    real = Settlement.fail

    async def fail(self: Settlement, lease: Lease, claim: Record, **why: Any) -> Outcome:
        if why["dead_letter"]:
            await self._queue.dead_letter(lease.message, reason=why["type_"], detail="")
        return await real(self, lease, claim, **why)

    put(stack, Settlement, "fail", fail)


@bug
def delete_what_is_malformed_without_a_copy(stack: ExitStack) -> None:
    async def bury(self: Settlement, lease: Lease, *, reason: str, detail: str) -> None:
        await self.delete(lease)

    put(stack, Settlement, "bury", bury)


@bug
def give_back_by_visibility_at_the_last_receive(stack: ExitStack) -> None:
    put_at(stack, "fraudd.settlement.may_hide", lambda **_: True)


@bug
def make_the_message_visible_before_its_run_is_queued(stack: ExitStack) -> None:
    async def requeue(
        self: Settlement, lease: Lease, transition: Transition, *, seconds: float
    ) -> bool:
        await lease.seal()
        await self.give_back(lease, seconds=seconds)
        return (await self._store.apply(transition)).done

    put(stack, Settlement, "requeue", requeue)


# Claims and fencing


@bug
def claim_without_a_condition(stack: ExitStack) -> None:

    put_at(stack, "fraudd.claiming.claimed", loosened(claimed))
    put_at(stack, "fraudd.claiming.first_claim", loosened(first_claim))


@bug
def claim_whatever_the_lease_says(stack: ExitStack) -> None:
    put_at(stack, "fraudd.verdict.dead_at", lambda _: 0)


@bug
def complete_without_fencing(stack: ExitStack) -> None:

    put_at(stack, "fraudd.settlement.completed", loosened(completed))


@bug
def fail_without_naming_state_and_worker(stack: ExitStack) -> None:

    put_at(stack, "fraudd.settlement.failed", loosened(failed, "state", "worker"))


@bug
def queue_again_without_naming_state_and_worker(stack: ExitStack) -> None:

    put_at(stack, "fraudd.job.backed_off", loosened(backed_off, "state", "worker"))
    put_at(stack, "fraudd.job.released", loosened(released, "state", "worker"))


@bug
def lease_outlives_the_visibility(stack: ExitStack) -> None:
    put_at(stack, "fraudd.lease.lease_end", lambda at: lease_end(at) + 30_000)


@bug
def renew_no_lease(stack: ExitStack) -> None:
    async def _beat(self: Lease) -> None:
        try:
            await self._hide()
        except Unavailable:
            return

    put(stack, Lease, "_beat", _beat)


@bug
def renew_no_visibility(stack: ExitStack) -> None:
    async def _hide(self: Lease) -> None:
        now = self._clock.now()
        self._visible_at = now + int(self._visibility_seconds * 1000)

    put(stack, Lease, "_hide", _hide)


@bug
def do_not_await_the_beat_in_flight(stack: ExitStack) -> None:
    async def stop(self: Lease) -> None:
        self.claim = None

    put(stack, Lease, "stop", stop)


@bug
def ignore_the_back_off(stack: ExitStack) -> None:
    put_at(stack, "fraudd.claiming.claimed", loosened(claimed, "not_before"))
    put_at(stack, "fraudd.claiming.first_claim", loosened(first_claim, "not_before"))
    real = Settlement.give_back

    async def give_back(self: Settlement, lease: Lease, *, seconds: float) -> Outcome:
        return await real(self, lease, seconds=0)

    put(stack, Settlement, "give_back", give_back)


# A write whose answer was lost, taken for somebody else's


def _disowned(stack: ExitStack, mine: Callable[[Transition], bool]) -> None:
    def told(transition: Transition, old: Record | None) -> bool:
        return False if mine(transition) else landed(transition, old)

    put_at(stack, "tests.simulation.store.landed", told)


@bug
def own_opening_taken_for_anothers(stack: ExitStack) -> None:
    _disowned(stack, lambda one: one.sets.get("attempts") == 0 and "result" not in one.sets)


@bug
def own_claim_taken_for_anothers(stack: ExitStack) -> None:
    _disowned(stack, lambda one: one.sets.get("worker") is not None)
    real = SimulatedStore.apply

    async def apply(self: SimulatedStore, transition: Transition) -> Applied:
        applied = await real(self, transition)
        if applied.done or applied.record is None or not transition.sets.get("worker"):
            return applied
        return Applied(False, replace(applied.record, worker="another"))

    put(stack, SimulatedStore, "apply", apply)


@bug
def own_result_taken_for_anothers(stack: ExitStack) -> None:
    _disowned(stack, lambda one: one.sets.get("result") is not None)


@bug
def own_failure_taken_for_anothers(stack: ExitStack) -> None:
    _disowned(stack, lambda one: one.sets.get("error") is not None)


@bug
def own_requeue_taken_for_anothers(stack: ExitStack) -> None:
    _disowned(stack, lambda one: one.sets.get("state") == "queued" and "run_id" not in one.sets)


# Permits, polls, drains


@bug
def ask_for_more_than_there_are_permits(stack: ExitStack) -> None:
    real = Consumers._receive

    async def _receive(self: Consumers, most: int) -> list[Message]:
        return (await real(self, min(10, most + 1)))[:most]

    put(stack, Consumers, "_receive", _receive)


@bug
def poll_without_a_permit(stack: ExitStack) -> None:
    async def acquire(self: Permits) -> NumberedPermit:
        return self.try_acquire() or NumberedPermit(Permits(1), [0])

    put(stack, Permits, "acquire", acquire)


@bug
def release_the_permit_before_the_features_are_read(stack: ExitStack) -> None:
    real = Worker._read

    async def _read(self: Worker, job: Job, claim: Record) -> FeatureValues:
        job.permit.release()
        return await real(self, job, claim)

    put(stack, Worker, "_read", _read)


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
        if self._poller is not None:
            self._poller.cancel()

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

    put_at(stack, "fraudd.job.released", kept)


@bug
def leave_what_is_in_hand_when_it_drains(stack: ExitStack) -> None:
    async def _release(self: Worker, job: Job) -> None:
        return None

    put(stack, Worker, "_release", _release)


# Outages and faults


@bug
def take_an_outage_for_a_failure(stack: ExitStack) -> None:
    real = Worker._read

    async def _read(self: Worker, job: Job, claim: Record) -> FeatureValues:
        try:
            return await real(self, job, claim)
        except Unavailable as error:
            raise TransientError("database", error.detail) from None

    put(stack, Worker, "_read", _read)


@bug
def breaker_never_closes(stack: ExitStack) -> None:
    put(stack, Breaker, "answered", lambda self, part, now: False)


@bug
def breaker_does_not_see_one_fault_in_many_runs(stack: ExitStack) -> None:
    put(stack, breaker_module, "FAULT_RUNS", 10**9)


@bug
def probes_of_a_fault_without_an_interval(stack: ExitStack) -> None:
    put(stack, Breaker, "poll_in", lambda self, now, *, in_hand: 1.0 if in_hand else 0.0)


@bug
def poll_through_an_outage(stack: ExitStack) -> None:
    put(stack, Breaker, "poll_in", lambda self, now, *, in_hand: 0.0)


@bug
def take_over_right_after_an_outage(stack: ExitStack) -> None:
    put(stack, Claiming, "_steal_from", lambda self: 0)
    put(stack, Sweeper, "_may_sweep", lambda self: True)


@bug
def trust_a_clock_that_is_off(stack: ExitStack) -> None:
    put(stack, Skew, "trouble", None)


@bug
def work_beside_others_on_what_kills(stack: ExitStack) -> None:
    real = Claiming._decide

    def _decide(self: Claiming, lease: Lease, event: Any, record: Record | None) -> OnMessage:
        verdict = real(self, lease, event, record)
        return replace(verdict, alone=False) if isinstance(verdict, Claim) else verdict

    put(stack, Claiming, "_decide", _decide)


# Requests


@bug
def open_on_a_stale_reading(stack: ExitStack) -> None:

    put_at(stack, "fraudd.intake.opened", loosened(opened))


@bug
def a_stale_read_answers_a_caller(stack: ExitStack) -> None:
    real = Intake.look_up
    seen: dict[tuple[int, str], Record | None] = {}

    async def look_up(self: Intake, entity_id: str) -> Record | None:
        key = id(self), entity_id
        if key not in seen:
            seen[key] = await real(self, entity_id)
        return seen[key]

    put(stack, Intake, "look_up", look_up)


@bug
def revert_the_record_when_publishing_fails(stack: ExitStack) -> None:
    async def publish(self: Intake, record: Record) -> None:
        try:
            await self._topics.request(wake_up(record))
        except Unavailable:
            now = self._clock.now()
            await self._store.apply(forgotten(record.entity_id, now=now, expires_at=now))

    put(stack, Intake, "publish", publish)


@bug
def join_an_event_to_a_run_that_has_read(stack: ExitStack) -> None:
    real = Claiming._decide

    def _decide(self: Claiming, lease: Lease, event: Any, record: Record | None) -> OnMessage:
        verdict = real(self, lease, event, record)
        return Drop("covered") if isinstance(verdict, AskAgain) else verdict

    put(stack, Claiming, "_decide", _decide)


@bug
def ignore_the_tombstone(stack: ExitStack) -> None:
    real = Claiming._decide

    def _decide(self: Claiming, lease: Lease, event: Any, record: Record | None) -> OnMessage:
        verdict = real(self, lease, event, record)
        dropped = isinstance(verdict, Drop) and verdict.reason == "forgotten"
        return Open(record) if dropped and event.run_id is None else verdict

    put(stack, Claiming, "_decide", _decide)


@bug
def forget_who_asked_again(stack: ExitStack) -> None:

    def ended(record: Record, **terms: Any) -> Transition:
        return loosened(completed, "again")(replace(record, again=None), **terms)

    put_at(stack, "fraudd.settlement.completed", ended)


# The sweeper


@bug
def sweep_under_a_new_run(stack: ExitStack) -> None:
    def renamed(record: Record, *, now: int) -> Transition:
        transition = republished(record, now=now)
        return replace(transition, sets={**transition.sets, "run_id": new_run_id(now, now)})

    put_at(stack, "fraudd.sweeper.republished", renamed)


@bug
def sweep_in_spite_of_the_back_off(stack: ExitStack) -> None:
    def hasty(record: Record, *, now: int, **_: Any) -> bool:
        sent = record.published_at
        return record.pending and (sent is None or now > sent + 1000)

    put_at(stack, "fraudd.sweeper.lost", hasty)


@bug
def sweep_nothing(stack: ExitStack) -> None:
    async def run_once(self: Sweeper) -> int:
        return 0

    put(stack, Sweeper, "run_once", run_once)


@bug
def requeue_delay_without_its_cap(stack: ExitStack) -> None:
    put_at(stack, "fraudd.verdict.MOST_DOUBLINGS", 60)


@bug
def sweep_only_one_shard(stack: ExitStack) -> None:
    put_at(stack, "fraudd.sweeper.SHARDS", 1)


# What grows


@bug
def start_a_task_for_each_outcome_and_forget_it(stack: ExitStack) -> None:
    real = Consumers._work

    async def _work(self: Consumers, job: Job) -> None:
        await real(self, job)
        asyncio.get_running_loop().create_task(asyncio.sleep(1e9))

    put(stack, Consumers, "_work", _work)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """How a bug was caught, if it was."""

    name: str
    promise: str | None
    seed: int | None
    seeds: int


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """Run a block with one bug."""
    with ExitStack() as stack:
        BUGS[name](stack)
        yield


def hunt(name: str, most: int) -> Caught:
    """Look for the first seed that a bug breaks."""
    for seed in range(most):
        with mutated(name):
            failure = run_seed(seed).failure
        if failure is not None and run_seed(seed).failure is None:
            return Caught(name=name, promise=failure.promise, seed=seed, seeds=seed + 1)
    return Caught(name=name, promise=None, seed=None, seeds=most)


def hunt_all(names: Sequence[str], most: int) -> Iterator[Caught]:
    """Hunt for many bugs on all cores."""
    with multiprocessing.get_context("fork").Pool(os.cpu_count(), maxtasksperchild=4) as pool:
        waiting: list[Any] = [pool.apply_async(hunt, (name, most)) for name in names]
        for one in waiting:
            yield one.get()


def main() -> int:
    """Print the table of bugs; gives 1 where one was not caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants")
    parser.add_argument("--seeds", type=int, default=400, help="at most for each bug")
    parser.add_argument("--only", help="bugs whose name contains this")
    arguments = parser.parse_args()
    names = [name for name in BUGS if not arguments.only or arguments.only in name]
    missed = 0
    print(f"{'bug':54} {'caught by the promise that':62} seeds")
    for caught in hunt_all(names, arguments.seeds):
        missed += caught.promise is None
        print(f"{caught.name:54} {caught.promise or 'NOT CAUGHT':62} {caught.seeds:5}", flush=True)
    print(f"{len(names)} bugs, {missed} not caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
