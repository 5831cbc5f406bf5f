"""Answers a request for a score from the record, or starts a run and sends its wake-up message."""

import math
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

from fraudd.aio import uncancelled
from fraudd.engine.publisher import Publisher
from fraudd.engine.terms import RequestTerms
from fraudd.errors import Unavailable
from fraudd.ports import Applied, Clock, Store
from fraudd.prediction.decisions import on_request
from fraudd.prediction.formats import new_ulid
from fraudd.prediction.record import Lane, Record, unexpired
from fraudd.prediction.transitions import deleted, opened, promoted, republished
from fraudd.telemetry import log
from fraudd.telemetry.clock_skew import ClockSkew

#: If the record changes between read and write in every round, the request fails.
_MAX_ROUNDS = 5
#: Maximum time that SQS keeps a message, in seconds. A tombstone must live longer than messages
#: from before the deletion.
MESSAGE_RETENTION_SECONDS = 14 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The status that a request gets, and the record that it comes from."""

    status: Literal["started", "calculating", "done", "failed"]
    record: Record


class Intake:
    """Takes requests for scores, by HTTP and by event, and starts their runs.

    ``reserve`` returns a context for the start of a run in a lane. It raises ``Full`` if the lane
    has no room. ``note_opened`` gets the record of each new run.
    """

    def __init__(
        self,
        *,
        store: Store,
        publisher: Publisher,
        clock: Clock,
        rng: random.Random,
        skew: ClockSkew,
        terms: RequestTerms,
        reserve: Callable[[Lane], AbstractContextManager[None]],
        note_opened: Callable[[Record], None],
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._rng = rng
        self._skew = skew
        self._terms = terms
        self._reserve = reserve
        self._note_opened = note_opened

    async def get(self, entity_id: str) -> Record | None:
        """Return the record as clients see it. Raises ``Unavailable``."""
        return unexpired(await self._store.get(entity_id), self._clock.now())

    async def request(
        self,
        entity_id: str,
        *,
        max_age_seconds: float | None = None,
        force: bool = False,
        traceparent: str | None = None,
        lane: Lane = "interactive",
    ) -> Response:
        """Answer from the record, or start a run. An interactive request promotes a bulk run.

        Of concurrent requests for one entity, at any number of daemons, one starts the run, as
        part of the trace ``traceparent``. Raises ``Full`` if the run has no room in its lane, and
        ``Unavailable`` if DynamoDB is unreachable.
        """
        if (blocked_by := self._skew.blocked_by) is not None:
            raise Unavailable("clock", blocked_by)
        max_age = (
            self._terms.default_max_age_seconds if max_age_seconds is None else max_age_seconds
        )
        stored = await self._store.get(entity_id)
        for _ in range(_MAX_ROUNDS):
            record = unexpired(stored, self._clock.now())
            decision = on_request(
                record,
                now=self._clock.now(),
                max_age_seconds=max_age,
                force=force,
                retry_failed_after_seconds=self._terms.retry_failed_after_seconds,
            )
            if decision != "start":
                assert record is not None, "a request without a record starts a run"
                match decision:
                    case "pending":
                        return Response(status="calculating", record=await self._wake(record, lane))
                    case "stored":
                        return Response(status="done", record=record)
                    case "failed":
                        return Response(status="failed", record=record)
            # If the client disconnected between the write and the wake-up message, only the
            # sweeper would wake the run.
            applied = await uncancelled(
                self.start_run(
                    entity_id,
                    stored,
                    traceparent=traceparent,
                    lane=lane,
                    reserved=self._reserve(lane),
                )
            )
            stored = applied.record
            if applied.done:
                assert stored is not None, "an applied transition leaves a record"
                return Response(status="started", record=stored)
        raise Unavailable("store", f"the record of {entity_id} changed during {_MAX_ROUNDS} reads")

    def retry_after_seconds(self, failed: Record) -> int:
        """Return the seconds until the failure is so old that a request starts a new run."""
        since = (self._clock.now() - (failed.finished_at or 0)) / 1000
        return max(1, math.ceil(self._terms.retry_failed_after_seconds - since))

    async def delete(self, entity_id: str) -> None:
        """Delete the entity. A pending run is dropped when its message comes.

        Idempotent, also for an unknown entity. Raises ``Unavailable``.
        """
        now = self._clock.now()
        await self._store.apply(
            deleted(entity_id, now=now, expires_at=now // 1000 + MESSAGE_RETENTION_SECONDS)
        )
        log.info("record.deleted", entity_id=entity_id)

    async def start_run(
        self,
        entity_id: str,
        stored: Record | None,
        *,
        traceparent: str | None,
        lane: Lane = "interactive",
        reserved: AbstractContextManager[None] | None = None,
    ) -> Applied:
        """Start a run if the record is still as it was read: ``stored``.

        ``reserved`` is entered for the write, and may raise ``Full``. Raises ``Unavailable``.
        """
        now = self._clock.now()
        run_id = new_ulid(now, self._rng.getrandbits(80))
        opening = opened(
            entity_id, stored, run_id=run_id, now=now, traceparent=traceparent, lane=lane
        )
        with reserved or nullcontext():
            applied = await self._store.apply(opening)
            if applied.done and applied.record is not None:
                self._note_opened(applied.record)
        if applied.done:
            assert applied.record is not None, "an applied transition leaves a record"
            log.trace(applied.record.traceparent)
            log.info("run.opened", entity_id=entity_id, run_id=run_id)
            await self.publish(applied.record)
        return applied

    async def promote(self, record: Record) -> Applied:
        """Move a queued bulk run to the interactive lane. Raises ``Unavailable``."""
        applied = await self._store.apply(promoted(record, now=self._clock.now()))
        if applied.done:
            assert applied.record is not None, "an applied transition leaves a record"
            log.trace(record.traceparent)
            log.info("run.promoted", entity_id=record.entity_id, run_id=record.run_id)
            await self.publish(applied.record)
        return applied

    async def _wake(self, record: Record, lane: Lane) -> Record:
        """Promote a bulk run, or send a wake-up message that was not sent. Return the record."""
        if record.state != "queued":
            return record
        if record.lane == "bulk" and lane == "interactive":
            after = (await uncancelled(self.promote(record))).record
            # If the run has just ended, the response is the pending record as it was read.
            same = after is not None and after.run_id == record.run_id and after.pending
            return after if after is not None and same else record
        if record.published_at is None:
            await uncancelled(self.publish_again(record))
        return record

    async def publish_again(self, record: Record) -> None:
        """Send the wake-up message of a run that has none. Of many daemons that try, one sends it.

        Raises ``Unavailable`` if the store is unreachable.
        """
        if self._publisher.is_out(record):
            return
        applied = await self._store.apply(republished(record, now=self._clock.now()))
        if applied.done and applied.record is not None:
            log.trace(record.traceparent)
            await self.publish(applied.record)

    async def publish(self, record: Record) -> None:
        """Send the wake-up message of a run whose record says that it is sent.

        If it cannot be sent, the record notes that it is missing.
        """
        await self._publisher.send_or_note(record, self._store)
