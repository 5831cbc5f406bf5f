"""Looks for runs whose wake-up is lost, and sends it again: the record is the truth."""

import asyncio
import random
from dataclasses import dataclass

from fraudd.engine.breaker import Breaker
from fraudd.engine.oldest import OldestPending
from fraudd.engine.publisher import Publisher, lane_of
from fraudd.errors import Unavailable
from fraudd.ports import Clock, Entry, Queues, Store
from fraudd.prediction.decisions import is_lost
from fraudd.prediction.record import SHARDS, Lane, Record
from fraudd.prediction.transitions import republished
from fraudd.telemetry import log
from fraudd.telemetry.clock_skew import ClockSkew
from fraudd.telemetry.metrics import Metrics


@dataclass(slots=True)
class _Emptiness:
    """When the latest look at a lane began that found its queue empty, and the one before it."""

    latest_at: int | None = None
    before_at: int | None = None


class Sweeper:
    """Goes through the pending records, a page of one partition at a time."""

    def __init__(
        self,
        *,
        store: Store,
        queues: Queues,
        publisher: Publisher,
        breaker: Breaker,
        skew: ClockSkew,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        interval_seconds: float,
        grace_seconds: float,
        requeue_after_seconds: float,
        visibility_timeout_seconds: float,
    ) -> None:
        self._store = store
        self._queues = queues
        self._publisher = publisher
        self._breaker = breaker
        self._skew = skew
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._interval_seconds = interval_seconds
        self._grace_seconds = grace_seconds
        self._requeue_after_seconds = requeue_after_seconds
        self._visibility_timeout_seconds = visibility_timeout_seconds
        self._shard = rng.randrange(SHARDS)
        self._after: Entry | None = None
        self.oldest = OldestPending()
        self._emptiness = {lane: _Emptiness() for lane in queues}

    async def run(self) -> None:
        """Sweep for ever, with jitter: many daemons do."""
        while True:
            await asyncio.sleep(self._interval_seconds * self._rng.uniform(0.5, 1.5))
            try:
                await self.run_once()
            except Unavailable as error:
                log.warning("sweeper.postponed", error=str(error))

    async def run_once(self) -> int:
        """Sweep one page; gives how many wake-ups were sent. Raises ``Unavailable``.

        The page is asked for in an outage too: on an idle daemon nothing else would tell its end.
        """
        log.trace(None)
        may_sweep = self._may_sweep()
        began = self._clock.now()
        page = await self._store.listed(
            f"pending#{self._shard}",
            until=began - int(self._grace_seconds * 1000),
            after=self._after,
        )
        if not may_sweep:
            return 0
        records = [await self._store.get(entry.entity_id) for entry in page.entries]
        pending = [record for record in records if record is not None and record.pending]
        seen = [(self._lane_of(record), record.requested_at) for record in pending]
        self.oldest.saw(self._shard, seen, more=page.more)
        await self._look_whether_empty(began, pending)
        self._after = page.entries[-1] if page.more else None
        if not page.more:
            self._shard = (self._shard + 1) % SHARDS
        return sum([await self._send_again(record) for record in pending])

    def _may_sweep(self) -> bool:
        """After an outage of the store holders get one visibility for the beats they missed."""
        answering = self._breaker.answering_for("store", self._clock.monotonic())
        return self._skew.blocked_by is None and answering >= self._visibility_timeout_seconds

    async def _look_whether_empty(self, began: int, pending: list[Record]) -> None:
        """Count the messages where that may tell that a wake-up is lost."""
        seen = {self._lane_of(record) for record in pending if record.requeues == 0}
        for lane in sorted(seen):
            empty = await self._is_empty(lane)
            before_at = self._emptiness[lane].latest_at
            self._emptiness[lane] = _Emptiness(began, before_at) if empty else _Emptiness()

    async def _is_empty(self, lane: Lane) -> bool:
        try:
            depth = await self._queues[lane].depth()
        except Unavailable as error:
            log.warning("queue.not_sampled", lane=lane, error=str(error))
            return False
        return depth.visible == depth.in_flight == depth.delayed == 0

    async def _send_again(self, record: Record) -> bool:
        now = self._clock.now()
        if not is_lost(
            record,
            now=now,
            requeue_after_seconds=self._requeue_after_seconds,
            emptied_at=self._emptiness[self._lane_of(record)].before_at,
        ):
            return False
        applied = await self._store.apply(republished(record, now=now))
        if not applied.done or applied.record is None:
            return False
        log.trace(record.traceparent)
        log.info(
            "run.wakeup_resent",
            entity_id=record.entity_id,
            run_id=record.run_id,
            state=record.state,
            requeues=applied.record.requeues,
        )
        self._metrics.resent.inc()
        try:
            await self._publisher.send(record)
        except Unavailable as error:
            # It counts as sent: it may have been. Otherwise its next turn comes.
            log.warning(
                "run.not_published",
                entity_id=record.entity_id,
                run_id=record.run_id,
                error=str(error),
            )
        return True

    def _lane_of(self, record: Record) -> Lane:
        return lane_of(record, self._queues)
