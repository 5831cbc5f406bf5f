"""Samples the queue's depth, for metrics, status and the estimate of how long a run will take."""

import asyncio

from fraudd import log
from fraudd.limiter import RunTimes, estimated_seconds
from fraudd.metrics import Metrics
from fraudd.ports import Depth, Permits, Queue, Unavailable

#: At rest two calls every half a minute will do; while something is owed the counts change fast.
_REST_SECONDS, _BUSY_SECONDS = 30.0, 5.0


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
            await asyncio.sleep(_BUSY_SECONDS if self._owed() else _REST_SECONDS)

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
        return estimated_seconds(
            waiting=self._owed() + 1,
            mean_run_seconds=self._run_times.mean_seconds,
            permits=self._permits.limit,
            fleet=self._fleet,
        )

    def _owed(self) -> int:
        return self.depth.visible + self.depth.in_flight + self.depth.delayed if self.depth else 0
