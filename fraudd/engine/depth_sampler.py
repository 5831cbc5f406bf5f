"""Samples a lane's queue, for metrics, status and the estimate of how long a run will take."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict

from fraudd.engine.backlog import Backlog, RunTimes, bounded, estimated_seconds
from fraudd.errors import Full, Unavailable
from fraudd.ports import Clock, Depth, Permits, Queue
from fraudd.prediction.record import Lane, Record
from fraudd.telemetry import log
from fraudd.telemetry.metrics import Metrics

#: At rest two calls every half a minute will do (one a minute of the bulk queue, whose polls tell
#: as much); while something is owed the counts change fast.
_REST_SECONDS: Mapping[Lane, float] = {"interactive": 30.0, "bulk": 60.0}
_BUSY_SECONDS = 5.0
#: Where others may have opened so many seconds of work meanwhile, a sample is too old; it was not
#: in its first second.
_DOUBT_SECONDS, _FRESH_SECONDS = 2, 1.0


class DepthSampler:
    """Knows about how much is owed in a lane, and estimates from it.

    ``max_pending`` is how much may be owed before no more is taken on for who asks; None: anything.
    ``ahead`` tells how many runs of other lanes go before.
    """

    def __init__(
        self,
        *,
        lane: Lane,
        queue: Queue,
        permits: Permits,
        run_times: RunTimes,
        clock: Clock,
        metrics: Metrics,
        fleet_size: int,
        max_pending: int | None,
        ahead: Callable[[], int] = lambda: 0,
    ) -> None:
        self._lane = lane
        self._ahead = ahead
        self._queue = queue
        self._permits = permits
        self._run_times = run_times
        self._clock = clock
        self._metrics = metrics
        self._fleet_size = fleet_size
        self._max_pending = max_pending
        self.backlog = Backlog(fleet_size=fleet_size)
        self._being_opened = 0
        #: How many runs had been opened, and were owed, by the last sample.
        self._opened_before = self._owed_before = 0
        self._outdated = asyncio.Event()
        #: None before the first sample, and while the queue is out of reach.
        self.depth: Depth | None = None

    async def run(self) -> None:
        """Sample for ever."""
        while True:
            await self.run_once()
            await asyncio.sleep(_FRESH_SECONDS)
            pause = _BUSY_SECONDS if self.backlog.owed else _REST_SECONDS[self._lane]
            left = pause - _FRESH_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._outdated.wait()

    async def run_once(self) -> None:
        """Take one sample."""
        before = self.backlog.opened_so_far
        try:
            self.depth = depth = await self._queue.depth()
        except Unavailable as error:
            self.depth = None
            log.warning("queue.not_sampled", lane=self._lane, error=str(error))
        else:
            # Of what was opened meanwhile nobody knows whether it was counted.
            meanwhile = self.backlog.opened_so_far - before
            owed = depth.visible + depth.in_flight + depth.delayed + meanwhile
            self.backlog.sampled(owed, self._clock.now())
            self._opened_before, self._owed_before = self.backlog.opened_so_far, owed
            self._outdated.clear()
            self._metrics.queue_depth(self._lane, asdict(depth))

    def note_opened(self, record: Record) -> None:
        """Count a run opened here; where as many were opened elsewhere the sample is outdated."""
        self.backlog.opened(record.requested_at)
        elsewhere = (self.backlog.opened_so_far - self._opened_before) * (self._fleet_size - 1)
        doubt = self._seconds(elsewhere)
        if elsewhere > self._owed_before and doubt > _DOUBT_SECONDS:
            self._outdated.set()

    def note_ended(self, record: Record) -> None:
        """Count a run that ended here; the next may have opened in the same write."""
        self.backlog.ended()
        if record.pending:
            self.note_opened(record)

    @contextmanager
    def room(self) -> Iterator[None]:
        """Have room for a run while it is being opened. Raises ``Full`` where too many are owed."""
        owed = self.backlog.owed + self._being_opened
        if self._max_pending is not None and owed >= self._max_pending:
            raise Full(
                f"about {owed} runs are pending in the {self._lane} lane, and [http] max_pending is"
                f" {self._max_pending}",
                retry_after_seconds=self.estimate(),
            )
        self._being_opened += 1
        try:
            yield
        finally:
            self._being_opened -= 1

    def estimate(self, record: Record | None = None) -> int:
        """Estimate in how many seconds a pending run will have ended; None: the last of all."""
        if record is None:
            return self._seconds(self.backlog.owed)
        if record.state == "running" and record.started_at is not None:
            so_far = (self._clock.now() - record.started_at) / 1000
            return bounded(self._run_times.mean_seconds - so_far)
        return self._seconds(self.backlog.until(record.requested_at))

    def _seconds(self, waiting: int) -> int:
        # Of two permits or more the bulk lane leaves one.
        spared = self._lane == "bulk" and self._permits.limit > 1
        return estimated_seconds(
            waiting=waiting + self._ahead(),
            mean_run_seconds=self._run_times.mean_seconds,
            permits=self._permits.limit - spared,
            fleet_size=self._fleet_size,
        )
