"""The run of a backfill: it requests IDs in batches and waits until all have ended."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fraudd.client import Client, Prediction, Problem
from fraudd.commands.backfill.journal import Journal, Row, row_of
from fraudd.prediction.record import Lane

#: The API's limit of entities in one batch.
_BATCH_SIZE = 100
#: Maximum number of long polls at a time. When one ends, the next pending run is polled.
_MAX_POLLS = 64
#: Longest wait of one poll. Then another pending run gets its turn.
_POLL_SECONDS = 20.0
#: Pause after a response that did not wait, so that polls do not spin.
_PAUSE_SECONDS = 1.0
#: Pause before rejected IDs are requested again, if the response has no Retry-After.
_RETRY_SECONDS = 5.0
_RETRIED_STATUSES = frozenset({429, 503})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The lane, and the limits: pending runs, requests per second, and age of a stored score."""

    lane: Lane
    concurrency: int
    rate: float
    max_age_seconds: float | None


class Backfill:
    """One backfill. It calls ``on_end`` with each row, and its prediction if there is one."""

    def __init__(
        self,
        client: Client,
        entity_ids: Sequence[str],
        journal: Journal,
        pace: Pace,
        on_end: Callable[[Row, Prediction | None], None],
    ) -> None:
        self._client = client
        self._entity_ids = entity_ids
        self._journal = journal
        self._pace = pace
        self._on_end = on_end
        self._rate_limit = RateLimit(pace.rate)
        self._to_poll: asyncio.Queue[str] = asyncio.Queue()
        #: Runs that are queued for a poll or being polled.
        self._pending = 0
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Resume at the journal's end, and return when every ID has ended. Raises ``Problem``."""
        for entity_id in self._entity_ids[: self._journal.requested]:
            if entity_id not in self._journal.ended:
                self._add_pending(entity_id)
        try:
            async with asyncio.TaskGroup() as group:
                count = min(_MAX_POLLS, self._pace.concurrency)
                polls = [group.create_task(self._poll_forever()) for _ in range(count)]
                await self._request_all()
                await self._wait_until(lambda: not self._pending)
                for poll in polls:
                    poll.cancel()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _request_all(self) -> None:
        while (start := self._journal.requested) < len(self._entity_ids):
            size = await self._next_batch_size(len(self._entity_ids) - start)
            batch = self._entity_ids[start : start + size]
            # After a kill, part of an unrecorded batch may have ended.
            await self._request([one for one in batch if one not in self._journal.ended])
            self._journal.append(requested=start + len(batch))

    async def _next_batch_size(self, remaining: int) -> int:
        """Wait until more runs may be pending, and return how many to request."""
        maximum = self._pace.concurrency
        # Wait for a tenth of the maximum, so that batches do not shrink to one ID.
        minimum = min(remaining, _BATCH_SIZE, max(1, maximum // 10))
        await self._wait_until(lambda: maximum - self._pending >= minimum)
        return min(remaining, _BATCH_SIZE, maximum - self._pending, max(1, int(self._pace.rate)))

    async def _request(self, batch: Sequence[str]) -> None:
        """Request a batch, and repeat the IDs that the daemon rejects temporarily."""
        while batch:
            await self._rate_limit.acquire(len(batch))
            outcomes = await self._client.batch(
                batch, max_age_seconds=self._pace.max_age_seconds, lane=self._pace.lane
            )
            rejected, pause = [], 0.0
            for entity_id, outcome in zip(batch, outcomes, strict=True):
                if not isinstance(outcome, Problem):
                    self._receive(outcome)
                elif outcome.status in _RETRIED_STATUSES:
                    rejected.append(entity_id)
                    pause = max(pause, outcome.retry_after_seconds or _RETRY_SECONDS)
                else:
                    self._end(Row(entity_id, "refused", error=str(outcome)), None)
            batch = rejected
            await asyncio.sleep(pause)

    async def _poll_forever(self) -> None:
        """Wait for one pending run after another."""
        loop = asyncio.get_running_loop()
        while True:
            entity_id = await self._to_poll.get()
            started_at = loop.time()
            prediction = await self._client.get(entity_id, wait=_POLL_SECONDS)
            self._pending -= 1
            if prediction is None:
                self._end(Row(entity_id, "deleted"), None)
                continue
            self._receive(prediction)
            if prediction.pending and loop.time() - started_at < _PAUSE_SECONDS:
                await asyncio.sleep(_PAUSE_SECONDS)

    def _receive(self, prediction: Prediction) -> None:
        if prediction.pending:
            self._add_pending(prediction.entity_id)
        else:
            self._end(row_of(prediction), prediction)

    def _add_pending(self, entity_id: str) -> None:
        self._pending += 1
        self._to_poll.put_nowait(entity_id)

    def _end(self, row: Row, prediction: Prediction | None) -> None:
        self._journal.append(ended=[row])
        self._on_end(row, prediction)
        self._changed.set()

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()


class RateLimit:
    """Spreads requests evenly, at a rate per second."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._next_at = 0.0

    async def acquire(self, count: int = 1) -> None:
        """Wait until ``count`` more requests may be sent."""
        now = asyncio.get_running_loop().time()
        starts_at = max(now, self._next_at)
        self._next_at = starts_at + count / self._rate
        await asyncio.sleep(starts_at - now)
