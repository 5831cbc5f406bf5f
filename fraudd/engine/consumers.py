"""The consumers: receive messages by long polls, and run one job for each message.

A permit comes before a message: a poll reserves a slot for each message that it asks for. A slot is
an idle consumer together with a connection permit. So no message waits in this daemon for the
database, where its visibility timeout would run out. ``poll_plan.py`` decides which lane to poll.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from fraudd.engine.breaker import Go, Wait, WaitForChange
from fraudd.engine.guard import Guard
from fraudd.engine.job import Job
from fraudd.engine.poll_plan import Lanes, Poll
from fraudd.engine.slots import Slots
from fraudd.engine.terms import ConsumerTerms
from fraudd.engine.worker import Worker
from fraudd.errors import Unavailable
from fraudd.ports import Clock, Message, Permit, Permits, Queues
from fraudd.telemetry import log
from fraudd.telemetry import loops as background_loops
from fraudd.telemetry.metrics import Metrics

#: How much later than its wait SQS may answer a long poll.
POLL_MARGIN_SECONDS = 10.0


class Consumers:
    """Receives messages and works on up to ``terms.count`` of them at a time.

    ``new_job`` makes the job of a message and its permit.
    """

    def __init__(
        self,
        *,
        queues: Queues,
        permits: Permits,
        worker: Worker,
        new_job: Callable[[Message, Permit], Job],
        guard: Guard,
        clock: Clock,
        metrics: Metrics,
        terms: ConsumerTerms,
    ) -> None:
        self._queues = queues
        self._worker = worker
        self._new_job = new_job
        self._guard = guard
        self._clock = clock
        self._metrics = metrics
        self.count = terms.count
        self._stalled_seconds = 3 * (terms.wait_seconds + POLL_MARGIN_SECONDS)
        self._drain_seconds = terms.drain_seconds
        self._slots = Slots(permits, terms.count)
        self._lanes = Lanes(guard.breaker, guard.skew, has_bulk="bulk" in queues)
        self._jobs: dict[asyncio.Task[None], Job] = {}
        self._stopping = asyncio.Event()
        self._pollers: list[asyncio.Task[None]] = []
        #: When each outstanding poll began, in monotonic seconds.
        self._receiving: dict[asyncio.Task[None], float] = {}
        #: When the poll loop last turned, or a job ended, in monotonic seconds.
        self._turned_at = clock.monotonic()

    @property
    def blocked_by(self) -> str | None:
        """Describe why no messages are taken. None: they are taken."""
        return self._lanes.blocked_by

    @property
    def stalled(self) -> bool:
        """Whether the poll loop should poll, but has not turned for a long time."""
        jobs, now = self.jobs, self._clock.monotonic()
        has_room = len(jobs) < self._slots.limit and not any(job.alone for job in jobs)
        if not has_room or self._stopping.is_set():
            return False
        if not isinstance(self._lanes.may_poll(now, in_flight=len(jobs)), Go):
            return False
        return now - min([self._turned_at, *self._receiving.values()]) > self._stalled_seconds

    @property
    def jobs(self) -> list[Job]:
        """The jobs of the messages in flight."""
        return list(self._jobs.values())

    async def run(self) -> None:
        """Poll and work until ``stop``, then drain."""
        async with asyncio.TaskGroup() as group:
            loops = {"poll": partial(self._poll, group)}
            if "bulk" in self._queues:
                loops["poll_bulk"] = partial(self._poll_bulk, group)
            self._pollers = background_loops.start(group, loops, metrics=self._metrics)
            await self._stopping.wait()
            for poller in self._pollers:
                # A cancelled long poll may still take a message, which then waits out its
                # visibility timeout. So an outstanding poll is not cancelled.
                if poller not in self._receiving:
                    poller.cancel()
            await asyncio.wait(self._pollers)
            await self._drain()

    def stop(self) -> None:
        """Begin to drain: no new poll, and ``drain_seconds`` for the running jobs."""
        self._stopping.set()

    def release(self) -> None:
        """Release all messages now: cancel the polls and the running jobs."""
        self._stopping.set()
        _cancel_once(self._pollers)
        _cancel_once(self._jobs)

    def hold(self, reason: str | None) -> None:
        """Begin no poll for ``reason``. None: poll."""
        self._lanes.held_by = reason
        self._guard.changed()

    def bulk_opened(self) -> None:
        """Poll the bulk queue soon, even if it was empty: this daemon started a bulk run."""
        self._lanes.bulk_run_opened()
        self._guard.changed()

    async def _drain(self) -> None:
        if not self._jobs:
            return
        log.info("consumers.draining", runs=len(self._jobs), seconds=self._drain_seconds)
        _, unfinished = await asyncio.wait(self._jobs, timeout=self._drain_seconds)
        _cancel_once(unfinished)

    async def _poll(self, group: asyncio.TaskGroup) -> None:
        """Poll with the first slot: the interactive lane, or the bulk lane in its turn."""
        while not self._stopping.is_set():
            self._turned_at = self._clock.monotonic()
            plan = self._next_poll()
            if not isinstance(plan, Poll):
                await self._guard.wait(plan)
                continue
            with self._slots.reserved() as permits:
                await self._slots.wait_for_first(permits)
                plan = self._next_poll()  # the plan may have changed during the wait
                if isinstance(plan, Poll):
                    await self._slots.add_free(permits, plan.max_messages)
                    await self._receive(group, plan, permits)

    async def _poll_bulk(self, group: asyncio.TaskGroup) -> None:
        """Poll the bulk lane with the other slots, during a poll of the interactive lane."""
        while not self._stopping.is_set():
            plan = self._lanes.next_shared_poll(self._clock.monotonic())
            if isinstance(plan, Poll):
                with self._slots.reserved() as permits:
                    await self._slots.add_free(permits, plan.max_messages)
                    if permits:
                        await self._receive(group, plan, permits)
                        continue
                plan = WaitForChange()  # no slot is free
            await self._guard.wait(plan)

    def _next_poll(self) -> Poll | Wait | WaitForChange:
        return self._lanes.next_poll(
            self._clock.monotonic(), slots=self._slots.limit, jobs=len(self._jobs)
        )

    async def _receive(self, group: asyncio.TaskGroup, poll: Poll, permits: list[Permit]) -> None:
        """Carry out a poll with a slot for each message, and start the jobs."""
        messages = await self._messages(poll, len(permits))
        # Standard queues deliver at least once, and sometimes twice in one response.
        for message in {message.message_id: message for message in messages}.values():
            self._start(group, message, permits.pop(0))

    async def _messages(self, poll: Poll, limit: int) -> Sequence[Message]:
        poller = asyncio.current_task()
        assert poller is not None, "a poller is a task"
        self._receiving[poller] = self._clock.monotonic()
        self._lanes.began(poll, self._clock.monotonic())
        if poll.shared:
            self._guard.changed()  # the bulk lane may be polled now
        count = None
        try:
            messages = await self._queues[poll.lane].receive(limit, wait_seconds=poll.wait_seconds)
            count = len(messages)
            self._metrics.received.inc(count)
            return messages
        except Unavailable as error:
            self._metrics.poll_errors.inc()
            log.warning("poll.failed", lane=poll.lane, error=str(error))
            return ()
        finally:
            del self._receiving[poller]
            self._lanes.ended(poll, self._clock.monotonic(), messages=count)
            if poll.lane == "bulk":
                self._guard.changed()  # after the breaker opened, the next poll waits for this one

    def _start(self, group: asyncio.TaskGroup, message: Message, permit: Permit) -> None:
        job = self._new_job(message, permit)
        task = group.create_task(self._work(job), name=f"job {message.message_id}")
        self._jobs[task] = job
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        """Give the slot back, even if the job was cancelled before its first step."""
        self._slots.give_back(self._jobs.pop(task).permit)
        self._turned_at = self._clock.monotonic()
        self._guard.changed()

    async def _work(self, job: Job) -> None:
        outcome = await self._worker.work(job)
        self._metrics.messages.labels(outcome).inc()


def _cancel_once(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks. A second cancellation would interrupt the release of a message."""
    for task in tasks:
        if not task.cancelling():
            task.cancel()
