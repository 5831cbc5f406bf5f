"""The pool of consumers: one long poll, which asks for no more than can be worked on at once.

A permit comes before a message: the poller takes an idle consumer and a permit for each message
it asks for, so that no message is in hand that the database could not serve now. Where there is a
bulk lane, it is polled with what the interactive lane leaves: ``fraudd/engine/polling.py`` decides.
"""

import asyncio
import math
import random
from collections.abc import Iterable

from fraudd.engine.guard import Guard
from fraudd.engine.job import Job
from fraudd.engine.lease import Lease
from fraudd.engine.polling import (
    EMPTY_SECONDS,
    MAX_MESSAGES_PER_POLL,
    SHORT_WAIT_SECONDS,
    FirstPoll,
    first_poll,
)
from fraudd.engine.slots import Slots
from fraudd.engine.worker import Worker
from fraudd.errors import Unavailable
from fraudd.ports import Clock, Message, Permit, Permits, Queues, Store
from fraudd.prediction.formats import new_ulid
from fraudd.prediction.record import Lane
from fraudd.telemetry import log
from fraudd.telemetry.clock_skew import ClockSkew
from fraudd.telemetry.metrics import Metrics

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
        queues: Queues,
        permits: Permits,
        worker: Worker,
        guard: Guard,
        skew: ClockSkew,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        count: int,
        wait_seconds: float,
        drain_seconds: float,
        visibility_timeout_seconds: float,
    ) -> None:
        self._store = store
        self._queues = queues
        self._permits = permits
        self._worker = worker
        self._guard = guard
        self._skew = skew
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self.count = count
        self._stalled_seconds = 3 * (wait_seconds + POLL_MARGIN_SECONDS)
        self._drain_seconds = drain_seconds
        self._visibility_timeout_seconds = visibility_timeout_seconds
        self._slots = Slots(permits, count)
        self._jobs: dict[asyncio.Task[None], Job] = {}
        self._stopping = asyncio.Event()
        self._pollers: list[asyncio.Task[None]] = []
        #: Since when the pollers wait for a queue's answer; monotonic seconds.
        self._receiving: dict[asyncio.Task[None], float] = {}
        #: When the poll loop last came round, or a job ended; monotonic seconds.
        self._round_at = clock.monotonic()
        #: When a poll of the interactive lane last asked all servers, and brought nothing.
        self._full_look_at = -math.inf
        #: Whether the bulk lane may be polled beside the outstanding poll, and from when on.
        self._beside = False
        self._bulk_due_at = -math.inf

    @property
    def blocked_by(self) -> str | None:
        """Why no messages are taken; None where they are."""
        return self._skew.blocked_by or self._guard.breaker.blocked_by

    @property
    def stalled(self) -> bool:
        """Whether a poll loop has not come round for long although it should poll."""
        room = len(self._jobs) < min(self.count, self._permits.limit)
        should = room and not self._stopping.is_set() and not any(job.alone for job in self.jobs)
        if not should or self._poll_in():
            return False
        since = min([self._round_at, *self._receiving.values()])
        return self._clock.monotonic() - since > self._stalled_seconds

    @property
    def jobs(self) -> list[Job]:
        """The jobs in hand."""
        return list(self._jobs.values())

    async def run(self) -> None:
        """Poll and work until told to stop, then drain."""
        async with asyncio.TaskGroup() as group:
            self._pollers = [group.create_task(self._poll(group))]
            if "bulk" in self._queues:
                self._pollers.append(group.create_task(self._poll_bulk(group)))
            await self._stopping.wait()
            for poller in self._pollers:
                # A cancelled long poll may take a message that nobody holds: it is waited for.
                if poller not in self._receiving:
                    poller.cancel()
            await asyncio.wait(self._pollers)
            await self._drain()

    def stop(self) -> None:
        """Begin to drain: no new poll, what is in hand is finished within ``drain_seconds``."""
        self._stopping.set()

    def release(self) -> None:
        """Release at once: the poll is cut off, running jobs are queued again."""
        self._stopping.set()
        _cut_off(self._pollers)
        _cut_off(self._jobs)

    def bulk_opened(self) -> None:
        """Look at the bulk queue, though it was found empty: a run was opened for it."""
        self._bulk_due_at = -math.inf
        self._guard.changed()

    async def _drain(self) -> None:
        if not self._jobs:
            return
        log.info("consumers.draining", runs=len(self._jobs), seconds=self._drain_seconds)
        _, unfinished = await asyncio.wait(self._jobs, timeout=self._drain_seconds)
        _cut_off(unfinished)

    async def _poll(self, group: asyncio.TaskGroup) -> None:
        """Poll the interactive lane, and where there is but one pair the bulk lane after it."""
        brought = False
        while not self._stopping.is_set():
            self._round_at = self._clock.monotonic()
            if wait := self._poll_in(outstanding=len(self._receiving)):
                await self._guard.wait(wait)
                continue
            with self._slots.reserved() as permits:
                await self._slots.wait_for_one(permits)
                if self._poll_in(outstanding=len(self._receiving)):
                    continue
                poll = self._first_poll(brought=brought)
                await self._slots.take_more(permits, poll.most)
                messages = await self._receive_first(poll, len(permits))
                brought = bool(messages)
                if poll.bulk == "after" and not brought and self._is_bulks_turn():
                    messages = await self._receive_bulk(1)
                for message in messages:
                    self._start(group, message, permits.pop(0))

    async def _poll_bulk(self, group: asyncio.TaskGroup) -> None:
        """Poll the bulk lane with what is left, while the interactive lane has nothing."""
        while not self._stopping.is_set():
            if wait := self._bulk_in():
                await self._guard.wait(wait)
                continue
            with self._slots.reserved() as permits:
                await self._slots.take_more(permits, MAX_MESSAGES_PER_POLL)
                if some := len(permits):
                    for message in await self._receive_bulk(some):
                        self._start(group, message, permits.pop(0))
            if not some:
                await self._guard.wait(math.inf)

    def _poll_in(self, *, outstanding: int = 0) -> float:
        """Seconds until a poll may go out beside those outstanding; infinity: not as it is."""
        if self._skew.blocked_by is not None:
            return _SKEW_SECONDS
        now = self._clock.monotonic()
        return self._guard.breaker.poll_in(now, in_hand=len(self._jobs) + outstanding)

    def _is_bulks_turn(self) -> bool:
        """Whether the bulk lane may have the pair that the interactive lane has no use for."""
        in_turn = self._first_poll(brought=False).bulk == "after"
        return in_turn and self._may_poll() and not self._bulk_due_in()

    def _may_poll(self) -> bool:
        return not self._stopping.is_set() and not self._poll_in()

    def _bulk_in(self) -> float:
        """Seconds until the bulk lane may be polled beside the other; infinity: not as it is."""
        if not (self._beside and self._may_poll() and self._guard.breaker.state == "closed"):
            return math.inf
        return self._bulk_due_in()

    def _bulk_due_in(self) -> float:
        """Seconds until the bulk queue is worth a poll."""
        now = self._clock.monotonic()
        return max(self._guard.breaker.poll_bulk_in(now), self._bulk_due_at - now, 0.0)

    def _first_poll(self, *, brought: bool) -> FirstPoll:
        now = self._clock.monotonic()
        return first_poll(
            lanes=len(self._queues),
            pairs=min(self.count, self._permits.limit),
            closed=self._guard.breaker.state == "closed",
            brought=brought,
            bulk_due=not self._bulk_due_in(),
            full_look_seconds=now - self._full_look_at,
        )

    async def _receive_first(self, poll: FirstPoll, most: int) -> list[Message]:
        """Poll the interactive lane; meanwhile the bulk lane may be, where it was so decided."""
        if poll.bulk == "beside":
            self._beside = True
            self._guard.changed()
        try:
            messages = await self._receive("interactive", most, poll.wait_seconds)
        finally:
            self._beside = False
        if not messages and poll.wait_seconds != 0:
            self._full_look_at = self._clock.monotonic()
        return messages

    async def _receive_bulk(self, most: int) -> list[Message]:
        # A run that is opened meanwhile makes it due again.
        self._bulk_due_at = self._clock.monotonic() + EMPTY_SECONDS
        messages = await self._receive("bulk", most, SHORT_WAIT_SECONDS)
        if messages:
            self._bulk_due_at = -math.inf
        self._guard.changed()
        return messages

    async def _receive(self, lane: Lane, most: int, wait_seconds: int | None) -> list[Message]:
        poller = asyncio.current_task()
        assert poller is not None, "a poller polls"
        self._receiving[poller] = self._clock.monotonic()
        try:
            messages = await self._queues[lane].receive(most, wait_seconds=wait_seconds)
        except Unavailable as error:
            self._metrics.poll_errors.inc()
            log.warning("poll.failed", lane=lane, error=str(error))
            return []
        finally:
            del self._receiving[poller]
        self._metrics.received.inc(len(messages))
        # Standard queues deliver at least once, now and then twice in one response.
        return list({message.message_id: message for message in messages}.values())

    def _start(self, group: asyncio.TaskGroup, message: Message, permit: Permit) -> None:
        lease = Lease(
            message,
            store=self._store,
            queue=self._queues[message.lane],
            clock=self._clock,
            token=new_ulid(self._clock.now(), self._rng.getrandbits(80)),
            visibility_timeout_seconds=self._visibility_timeout_seconds,
        )
        job = Job(lease=lease, permit=permit)
        task = group.create_task(self._work(job), name=f"job {message.message_id}")
        self._jobs[task] = job
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        """Give consumer and permit back, even of a job cancelled before its first step."""
        self._slots.give_back(self._jobs.pop(task).permit)
        self._round_at = self._clock.monotonic()
        self._guard.changed()

    async def _work(self, job: Job) -> None:
        outcome = await self._worker.work(job)
        self._metrics.messages.labels(outcome).inc()


def _cut_off(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel jobs, each once: a second time would cut off the giving back."""
    for task in tasks:
        if not task.cancelling():
            task.cancel()
