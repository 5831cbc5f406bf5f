"""A request for a score: answered from the record, or a run is opened and its wake-up sent."""

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
from fraudd.prediction.transitions import deleted, opened, promoted, republished, unpublished
from fraudd.telemetry import log
from fraudd.telemetry.clock_skew import ClockSkew

#: A record that changes under every one of so many reads is not worth another.
_ROUNDS = 5
#: The longest that SQS keeps a message, in seconds: no older one can bring a forgotten run back.
MESSAGE_RETENTION_SECONDS = 14 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a request came to, and the record it came to it by."""

    status: Literal["started", "calculating", "done", "failed"]
    record: Record


class Intake:
    """The admission: every request for a score, by HTTP or by event, enters here.

    ``room`` is entered while a run is being opened in a lane for who asks; it raises ``Full``.
    ``note_opened`` is told of every run that was opened.
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
        room: Callable[[Lane], AbstractContextManager[None]],
        note_opened: Callable[[Record], None],
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._rng = rng
        self._skew = skew
        self._terms = terms
        self._room = room
        self._note_opened = note_opened

    async def get(self, entity_id: str) -> Record | None:
        """Give the record as a reader may see it. Raises ``Unavailable``."""
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
        """Answer from the record, or open a run. Raises ``Unavailable`` where the store is out.

        Of concurrent calls for one entity, at any number of daemons, one opens the run; it belongs
        to the trace ``traceparent``. Raises ``Full`` where a run would be opened, and too many are
        owed. A run that waits in the bulk lane is moved to who asks in the interactive one.
        """
        if (blocked_by := self._skew.blocked_by) is not None:
            raise Unavailable("clock", blocked_by)
        max_age = (
            self._terms.default_max_age_seconds if max_age_seconds is None else max_age_seconds
        )
        stored = await self._store.get(entity_id)
        for _ in range(_ROUNDS):
            seen = unexpired(stored, self._clock.now())
            verdict = on_request(
                seen,
                now=self._clock.now(),
                max_age_seconds=max_age,
                force=force,
                retry_failed_after_seconds=self._terms.retry_failed_after_seconds,
            )
            if verdict == "start":
                # A caller who hangs up between the write and the wake-up would leave the run to
                # the sweeper.
                applied = await uncancelled(
                    self.start_run(
                        entity_id,
                        stored,
                        traceparent=traceparent,
                        lane=lane,
                        room=self._room(lane),
                    )
                )
                stored = applied.record
                if applied.done:
                    assert stored is not None
                    return Response(status="started", record=stored)
                continue
            assert seen is not None
            if verdict == "pending":
                return Response(status="calculating", record=await self._wake(seen, lane))
            if verdict == "stored":
                return Response(status="done", record=seen)
            return Response(status="failed", record=seen)
        raise Unavailable("store", f"the record of {entity_id} changed under {_ROUNDS} reads")

    def retry_after_seconds(self, failed: Record) -> int:
        """Give the seconds after which asking again starts a new run."""
        since = (self._clock.now() - (failed.finished_at or 0)) / 1000
        return max(1, math.ceil(self._terms.retry_failed_after_seconds - since))

    async def delete(self, entity_id: str) -> None:
        """Forget the entity, known or not; a pending run is dropped when its message comes.

        Raises ``Unavailable`` where the store is out; asking again is safe.
        """
        now = self._clock.now()
        await self._store.apply(
            deleted(entity_id, now=now, expires_at=now // 1000 + MESSAGE_RETENTION_SECONDS)
        )
        log.info("record.deleted", entity_id=entity_id)

    async def start_run(
        self,
        entity_id: str,
        seen: Record | None,
        *,
        traceparent: str | None,
        lane: Lane = "interactive",
        room: AbstractContextManager[None] | None = None,
    ) -> Applied:
        """Open a run whatever is stored, provided the record still is as ``seen``.

        Tells whether it did, and the record as it is now. Raises ``Unavailable``, and what
        ``room`` raises, which is entered for the write.
        """
        now = self._clock.now()
        run_id = new_ulid(now, self._rng.getrandbits(80))
        opening = opened(
            entity_id, seen, run_id=run_id, now=now, traceparent=traceparent, lane=lane
        )
        with room or nullcontext():
            applied = await self._store.apply(opening)
            if applied.done and applied.record is not None:
                self._note_opened(applied.record)
        if applied.done:
            assert applied.record is not None
            log.trace(applied.record.traceparent)
            log.info("run.opened", entity_id=entity_id, run_id=run_id)
            await self.publish(applied.record)
        return applied

    async def promote(self, record: Record) -> Applied:
        """Move a run that is queued in the bulk lane to the interactive one, and wake it there.

        Tells whether it did, and the record as it is now. Raises ``Unavailable``.
        """
        applied = await self._store.apply(promoted(record, now=self._clock.now()))
        if applied.done:
            assert applied.record is not None
            log.trace(record.traceparent)
            log.info("run.promoted", entity_id=record.entity_id, run_id=record.run_id)
            await self.publish(applied.record)
        return applied

    async def _wake(self, record: Record, lane: Lane) -> Record:
        """Send the wake-up of a pending run where whoever opened it could not, or in bulk."""
        if record.state != "queued":
            return record
        if record.lane == "bulk" and lane == "interactive":
            after = (await uncancelled(self.promote(record))).record
            # If the run has just ended, the answer is the record as it was read: pending.
            same = after is not None and after.run_id == record.run_id and after.pending
            return after if after is not None and same else record
        if record.published_at is None:
            await uncancelled(self._publish_again(record))
        return record

    async def _publish_again(self, record: Record) -> None:
        log.trace(record.traceparent)
        applied = await self._store.apply(republished(record, now=self._clock.now()))
        if applied.done:
            await self.publish(record)

    async def publish(self, record: Record) -> None:
        """Send the wake-up; where the topic is out the run stands in the record all the same."""
        try:
            await self._publisher.send(record)
        except Unavailable as error:
            log.warning(
                "run.not_published",
                entity_id=record.entity_id,
                run_id=record.run_id,
                error=str(error),
            )
            await self._store.apply(unpublished(record))
