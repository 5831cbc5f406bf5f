"""Samples the queue's depth, for metrics, status and the estimate of how long a run will take."""

import asyncio

from fraudd import log
from fraudd.limiter import RunTimes, estimated_seconds
from fraudd.metrics import Metrics
from fraudd.ports import Depth, Permits, Queue, Unavailable

#: Two calls every half a minute; the counts are approximate and lag by as much anyway.
INTERVAL_SECONDS = 30.0


class DepthSampler:
    """Knows about how much is owed, and estimates from it."""

    def __init__(
        self, *, queue: Queue, permits: Permits, run_times: RunTimes, metrics: Metrics, fleet: int
    ) -> None:
        self._queue = queue
        self._permits = permits
        self._run_times = run_times
        self._metrics = metrics
        self._fleet = fleet
        #: None before the first sample, and while the queue is out of reach.
        self.depth: Depth | None = None

    async def run(self) -> None:
        """Sample for ever."""
        while True:
            await self.run_once()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def run_once(self) -> None:
        """Take one sample."""
        try:
            self.depth = await self._queue.depth()
        except Unavailable as error:
            self.depth = None
            log.warning("queue.not_sampled", reason=str(error))
        else:
            self._metrics.queue_depth(self.depth)

    def estimate(self) -> int:
        """Estimate in how many seconds a run that is pending now will have ended."""
        owed = self.depth.visible + self.depth.in_flight if self.depth else 0
        return estimated_seconds(
            waiting=owed + 1,
            mean_run_seconds=self._run_times.mean_seconds,
            permits=self._permits.limit,
            fleet=self._fleet,
        )
