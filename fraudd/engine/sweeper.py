"""Finds pending runs whose wake-up message is lost, and sends it again."""

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass

from fraudd.aio import gather
from fraudd.engine.guard import Guard
from fraudd.engine.publisher import Publisher, lane_of
from fraudd.engine.terms import SweeperTerms
from fraudd.errors import BackPressure, Unavailable, Unreadable
from fraudd.ports import Clock, Entry, Page, Queues, Store
from fraudd.prediction.decisions import is_lost
from fraudd.prediction.record import SHARDS, UNSENT_SHARD, Lane, Record
from fraudd.prediction.transitions import republished
from fraudd.telemetry import log
from fraudd.telemetry.metrics import Metrics

#: After an outage of SNS thousands of wake-up messages may be unsent.
_CONCURRENT_SENDS = 10


class OldestPending:
    """The oldest pending run of each lane, as the sweeper last saw it.

    The sweeper reads one partition of the index after the other, in pages. Times are epoch
    milliseconds.
    """

    def __init__(self) -> None:
        #: When the oldest run was requested, by partition and lane.
        self._requested_at: dict[int, dict[str, int]] = {}
        #: The same for the pages that were read of the current partition.
        self._in_pages: dict[str, int] = {}

    def page_read(self, shard: int, page: Iterable[tuple[str, int]], *, more: bool) -> None:
        """Note the pending runs of a page: their lanes, and when they were requested.

        Older values of the partition stay valid until its last page (``more`` is false).
        """
        in_partition = self._requested_at.setdefault(shard, {})
        for lane, requested_at in page:
            self._in_pages[lane] = min(requested_at, self._in_pages.get(lane, requested_at))
            in_partition[lane] = min(requested_at, in_partition.get(lane, requested_at))
        if not more:
            self._requested_at[shard], self._in_pages = self._in_pages, {}

    def seconds(self, lane: str, now: int) -> float:
        """Return the age of the oldest pending run of a lane, or 0 if there is none."""
        times = [by_lane[lane] for by_lane in self._requested_at.values() if lane in by_lane]
        return max(0, now - min(times)) / 1000 if times else 0.0


@dataclass(slots=True)
class _EmptySamples:
    """When the last two samples of a lane's queue began, if both found it empty."""

    latest_at: int | None = None
    previous_at: int | None = None


class Sweeper:
    """Reads the index of pending runs, one page of one partition at a time.

    The record is the source of truth: a run that is pending needs a wake-up message.
    """

    def __init__(
        self,
        *,
        store: Store,
        queues: Queues,
        publisher: Publisher,
        guard: Guard,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        terms: SweeperTerms,
    ) -> None:
        self._store = store
        self._queues = queues
        self._publisher = publisher
        self._guard = guard
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._terms = terms
        self._shard = rng.randrange(SHARDS)
        self._after: Entry | None = None
        self.oldest = OldestPending()
        self._empty_samples = {lane: _EmptySamples() for lane in queues}
        #: The lanes into which this sweep has sent a trial message.
        self._tried: set[Lane] = set()

    async def run(self) -> None:
        """Sweep forever, with jitter: every daemon of the fleet sweeps."""
        while True:
            await asyncio.sleep(self._terms.interval_seconds * self._rng.uniform(0.5, 1.5))
            try:
                await self.run_once()
            except Unavailable as error:
                log.warning("sweeper.postponed", error=str(error))

    async def run_once(self) -> int:
        """Sweep the unsent wake-up messages, then one page of the others.

        Returns the number of messages sent. Raises ``Unavailable``. The index is read during an
        outage, too: on an idle daemon, no other call would notice its end.
        """
        log.trace(None)
        self._tried.clear()
        return await self._sweep_unsent() + await self._sweep_page()

    async def _sweep_unsent(self) -> int:
        """Send all wake-up messages that were not sent, for example in an outage of SNS."""
        after: Entry | None = None
        sent = 0
        while True:
            page = await self._store.listed(
                f"pending#{UNSENT_SHARD}", until=self._clock.now(), after=after
            )
            if self._guard.skew.blocked_by is not None:
                return sent
            pending = await self._pending(page)
            self.oldest.page_read(UNSENT_SHARD, self._requested(pending), more=page.more)
            # An expired lease proves nothing now if holders could not renew. A queued run has none.
            may_take_over = self._may_send()
            sendable = [run for run in pending if run.state == "queued" or may_take_over]
            sent_of_page = 0
            for begin in range(0, len(sendable), _CONCURRENT_SENDS):
                batch = sendable[begin : begin + _CONCURRENT_SENDS]
                sent_of_page += sum(await gather(self._send_again(record) for record in batch))
            sent += sent_of_page
            if not page.more or (sendable and not sent_of_page):
                return sent
            after = page.entries[-1]

    async def _sweep_page(self) -> int:
        may_send = self._may_send()
        began_at = self._clock.now()
        page = await self._store.listed(
            f"pending#{self._shard}",
            until=began_at - int(self._terms.grace_seconds * 1000),
            after=self._after,
        )
        if not may_send:
            return 0
        pending = await self._pending(page)
        self.oldest.page_read(self._shard, self._requested(pending), more=page.more)
        await self._sample_queues(began_at, pending)
        self._after = page.entries[-1] if page.more else None
        if not page.more:
            self._shard = (self._shard + 1) % SHARDS
        return sum([await self._send_again(record) for record in pending])

    async def _pending(self, page: Page) -> list[Record]:
        records = [await self._read(entry.entity_id) for entry in page.entries]
        return [record for record in records if record is not None and record.pending]

    def _requested(self, pending: list[Record]) -> list[tuple[str, int]]:
        return [(self._lane_of(record), record.requested_at) for record in pending]

    async def _read(self, entity_id: str) -> Record | None:
        """Read a record. One that cannot be read now must not stop the sweep of all others."""
        try:
            return await self._store.get(entity_id)
        except (Unreadable, BackPressure) as error:
            log.warning("sweeper.skipped", entity_id=entity_id, error=str(error))
            return None

    def _may_send(self) -> bool:
        """Return whether an expired lease means that its holder is gone."""
        return self._guard.skew.blocked_by is None and not self._guard.lease_grace_seconds()

    async def _sample_queues(self, began_at: int, pending: list[Record]) -> None:
        """Sample the queues of these runs: an empty queue shows that a message is lost."""
        lanes = {self._lane_of(record) for record in pending}
        for lane in sorted(lanes):
            is_empty = await self._is_empty(lane)
            previous_at = self._empty_samples[lane].latest_at
            self._empty_samples[lane] = (
                _EmptySamples(began_at, previous_at) if is_empty else _EmptySamples()
            )

    async def _is_empty(self, lane: Lane) -> bool:
        try:
            depth = await self._queues[lane].depth()
        except Unavailable as error:
            log.warning("queue.sample_failed", lane=lane, error=str(error))
            return False
        return depth.visible == depth.in_flight == depth.delayed == 0

    async def _send_again(self, record: Record) -> bool:
        now, lane = self._clock.now(), self._lane_of(record)
        if not is_lost(
            record,
            now=now,
            requeue_after_seconds=self._terms.requeue_after_seconds,
            emptied_at=self._empty_samples[lane].previous_at,
        ):
            return False
        # Nothing is sent into a part that is known to be unreachable, except one trial call.
        trial = self._publisher.is_out(record)
        if trial and lane in self._tried:
            return False
        if trial:
            self._tried.add(lane)
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
        return await self._publisher.send_or_note(applied.record, self._store, trial=trial)

    def _lane_of(self, record: Record) -> Lane:
        return lane_of(record, self._queues)
