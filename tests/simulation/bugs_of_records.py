"""Bugs in the order of writing, announcing and deleting, in claims, and in who a write is by."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from fraudd.engine.lease import Lease
from fraudd.engine.settlement import Outcome, Settlement
from fraudd.errors import Unavailable
from fraudd.ports import Applied
from fraudd.prediction.events import completion
from fraudd.prediction.record import Json, Record, Transition, already_applied, lease_end
from fraudd.prediction.transitions import (
    backed_off,
    claimed,
    completed,
    failed,
    first_claim,
    released,
)
from tests.simulation.bugs import bug, loosened, put, put_at
from tests.simulation.store import SimulatedStore

# Messages and results


@bug
def delete_before_the_result_is_written(stack: ExitStack) -> None:
    real = Settlement.complete

    async def complete(
        self: Settlement, lease: Lease, claim: Record, result: Mapping[str, Any]
    ) -> Outcome:
        await self._ports.queues[lease.message.lane].delete(lease.message)
        return await real(self, lease, claim, result)

    put(stack, Settlement, "complete", complete)


@bug
def announce_before_it_is_durable(stack: ExitStack) -> None:
    real = Settlement._store_and_announce

    async def _store_and_announce(
        self: Settlement, lease: Lease, claim: Record, end: Callable[..., Transition]
    ) -> Record | None:
        sets: dict[str, Any] = dict(end(replace(claim, again=None), next_run_id="").sets)
        await self._ports.topics.announce(completion(replace(claim, **sets), source="mutant"))
        return await real(self, lease, claim, end)

    put(stack, Settlement, "_store_and_announce", _store_and_announce)


@bug
def announce_nothing(stack: ExitStack) -> None:
    async def _announce(self: Settlement, record: Record, run_id: str) -> None:
        return None

    put(stack, Settlement, "_announce", _announce)


@bug
def bury_before_the_failure_is_written(stack: ExitStack) -> None:
    real = Settlement.fail

    async def fail(
        self: Settlement, lease: Lease, claim: Record, why: Json, *, dead_letter: bool
    ) -> Outcome:
        if dead_letter:
            queue = self._ports.queues[lease.message.lane]
            await queue.dead_letter(lease.message, reason=why["type"], detail="")
        return await real(self, lease, claim, why, dead_letter=dead_letter)

    put(stack, Settlement, "fail", fail)


@bug
def delete_what_is_malformed_without_a_copy(stack: ExitStack) -> None:
    async def dead_letter(
        self: Settlement, lease: Lease, *, reason: str, detail: str, claim: Record | None = None
    ) -> None:
        await self.delete(lease)

    put(stack, Settlement, "dead_letter", dead_letter)


@bug
def give_back_by_visibility_at_the_last_receive(stack: ExitStack) -> None:
    put_at(stack, "fraudd.engine.settlement.may_hide", lambda **_: True)


@bug
def make_the_message_visible_before_its_run_is_queued(stack: ExitStack) -> None:
    async def requeue(
        self: Settlement, lease: Lease, transition: Transition, *, seconds: float
    ) -> bool:
        await lease.seal()
        await self.release_message(lease, seconds=seconds)
        return (await self._ports.store.apply(transition)).done

    put(stack, Settlement, "requeue", requeue)


# Claims and fencing


@bug
def claim_without_a_condition(stack: ExitStack) -> None:

    put_at(stack, "fraudd.engine.claims.claimed", loosened(claimed))
    put_at(stack, "fraudd.engine.claims.first_claim", loosened(first_claim))


@bug
def claim_whatever_the_lease_says(stack: ExitStack) -> None:
    put_at(stack, "fraudd.prediction.decisions.dead_at", lambda _: 0)


@bug
def complete_without_fencing(stack: ExitStack) -> None:

    put_at(stack, "fraudd.engine.settlement.completed", loosened(completed))


@bug
def fail_without_naming_state_and_worker(stack: ExitStack) -> None:

    put_at(stack, "fraudd.engine.settlement.failed", loosened(failed, "state", "worker"))


@bug
def queue_again_without_naming_state_and_worker(stack: ExitStack) -> None:

    put_at(stack, "fraudd.engine.worker.backed_off", loosened(backed_off, "state", "worker"))
    put_at(stack, "fraudd.engine.worker.released", loosened(released, "state", "worker"))
    put_at(stack, "fraudd.engine.settlement.released", loosened(released, "state", "worker"))


@bug
def lease_outlives_the_visibility(stack: ExitStack) -> None:
    put_at(stack, "fraudd.engine.lease.lease_end", lambda at: lease_end(at) + 30_000)


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
    put_at(stack, "fraudd.engine.claims.claimed", loosened(claimed, "not_before"))
    put_at(stack, "fraudd.engine.claims.first_claim", loosened(first_claim, "not_before"))
    real = Settlement.release_message

    async def release_message(self: Settlement, lease: Lease, *, seconds: float) -> None:
        await real(self, lease, seconds=0)

    put(stack, Settlement, "release_message", release_message)


# A write whose answer was lost, taken for somebody else's


def _disowned(stack: ExitStack, mine: Callable[[Transition], bool]) -> None:
    def applied(transition: Transition, old: Record | None) -> bool:
        return False if mine(transition) else already_applied(transition, old)

    put_at(stack, "tests.simulation.store.already_applied", applied)


@bug
def own_opening_taken_for_anothers(stack: ExitStack) -> None:
    _disowned(stack, lambda transition: transition.proof == "run_id")


@bug
def own_claim_taken_for_anothers(stack: ExitStack) -> None:
    _disowned(stack, lambda transition: transition.proof == "worker")
    real = SimulatedStore.apply

    async def apply(self: SimulatedStore, transition: Transition) -> Applied:
        applied = await real(self, transition)
        if applied.done or applied.record is None or transition.proof != "worker":
            return applied
        return Applied(False, replace(applied.record, worker="another"))

    put(stack, SimulatedStore, "apply", apply)


@bug
def own_result_taken_for_anothers(stack: ExitStack) -> None:
    _disowned(stack, lambda transition: transition.proof == "result")


@bug
def own_failure_taken_for_anothers(stack: ExitStack) -> None:
    _disowned(stack, lambda transition: transition.proof == "error")


@bug
def own_requeue_taken_for_anothers(stack: ExitStack) -> None:
    def is_requeue(transition: Transition) -> bool:
        return transition.proof == "all" and transition.sets.get("state") == "queued"

    _disowned(stack, is_requeue)
