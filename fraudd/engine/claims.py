"""From a message to the claim on its run, or to whatever else the message comes to."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fraudd.aio import uncancelled
from fraudd.engine.guard import Guard
from fraudd.engine.intake import Intake
from fraudd.engine.lease import Lease
from fraudd.engine.settlement import Outcome, Settlement
from fraudd.errors import Unavailable
from fraudd.ports import Clock, Store
from fraudd.prediction.decisions import (
    Announce,
    AskAgain,
    Claim,
    Drop,
    GiveBack,
    GiveUp,
    HandOver,
    OnMessage,
    Open,
    Promote,
    on_message,
)
from fraudd.prediction.events import RequestEvent
from fraudd.prediction.record import Record, Transition
from fraudd.prediction.retry import Limits
from fraudd.prediction.transitions import asked_again, claimed, first_claim
from fraudd.telemetry import log

#: A record that changes under every one of so many writes is left to whoever changes it.
_ROUNDS = 20

_GIVEN_UP = {
    "exhausted": "none of its {attempts} attempts came to an end: the process died each time",
    "expired": "nobody began it within max_wait_seconds of its request",
}


class Claims:
    """Claims runs. ``store`` waits through outages, ``impatient`` does not.

    ``held`` are the messages in hand by id.
    """

    def __init__(
        self,
        *,
        store: Store,
        impatient: Store,
        intake: Intake,
        settlement: Settlement,
        guard: Guard,
        clock: Clock,
        held: Mapping[str, Lease],
        visibility_timeout_seconds: float,
        limits: Limits,
    ) -> None:
        self._store = store
        self._impatient = impatient
        self._intake = intake
        self._settlement = settlement
        self._guard = guard
        self._clock = clock
        self._held = held
        self._visibility_timeout_seconds = visibility_timeout_seconds
        self._limits = limits

    async def claim(
        self, lease: Lease, event: RequestEvent, wait_alone: Callable[[], Awaitable[None]]
    ) -> Record | Outcome:
        """Claim the run, or settle its message in another way and say which.

        ``wait_alone`` returns once nothing runs beside: awaited before a run that must be alone.
        """
        alone = False
        record: Record | None
        if event.run_id is None or self._limits.max_wait_seconds is not None:
            record = await self._store.get(event.entity_id)
        else:
            await self._guard.patiently(lease.message.part, lease.fresh)
            guess = first_claim(event.entity_id, event.run_id, **self._terms(lease))
            record = await self._claim(guess)
        for _ in range(_ROUNDS):
            if record is not None and record.worker == lease.token:
                return record
            await self._guard.patiently(lease.message.part, lease.fresh)
            verdict = self._decide(lease, event, record)
            if isinstance(verdict, Claim) and verdict.alone and not alone:
                await wait_alone()
                alone = True
                record = await self._store.get(event.entity_id)
                continue
            came_to, record = await self._carry_out(lease, event, verdict)
            if came_to is not None:
                return came_to
        return await self._settlement.give_back(lease, seconds=1)

    def _decide(self, lease: Lease, event: RequestEvent, record: Record | None) -> OnMessage:
        holder = self._held.get(lease.message.message_id)
        return on_message(
            record,
            event.run_id,
            now=self._clock.now(),
            asked_at=event.asked_at,
            holder=None if holder is None or holder is lease else holder.token,
            steal_from=self._steal_from(),
            limits=self._limits,
        )

    def _steal_from(self) -> int:
        """After an outage of the store holders get one visibility for the beats they missed."""
        answering = self._guard.breaker.answering_for("store", self._clock.monotonic())
        left = self._visibility_timeout_seconds - answering
        return self._clock.now() + int(left * 1000) if left > 0 else 0

    def _terms(self, lease: Lease) -> dict[str, Any]:
        """The terms of a new claim: its token, and a lease that the message outlives."""
        return {
            "worker": lease.token,
            "now": self._clock.now(),
            "lease_until": lease.until(),
        }

    async def _carry_out(
        self, lease: Lease, event: RequestEvent, verdict: OnMessage
    ) -> tuple[Record | Outcome | None, Record | None]:
        """Do what was decided; gives what it came to, or None and the record as it is now."""
        settlement = self._settlement
        match verdict:
            case Claim(seen):
                return None, await self._claim(claimed(seen, **self._terms(lease)))
            case AskAgain(seen):
                noted, record = await self._write(asked_again(seen, now=self._clock.now()))
                if not noted:
                    return None, record
                await settlement.delete(lease)
                return "asked_again", record
            case Open(seen_or_none):
                opened, record = await self._intake.open(
                    event.entity_id, seen_or_none, traceparent=event.traceparent
                )
                if not opened:
                    return None, record
                await settlement.delete(lease)
                return "opened", record
            case Promote(seen):
                promoted, record = await self._intake.promote(seen)
                if not promoted:
                    return None, record
                await settlement.delete(lease)
                return "covered", record
            case _:
                return await self._settle(lease, verdict), None

    async def _claim(self, claim: Transition) -> Record | None:
        """Write a claim; gives the record as it is now, ours or not.

        After an outage it is not written again but decided anew: its own lease would be short by
        then, and whose lease was dead before may only have been unable to beat.
        """
        try:
            return (await uncancelled(self._impatient.apply(claim))).record
        except Unavailable:
            return await self._store.get(claim.entity_id)

    async def _write(self, transition: Transition) -> tuple[bool, Record | None]:
        applied = await self._store.apply(transition)
        return applied.done, applied.record

    async def _settle(
        self, lease: Lease, verdict: GiveUp | GiveBack | HandOver | Announce | Drop
    ) -> Outcome:
        match verdict:
            case GiveUp(record, type_):
                log.trace(record.traceparent)
                return await self._settlement.fail(
                    lease,
                    record,
                    {"type": type_, "detail": _GIVEN_UP[type_].format(attempts=record.attempts)},
                    dead_letter=type_ == "exhausted",
                )
            case GiveBack(until):
                seconds = max(0, until - self._clock.now()) / 1000
                return await self._settlement.give_back(lease, seconds=seconds)
            case HandOver():
                await lease.stop()
                self._held[lease.message.message_id].take_over(lease.message)
                return "handed_over"
            case Announce(record, run_id):
                return await self._settlement.announce(lease, record, run_id)
            case Drop(reason):
                await self._settlement.delete(lease)
                return reason
