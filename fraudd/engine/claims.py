"""Claims the run that a message wakes, or settles the message without a run."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fraudd.aio import uncancelled
from fraudd.engine.guard import Guard
from fraudd.engine.intake import Intake
from fraudd.engine.lease import Lease
from fraudd.engine.settlement import Outcome, Settlement
from fraudd.errors import Unavailable
from fraudd.ports import Applied, Clock, Store
from fraudd.prediction.decisions import (
    Announce,
    Claim,
    Drop,
    GiveUp,
    HandOver,
    OnMessage,
    Promote,
    Release,
    RunAgain,
    StartRun,
    on_message,
)
from fraudd.prediction.events import RequestEvent
from fraudd.prediction.record import Record, Transition
from fraudd.prediction.retry import Limits
from fraudd.prediction.transitions import claimed, first_claim, requested_again
from fraudd.telemetry import log

#: A round is a decision and its write. If the record changes in every round, the message is
#: released.
_MAX_ROUNDS = 20

_GIVEN_UP = {
    "exhausted": "the process died in each of the {attempts} attempts",
    "expired": "no daemon started the run within max_wait_seconds of its request",
}


@dataclass(frozen=True, slots=True)
class Claimed:
    """The run is claimed: compute it."""

    record: Record


@dataclass(frozen=True, slots=True)
class Settled:
    """The message is settled or released, and there is no run to compute."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Retry:
    """The record changed before the write: decide again on the record as it is now."""

    record: Record | None


class Claims:
    """Claims runs. ``patient`` waits through outages, ``prompt`` raises ``Unavailable``."""

    def __init__(
        self,
        *,
        patient: Store,
        prompt: Store,
        intake: Intake,
        settlement: Settlement,
        guard: Guard,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._patient = patient
        self._prompt = prompt
        self._intake = intake
        self._settlement = settlement
        self._guard = guard
        self._clock = clock
        self._limits = limits
        #: The leases of this daemon by message ID. If a message was received twice, it has the
        #: first lease.
        self._held: dict[str, Lease] = {}

    @contextmanager
    def holding(self, lease: Lease) -> Iterator[None]:
        """Let later receives of the same message find ``lease`` while the block runs."""
        message_id = lease.message.message_id
        first = self._held.setdefault(message_id, lease)
        try:
            yield
        finally:
            if first is lease:
                del self._held[message_id]

    async def claim(
        self,
        lease: Lease,
        event: RequestEvent,
        *,
        wait_alone: Callable[[], Awaitable[None]],
        leave_database: Callable[[], None],
    ) -> Claimed | Settled:
        """Claim the run, or settle its message in another way.

        ``wait_alone`` returns once no other run is computed. It is awaited before the claim of a
        run that must be alone. ``leave_database`` is called if the message needs no database.
        """
        step: Claimed | Settled | Retry = await self._first_step(lease, event)
        alone = False
        rounds = 0
        while isinstance(step, Retry):
            rounds += 1
            if rounds > _MAX_ROUNDS:
                await self._settlement.release_message(lease, seconds=1)
                return Settled("released_before_run")
            await lease.ensure_fresh(self._guard.settling)
            decision = self._decide(lease, event, step.record)
            if isinstance(decision, Claim) and decision.alone and not alone:
                await wait_alone()
                alone = True
                step = _claimed_or_retry(await self._patient.get(event.entity_id), lease)
            else:
                if not isinstance(decision, Claim):
                    leave_database()
                step = await self._carry_out(lease, event, decision)
        return step

    async def _first_step(self, lease: Lease, event: RequestEvent) -> Claimed | Retry:
        """Claim the run without reading its record, which saves a read for nearly every run.

        If runs expire, the record is read first, because only it tells when the run started.
        """
        if event.run_id is None or self._limits.max_wait_seconds is not None:
            return _claimed_or_retry(await self._patient.get(event.entity_id), lease)
        await lease.ensure_fresh(self._guard.settling)
        return await self._claim(
            first_claim(event.entity_id, event.run_id, **self._terms(lease)), lease
        )

    def _decide(self, lease: Lease, event: RequestEvent, record: Record | None) -> OnMessage:
        holder = self._held.get(lease.message.message_id)
        return on_message(
            record,
            event.wakes(record),
            now=self._clock.now(),
            sent_at=event.sent_at,
            holder=None if holder is None or holder is lease else holder.token,
            steal_from=self._steal_from(),
            limits=self._limits,
        )

    def _steal_from(self) -> int:
        """Return the time until which no expired lease is taken over."""
        grace_seconds = self._guard.lease_grace_seconds()
        return self._clock.now() + int(grace_seconds * 1000) if grace_seconds else 0

    def _terms(self, lease: Lease) -> dict[str, Any]:
        """Return the terms of a new claim: its fencing token and the end of its lease."""
        return {"worker": lease.token, "now": self._clock.now(), "lease_until": lease.until()}

    async def _carry_out(
        self, lease: Lease, event: RequestEvent, decision: OnMessage
    ) -> Claimed | Settled | Retry:
        match decision:
            case Claim(record):
                return await self._claim(claimed(record, **self._terms(lease)), lease)
            case GiveUp(record, type_):
                log.trace(record.traceparent)
                why = {
                    "type": type_,
                    "detail": _GIVEN_UP[type_].format(attempts=record.attempts),
                }
                dead_letter = type_ == "exhausted"
                return Settled(
                    await self._settlement.fail(lease, record, why, dead_letter=dead_letter)
                )
            case Release(until):
                seconds = max(0, until - self._clock.now()) / 1000
                await self._settlement.release_message(lease, seconds=seconds)
                return Settled("released_before_run")
            case HandOver():
                return Settled(await self._hand_over(lease))
            case Announce(record, run_id):
                return Settled(await self._settlement.announce(lease, record, run_id))
            case RunAgain(record):
                applied = await self._patient.apply(requested_again(record, now=self._clock.now()))
                return await self._settle(lease, applied, "asked_again")
            case StartRun(record):
                applied = await self._intake.start_run(
                    event.entity_id, record, traceparent=event.traceparent
                )
                return await self._settle(lease, applied, "opened")
            case Promote(record):
                return await self._settle(lease, await self._intake.promote(record), "covered")
            case Drop(reason):
                log.info(
                    "message.dropped",
                    entity_id=event.entity_id,
                    run_id=event.run_id or event.presumed_run_id,
                    message_id=lease.message.message_id,
                    reason=reason,
                )
                await self._settlement.delete(lease)
                return Settled(reason)

    async def _hand_over(self, lease: Lease) -> Outcome:
        """Give the newer receipt handle to the job that already works on the message."""
        await lease.stop()
        holder = self._held.get(lease.message.message_id)
        if holder is None or holder is lease:
            # That job ended during the wait. The next receive decides on what it left.
            await self._settlement.release_message(lease, seconds=0)
            return "released_before_run"
        holder.take_over(lease.message)
        return "handed_over"

    async def _claim(self, claim: Transition, lease: Lease) -> Claimed | Retry:
        """Write a claim.

        It is not repeated after an outage. Its lease would be too short by then, and the holder
        of an expired lease may only have been unable to renew it.
        """
        try:
            record = (await uncancelled(self._prompt.apply(claim))).record
        except Unavailable:
            record = await self._patient.get(claim.entity_id)
        return _claimed_or_retry(record, lease)

    async def _settle(self, lease: Lease, applied: Applied, outcome: Outcome) -> Settled | Retry:
        """Delete the message if the write that serves it was applied."""
        if not applied.done:
            return Retry(applied.record)
        await self._settlement.delete(lease)
        return Settled(outcome)


def _claimed_or_retry(record: Record | None, lease: Lease) -> Claimed | Retry:
    """Return whether the record has our fencing token: a claim may succeed without a response."""
    if record is not None and record.worker == lease.token:
        return Claimed(record)
    return Retry(record)
