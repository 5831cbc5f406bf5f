"""Calls of the store, the queues and the topics through the breaker."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from fraudd.engine.breaker import Breaker, Go, Wait, WaitForChange
from fraudd.errors import BackPressure, RunError, Unavailable
from fraudd.ports import (
    PARTS,
    Applied,
    Clock,
    Depth,
    Entry,
    Message,
    Page,
    Ports,
    Queue,
    Store,
    Topics,
)
from fraudd.prediction.events import Completion, RequestEvent
from fraudd.prediction.record import Record, Transition
from fraudd.prediction.retry import back_off
from fraudd.telemetry import log
from fraudd.telemetry.clock_skew import ClockSkew

T = TypeVar("T")

#: Back-off while a part is out of capacity. It is short: capacity returns when another call ends.
_CAPACITY_BASE_SECONDS, _MAX_CAPACITY_SECONDS = 0.2, 2.0

#: One attempt of a call. A retry makes a new attempt.
Attempt = Callable[[], Awaitable[T]]


class Call(Protocol):
    """A way to call a part: ``Guard.once`` or ``Guard.patiently``."""

    async def __call__(self, part: str, attempt: Attempt[T]) -> T:
        """Call the part."""


class Guard:
    """Reports the result of each call to the breaker, and makes patient calls wait for it."""

    def __init__(
        self,
        breaker: Breaker,
        skew: ClockSkew,
        *,
        clock: Clock,
        rng: random.Random,
        visibility_timeout_seconds: float,
    ) -> None:
        self.breaker = breaker
        self.skew = skew
        self._clock = clock
        self._rng = rng
        self._visibility_timeout_seconds = visibility_timeout_seconds
        self._change = asyncio.Event()

    async def once(self, part: str, attempt: Attempt[T]) -> T:
        """Call a part. Raises ``Unavailable`` if it is unreachable or out of capacity."""
        try:
            answer = await attempt()
        except BackPressure:
            raise
        except Unavailable as error:
            if self.breaker.failed(part, error.detail, self._clock.monotonic()):
                log.warning("breaker.opened", part=part, error=error.detail)
            self.changed()
            raise
        except RunError:
            self._answered(part)
            raise
        self._answered(part)
        return answer

    async def patiently(self, part: str, attempt: Attempt[T]) -> T:
        """Call a part until it answers.

        In an outage, only one of the waiting calls is the trial call. A part that is out of
        capacity is called again after a short back-off.
        """
        rejections = 0
        while True:
            permission = self.breaker.enter(part, self._clock.monotonic())
            if not isinstance(permission, Go):
                await self.wait(permission)
                continue
            try:
                return await self.once(part, attempt)
            except BackPressure as error:
                log.debug("breaker.too_many_connections", part=part, error=error.detail)
            except Unavailable as error:
                log.debug("breaker.trial_failed", part=part, error=error.detail)
                continue
            finally:
                self.breaker.left(part)
            rejections += 1
            await asyncio.sleep(
                back_off(
                    rejections,
                    base_seconds=_CAPACITY_BASE_SECONDS,
                    max_seconds=_MAX_CAPACITY_SECONDS,
                    rng=self._rng,
                )
            )

    def lease_grace_seconds(self) -> float:
        """Return the seconds for which an expired lease does not yet mean that its holder is gone.

        After an outage of the store, lease holders have one visibility timeout to renew.
        """
        answering = self.breaker.seconds_since_outage("store", self._clock.monotonic())
        return max(0.0, self._visibility_timeout_seconds - answering)

    def run_began(self) -> None:
        """Note that a run began."""
        self.breaker.run_began(self._clock.monotonic())

    def run_succeeded(self) -> None:
        """Note that a run has its score."""
        if self.breaker.run_succeeded():
            log.info("breaker.closed", part="runs")
            self.changed()

    def run_failed(self, entity_id: str, detail: str) -> None:
        """Note a transient failure or a bug."""
        if self.breaker.run_failed(entity_id, detail, self._clock.monotonic()):
            log.error("breaker.opened", part="runs", error=detail)
        self.changed()

    def retry(self) -> None:
        """Try all parts and runs again now."""
        self.breaker.retry(self._clock.monotonic())
        self.changed()

    def changed(self) -> None:
        """Wake every task in ``wait``, so that it checks again."""
        self._change.set()
        self._change = asyncio.Event()

    async def wait(self, permission: Wait | WaitForChange) -> None:
        """Wait for a change, or for the seconds of ``permission``."""
        seconds = permission.seconds if isinstance(permission, Wait) else None
        try:
            async with asyncio.timeout(seconds):
                await self._change.wait()
        except TimeoutError:
            return

    def _answered(self, part: str) -> None:
        if self.breaker.answered(part, self._clock.monotonic()):
            log.info("breaker.closed", part=part)
            self.changed()


def guarded(ports: Ports, call: Call) -> Ports:
    """Put a guard in front of the store, every queue and the topics."""
    return Ports(
        store=GuardedStore(ports.store, call),
        queues={
            lane: GuardedQueue(queue, PARTS[lane], call) for lane, queue in ports.queues.items()
        },
        topics=GuardedTopics(ports.topics, call),
    )


class GuardedStore:
    """The store behind a guard."""

    def __init__(self, store: Store, call: Call) -> None:
        self._store = store
        self._call = call

    async def get(self, entity_id: str) -> Record | None:
        """Read a record, strongly consistent."""
        return await self._call("store", lambda: self._store.get(entity_id))

    async def apply(self, transition: Transition) -> Applied:
        """Carry out one conditional write."""
        return await self._call("store", lambda: self._store.apply(transition))

    async def listed(self, listed: str, *, until: int, after: Entry | None) -> Page:
        """List a partition of the sparse index."""
        return await self._call(
            "store", lambda: self._store.listed(listed, until=until, after=after)
        )


class GuardedQueue:
    """The queue of a lane behind a guard. ``part`` is its name for the breaker."""

    def __init__(self, queue: Queue, part: str, call: Call) -> None:
        self._queue = queue
        self._part = part
        self._call = call

    async def receive(
        self, max_messages: int, *, wait_seconds: int | None = None
    ) -> Sequence[Message]:
        """Poll for messages."""
        return await self._call(
            self._part, lambda: self._queue.receive(max_messages, wait_seconds=wait_seconds)
        )

    async def send(self, event: RequestEvent) -> None:
        """Send the wake-up message of a run."""
        await self._call(self._part, lambda: self._queue.send(event))

    async def delete(self, message: Message) -> None:
        """Delete a message."""
        await self._call(self._part, lambda: self._queue.delete(message))

    async def hide(self, message: Message, seconds: float) -> None:
        """Make a message visible again in ``seconds``."""
        await self._call(self._part, lambda: self._queue.hide(message, seconds))

    async def send_again(self, message: Message, seconds: float) -> None:
        """Send a delayed copy, then delete the message."""
        await self._call(self._part, lambda: self._queue.send_again(message, seconds))

    async def dead_letter(self, message: Message, *, reason: str, detail: str) -> None:
        """Move a message to the dead-letter queue."""
        await self._call(
            self._part, lambda: self._queue.dead_letter(message, reason=reason, detail=detail)
        )

    async def depth(self) -> Depth:
        """Sample the queue's depth."""
        return await self._call(self._part, self._queue.depth)

    @property
    def max_receive_count(self) -> int | None:
        """The number of receives after which SQS dead-letters a message. None: no such number."""
        return self._queue.max_receive_count


class GuardedTopics:
    """The topics behind a guard."""

    def __init__(self, topics: Topics, call: Call) -> None:
        self._topics = topics
        self._call = call

    async def request(self, event: RequestEvent) -> None:
        """Publish the wake-up message of a run."""
        await self._call("topics", lambda: self._topics.request(event))

    async def announce(self, completion: Completion) -> None:
        """Publish the completion event of a run."""
        await self._call("topics", lambda: self._topics.announce(completion))
