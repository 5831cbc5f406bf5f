"""The pool of consumers: one long poll, which asks for no more than can be worked on at once.

A permit comes before a message: the poller takes an idle consumer and a permit for each message
it asks for, so that no message is in hand that the database could not serve now.
"""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager

from fraudd import log
from fraudd.job import Job, Worker
from fraudd.metrics import Metrics
from fraudd.ports import Message, Permit, Permits, Queue, Unavailable
from fraudd.retry import back_off

#: ``ReceiveMessage`` gives ten at most.
_MOST_A_POLL = 10


class Consumers:
    """Receives messages and works on them, ``count`` at most at a time."""

    def __init__(
        self,
        *,
        queue: Queue,
        permits: Permits,
        worker: Worker,
        rng: random.Random,
        metrics: Metrics,
        count: int,
        drain_seconds: float,
        backoff_base_seconds: float,
        backoff_max_seconds: float,
    ) -> None:
        self._queue = queue
        self._permits = permits
        self._worker = worker
        self._rng = rng
        self._metrics = metrics
        self.count = count
        self._drain_seconds = drain_seconds
        self._backoff_base_seconds = backoff_base_seconds
        self._backoff_max_seconds = backoff_max_seconds
        self._idle = asyncio.Semaphore(count)
        self._jobs: dict[asyncio.Task[None], Job] = {}
        self._stopping = asyncio.Event()
        self._receiving = False
        self._poller: asyncio.Task[None] | None = None
        #: Outages met in a row: failed receives, and jobs that found something out of reach.
        self._outages = 0
        #: Why the last receive failed; None where it succeeded.
        self.trouble: str | None = None

    @property
    def jobs(self) -> list[Job]:
        """The jobs in hand."""
        return list(self._jobs.values())

    async def run(self) -> None:
        """Poll and work until told to stop, then drain."""
        async with asyncio.TaskGroup() as group:
            self._poller = group.create_task(self._poll(group))
            await self._stopping.wait()
            # A cancelled long poll may take a message that nobody holds: it is waited for.
            if not self._receiving:
                self._poller.cancel()
            await asyncio.wait([self._poller])
            await self._drain()

    def stop(self) -> None:
        """Begin to drain: no new poll, what is in hand is finished within ``drain_seconds``."""
        self._stopping.set()

    def release(self) -> None:
        """Release at once: the poll is cut off, running jobs are queued again."""
        self._stopping.set()
        if self._poller is not None:
            self._poller.cancel()
        for task in self._jobs:
            task.cancel()

    async def _drain(self) -> None:
        if not self._jobs:
            return
        log.info("consumers.draining", jobs=len(self._jobs), seconds=self._drain_seconds)
        _, unfinished = await asyncio.wait(self._jobs, timeout=self._drain_seconds)
        for task in unfinished:
            task.cancel()

    async def _poll(self, group: asyncio.TaskGroup) -> None:
        while not self._stopping.is_set():
            if self._outages:
                await self._pause()
            with self._reserved() as permits:
                await self._reserve(permits)
                for message in await self._receive(len(permits)):
                    self._start(group, message, permits.pop(0))

    @contextmanager
    def _reserved(self) -> Iterator[list[Permit]]:
        """Pairs of an idle consumer and a permit; those that get no message go back."""
        permits: list[Permit] = []
        try:
            yield permits
        finally:
            for permit in permits:
                self._give_back(permit)

    async def _reserve(self, permits: list[Permit]) -> None:
        """Wait for one pair, then take as many more as there are now."""
        await self._idle.acquire()
        try:
            permits.append(await self._permits.acquire())
        except asyncio.CancelledError:
            self._idle.release()
            raise
        while len(permits) < _MOST_A_POLL and not self._idle.locked():
            if (permit := self._permits.try_acquire()) is None:
                return
            await self._idle.acquire()  # never waits: nobody else takes
            permits.append(permit)

    async def _receive(self, most: int) -> list[Message]:
        self._receiving = True
        try:
            messages = await self._queue.receive(most)
        except Unavailable as error:
            self._metrics.poll_errors.inc()
            self._outages += 1
            self.trouble = str(error)
            log.warning("poll.failed", reason=str(error), in_a_row=self._outages)
            return []
        finally:
            self._receiving = False
        self.trouble = None
        self._metrics.received.inc(len(messages))
        # Standard queues deliver at least once, now and then twice in one response.
        return list({message.message_id: message for message in messages}.values())

    def _start(self, group: asyncio.TaskGroup, message: Message, permit: Permit) -> None:
        job = Job(message=message, permit=permit)
        task = group.create_task(self._work(job), name=f"job {message.message_id}")
        self._jobs[task] = job
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        """Give consumer and permit back, even of a job cancelled before its first step."""
        self._give_back(self._jobs.pop(task).permit)

    def _give_back(self, permit: Permit) -> None:
        permit.release()
        self._idle.release()

    async def _work(self, job: Job) -> None:
        outcome = await self._worker.work(job)
        self._metrics.jobs.labels(outcome).inc()
        self._outages = self._outages + 1 if outcome == "unavailable" else 0

    async def _pause(self) -> None:
        """Receive more slowly while something is out of reach, so that receives are not wasted."""
        await asyncio.sleep(
            back_off(
                self._outages,
                base_seconds=self._backoff_base_seconds,
                max_seconds=self._backoff_max_seconds,
                rng=self._rng,
            )
        )
