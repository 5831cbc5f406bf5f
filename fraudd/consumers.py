"""The pool of consumers: one long poll, which asks for no more than can be worked on at once.

A permit comes before a message: the poller takes an idle consumer and a permit for each message
it asks for, so that no message is in hand that the database could not serve now.
"""

import asyncio
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from fraudd import log
from fraudd.gate import Gate
from fraudd.job import Job, Worker
from fraudd.lease import Lease
from fraudd.metrics import Metrics
from fraudd.ports import Clock, Message, Permit, Permits, Queue, Store, Unavailable
from fraudd.record import new_run_id
from fraudd.skew import Skew

#: ``ReceiveMessage`` gives ten at most.
_MOST_A_POLL = 10
#: A long poll may be answered this much later than its wait.
POLL_MARGIN_SECONDS = 10.0
#: How often a clock that is off is looked at again; answers of AWS tell of it meanwhile.
_SKEW_SECONDS = 5.0


class Consumers:
    """Receives messages and works on them, ``count`` at most at a time."""

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue,
        permits: Permits,
        worker: Worker,
        gate: Gate,
        skew: Skew,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        count: int,
        wait_seconds: float,
        drain_seconds: float,
        visibility_timeout_seconds: float,
    ) -> None:
        self._store = store
        self._queue = queue
        self._permits = permits
        self._worker = worker
        self._gate = gate
        self._skew = skew
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self.count = count
        self._deaf_seconds = 3 * (wait_seconds + POLL_MARGIN_SECONDS)
        self._drain_seconds = drain_seconds
        self._visibility_timeout_seconds = visibility_timeout_seconds
        self._idle = asyncio.Semaphore(count)
        self._jobs: dict[asyncio.Task[None], Job] = {}
        self._stopping = asyncio.Event()
        self._receiving = False
        self._poller: asyncio.Task[None] | None = None
        #: When the poll loop last came round, or a job ended; monotonic seconds.
        self._round_at = clock.monotonic()

    @property
    def trouble(self) -> str | None:
        """Why no messages are taken; None where they are."""
        return self._skew.trouble or self._gate.breaker.trouble

    @property
    def deaf(self) -> bool:
        """Whether the poll loop has not come round for long although it should poll."""
        room = len(self._jobs) < min(self.count, self._permits.limit)
        should = room and not self._stopping.is_set() and not any(job.alone for job in self.jobs)
        if not should or self._poll_in():
            return False
        return self._clock.monotonic() - self._round_at > self._deaf_seconds

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
        _cut_off(self._jobs)

    async def _drain(self) -> None:
        if not self._jobs:
            return
        log.info("consumers.draining", jobs=len(self._jobs), seconds=self._drain_seconds)
        _, unfinished = await asyncio.wait(self._jobs, timeout=self._drain_seconds)
        _cut_off(unfinished)

    async def _poll(self, group: asyncio.TaskGroup) -> None:
        while not self._stopping.is_set():
            self._round_at = self._clock.monotonic()
            if wait := self._poll_in():
                await self._gate.wait(wait)
                continue
            with self._reserved() as permits:
                await self._reserve(permits)
                if self._poll_in():
                    continue
                for message in await self._receive(len(permits)):
                    self._start(group, message, permits.pop(0))

    def _poll_in(self) -> float:
        if self._skew.trouble is not None:
            return _SKEW_SECONDS
        now = self._clock.monotonic()
        return self._gate.breaker.poll_in(now, in_hand=len(self._jobs))

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
        most = _MOST_A_POLL if self._gate.breaker.state == "closed" else 1
        while len(permits) < most and not self._idle.locked():
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
            log.warning("poll.failed", reason=str(error))
            return []
        finally:
            self._receiving = False
        self._metrics.received.inc(len(messages))
        # Standard queues deliver at least once, now and then twice in one response.
        return list({message.message_id: message for message in messages}.values())

    def _start(self, group: asyncio.TaskGroup, message: Message, permit: Permit) -> None:
        lease = Lease(
            message,
            store=self._store,
            queue=self._queue,
            clock=self._clock,
            token=new_run_id(self._clock.now(), self._rng.getrandbits(80)),
            visibility_timeout_seconds=self._visibility_timeout_seconds,
        )
        job = Job(lease=lease, permit=permit)
        task = group.create_task(self._work(job), name=f"job {message.message_id}")
        self._jobs[task] = job
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        """Give consumer and permit back, even of a job cancelled before its first step."""
        self._give_back(self._jobs.pop(task).permit)
        self._round_at = self._clock.monotonic()
        self._gate.changed()

    def _give_back(self, permit: Permit) -> None:
        permit.release()
        self._idle.release()

    async def _work(self, job: Job) -> None:
        outcome = await self._worker.work(job)
        self._metrics.jobs.labels(outcome).inc()


def _cut_off(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel jobs, each once: a second time would cut off the giving back."""
    for task in tasks:
        if not task.cancelling():
            task.cancel()
