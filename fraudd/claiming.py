"""From a message to the claim on its run, or to whatever else the message comes to."""

import random
from typing import Any

from fraudd.event import RequestEvent
from fraudd.intake import Intake
from fraudd.ports import Clock, Message, Store
from fraudd.prediction import Record, claimed, first_claim, lease_end, new_run_id
from fraudd.settlement import Outcome, Settlement
from fraudd.verdict import Announce, Claim, Drop, GiveBack, GiveUp, OnMessage, Open, on_message

#: A record that changes under every one of so many claims is left to whoever changes it.
_ROUNDS = 5

_GIVEN_UP = {
    "exhausted": "none of its {attempts} attempts came to an end: the process died each time",
    "expired": "nobody began it within max_wait_seconds of its request",
}


class Claiming:
    """Claims runs. Every call may raise ``Unavailable``."""

    def __init__(
        self,
        *,
        store: Store,
        intake: Intake,
        settlement: Settlement,
        clock: Clock,
        rng: random.Random,
        visibility_timeout_seconds: float,
        max_attempts: int,
        max_wait_seconds: float | None,
    ) -> None:
        self._store = store
        self._intake = intake
        self._settlement = settlement
        self._clock = clock
        self._rng = rng
        self._visibility_timeout_seconds = visibility_timeout_seconds
        self._max_attempts = max_attempts
        self._max_wait_seconds = max_wait_seconds

    async def claim(self, message: Message, event: RequestEvent) -> Record | Outcome:
        """Claim the run, or settle its message in another way and say which."""
        if event.run_id is None or self._max_wait_seconds is not None:
            record = await self._store.get(event.entity_id)
        else:
            guess = first_claim(event.entity_id, event.run_id, **self._terms(message))
            applied = await self._store.apply(guess)
            record = applied.record
            if applied.done and record is not None:
                return record
        for _ in range(_ROUNDS):
            verdict = on_message(
                record,
                event.run_id,
                now=self._clock.now(),
                max_attempts=self._max_attempts,
                max_wait_seconds=self._max_wait_seconds,
            )
            if not isinstance(verdict, Claim):
                return await self._settle(message, event, verdict)
            applied = await self._store.apply(claimed(verdict.record, **self._terms(message)))
            record = applied.record
            if applied.done and record is not None:
                return record
        return await self._settlement.give_back(message, until=self._clock.now())

    def _terms(self, message: Message) -> dict[str, Any]:
        """The terms of a new claim: a token of its own, and a lease the message outlives."""
        now = self._clock.now()
        return {
            "worker": new_run_id(now, self._rng.getrandbits(80)),
            "now": now,
            "lease_until": lease_end(message.received_at, self._visibility_timeout_seconds),
        }

    async def _settle(self, message: Message, event: RequestEvent, verdict: OnMessage) -> Outcome:
        match verdict:
            case GiveUp(record, type_):
                return await self._settlement.fail(
                    message,
                    record,
                    type_=type_,
                    detail=_GIVEN_UP[type_].format(attempts=record.attempts),
                    dead_letter=type_ == "exhausted",
                )
            case GiveBack(until):
                return await self._settlement.give_back(message, until=until)
            case Announce(record, run_id):
                return await self._settlement.announce(message, record, run_id)
            case Open(seen):
                if not await self._intake.open(event.entity_id, seen):
                    # The record changed meanwhile: look again at once.
                    return await self._settlement.give_back(message, until=self._clock.now())
                await self._settlement.delete(message)
                return "opened"
            case Drop(reason):
                await self._settlement.delete(message)
                return reason
            case Claim():
                raise AssertionError("a claim is carried out by claim()")
