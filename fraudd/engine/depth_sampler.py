"""Samples a lane's queue: for metrics, for the status, and to estimate how long a run will take."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict

from fraudd.engine.backlog import Backlog, RunTimes, bounded, estimated_seconds
from fraudd.errors import Unavailable
from fraudd.ports import Clock, Depth, Permits, Queue
from fraudd.prediction.record import Lane, Record
from fraudd.telemetry import log
from fraudd.telemetry.metrics import Metrics

#: The time between two samples of an empty lane, at two calls each. The polls of the bulk queue
#: show as much as its samples, so it is sampled less often.
_IDLE_SECONDS: Mapping[Lane, float] = {"interactive": 30.0, "bulk": 60.0}
#: The time between two samples while runs are pending: the depth changes fast.
_BUSY_SECONDS = 5.0
#: A sample is outdated if other daemons may have opened this much work since. It is never outdated
#: in its first second.
_DOUBT_SECONDS, _FRESH_SECONDS = 2, 1.0


class Throughput:
    """How fast the fleet works: for every lane's estimate."""

    def __init__(self, *, permits: Permits, run_times: RunTimes, fleet_size: int) -> None:
        self._permits = permits
        self._run_times = run_times
        self.fleet_size = fleet_size

    def seconds(self, waiting: int, lane: Lane) -> int:
        """Estimate when the last of ``waiting`` runs ends, if a lane works on them."""
        # With two permits or more, the bulk lane leaves one free.
        reserved = lane == "bulk" and self._permits.limit > 1
        return estimated_seconds(
            waiting=waiting,
            mean_run_seconds=self._run_times.mean_seconds,
            permits=self._permits.limit - reserved,
            fleet_size=self.fleet_size,
        )

    def seconds_left(self, running_seconds: float) -> int:
        """Estimate when a run ends that has been running for some seconds."""
        return bounded(self._run_times.mean_seconds - running_seconds)


class DepthSampler:
    """Estimates how many runs are pending in a lane, and when one of them ends.

    ``ahead`` gives the number of runs in other lanes that go first.
    """

    def __init__(
        self,
        *,
        lane: Lane,
        queue: Queue,
        throughput: Throughput,
        clock: Clock,
        metrics: Metrics,
        ahead: Callable[[], int] = lambda: 0,
    ) -> None:
        self._lane = lane
        self._queue = queue
        self._throughput = throughput
        self._clock = clock
        self._metrics = metrics
        self._ahead = ahead
        self.backlog = Backlog(fleet_size=throughput.fleet_size)
        #: The numbers of opened and of pending runs at the last sample.
        self._opened_at_sample = self._pending_at_sample = 0
        self._outdated = asyncio.Event()
        #: None: no sample yet, or the queue is unreachable.
        self.depth: Depth | None = None

    async def run(self) -> None:
        """Sample forever."""
        while True:
            await self.run_once()
            await asyncio.sleep(_FRESH_SECONDS)
            pause = _BUSY_SECONDS if self.backlog.pending else _IDLE_SECONDS[self._lane]
            with suppress(TimeoutError):
                async with asyncio.timeout(pause - _FRESH_SECONDS):
                    await self._outdated.wait()

    async def run_once(self) -> None:
        """Take one sample."""
        opened_before = self.backlog.opened
        try:
            self.depth = depth = await self._queue.depth()
        except Unavailable as error:
            self.depth = None
            log.warning("queue.sample_failed", lane=self._lane, error=str(error))
        else:
            # The sample may or may not include the runs that were opened during the call.
            opened_meanwhile = self.backlog.opened - opened_before
            pending = depth.visible + depth.in_flight + depth.delayed + opened_meanwhile
            self.backlog.sampled(pending, self._clock.now())
            self._opened_at_sample, self._pending_at_sample = self.backlog.opened, pending
            self._outdated.clear()
            self._metrics.queue_depth(self._lane, asdict(depth))

    def note_opened(self, record: Record) -> None:
        """Count a run opened here.

        If other daemons have opened as many since the sample, the sample is outdated.
        """
        self.backlog.run_opened(record.requested_at)
        opened_here = self.backlog.opened - self._opened_at_sample
        opened_elsewhere = opened_here * (self._throughput.fleet_size - 1)
        doubt_seconds = self._seconds(opened_elsewhere)
        if opened_elsewhere > self._pending_at_sample and doubt_seconds > _DOUBT_SECONDS:
            self._outdated.set()

    def note_ended(self, record: Record) -> None:
        """Count a run that ended here. The same write may have opened the next run."""
        self.backlog.run_ended()
        if record.pending:
            self.note_opened(record)

    def estimate(self, record: Record | None = None) -> int:
        """Estimate the seconds until a pending run ends. None: until all runs end."""
        if record is None:
            return self._seconds(self.backlog.pending)
        if record.state == "running" and record.started_at is not None:
            return self._throughput.seconds_left((self._clock.now() - record.started_at) / 1000)
        return self._seconds(self.backlog.pending_until(record.requested_at))

    def _seconds(self, waiting: int) -> int:
        return self._throughput.seconds(waiting + self._ahead(), self._lane)
