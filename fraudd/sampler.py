"""Samples the queue's depth, for metrics, status and the estimate of how long a run will take."""

import asyncio

from fraudd import log
from fraudd.limiter import RunTimes, estimated_seconds
from fraudd.metrics import Metrics
from fraudd.ports import Depth, Full, Permits, Queue, Unavailable

#: At rest two calls every half a minute will do; while something is owed the counts change fast.
_REST_SECONDS, _BUSY_SECONDS = 30.0, 5.0


class DepthSampler:
    """Knows about how much is owed, and estimates from it.

    ``max_pending`` is how much may be owed before no more is taken on for who asks; None: anything.
    """

    def __init__(
        self,
        *,
        queue: Queue,
        permits: Permits,
        run_times: RunTimes,
        metrics: Metrics,
        fleet: int,
        max_pending: int | None,
    ) -> None:
        self._queue = queue
        self._permits = permits
        self._run_times = run_times
        self._metrics = metrics
        self._fleet = fleet
        self._max_pending = max_pending
        #: Runs opened since the sample was asked for.
        self._opened = 0
        #: None before the first sample, and while the queue is out of reach.
        self.depth: Depth | None = None

    async def run(self) -> None:
        """Sample for ever."""
        while True:
            await self.run_once()
            await asyncio.sleep(_BUSY_SECONDS if self._owed() else _REST_SECONDS)

    async def run_once(self) -> None:
        """Take one sample."""
        before = self._opened
        try:
            self.depth = await self._queue.depth()
        except Unavailable as error:
            self.depth = None
            log.warning("queue.not_sampled", reason=str(error))
        else:
            self._opened -= before
            self._metrics.queue_depth(self.depth)

    def make_room(self) -> None:
        """Note that a run is to be opened. Raises ``Full`` where too many are owed already."""
        owed = self._owed() + self._opened
        if self._max_pending is not None and owed >= self._max_pending:
            raise Full(
                f"about {owed} runs are pending, and [http] max_pending is {self._max_pending}",
                retry_after_seconds=self.estimate(),
            )
        self._opened += 1

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
