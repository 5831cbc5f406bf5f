"""The ports, with every call through a guard: ``guard.once`` or ``guard.patiently``."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from fraudd.ports import (
    PARTS,
    Applied,
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

T = TypeVar("T")


class Through(Protocol):
    """A way through a guard: which part is called, and the call."""

    async def __call__(self, part: str, call: Callable[[], Awaitable[T]]) -> T:
        """Call the part."""


class GuardedStore:
    """The store behind a guard."""

    def __init__(self, store: Store, through: Through) -> None:
        self._store = store
        self._through = through

    async def get(self, entity_id: str) -> Record | None:
        """Read a record, strongly consistent."""
        return await self._through("store", lambda: self._store.get(entity_id))

    async def apply(self, transition: Transition) -> Applied:
        """Carry out one conditional write."""
        return await self._through("store", lambda: self._store.apply(transition))

    async def listed(self, listed: str, *, until: int, after: Entry | None) -> Page:
        """List a partition of the sparse index."""
        return await self._through(
            "store", lambda: self._store.listed(listed, until=until, after=after)
        )


class GuardedQueue:
    """A lane's queue behind a guard, which calls it ``part``."""

    def __init__(self, queue: Queue, part: str, through: Through) -> None:
        self._queue = queue
        self._part = part
        self._through = through

    async def receive(
        self, max_messages: int, *, wait_seconds: int | None = None
    ) -> Sequence[Message]:
        """Poll for messages."""
        return await self._through(
            self._part, lambda: self._queue.receive(max_messages, wait_seconds=wait_seconds)
        )

    async def send(self, event: RequestEvent) -> None:
        """Send the wake-up of a run."""
        await self._through(self._part, lambda: self._queue.send(event))

    async def delete(self, message: Message) -> None:
        """Be done with a message."""
        await self._through(self._part, lambda: self._queue.delete(message))

    async def hide(self, message: Message, seconds: float) -> None:
        """Let a message be seen again in ``seconds``."""
        await self._through(self._part, lambda: self._queue.hide(message, seconds))

    async def send_again(self, message: Message, seconds: float) -> None:
        """Send a delayed copy, then delete the message."""
        await self._through(self._part, lambda: self._queue.send_again(message, seconds))

    async def dead_letter(self, message: Message, *, reason: str, detail: str) -> None:
        """Move a message to the dead-letter queue."""
        await self._through(
            self._part, lambda: self._queue.dead_letter(message, reason=reason, detail=detail)
        )

    async def depth(self) -> Depth:
        """Sample the queue's counts."""
        return await self._through(self._part, self._queue.depth)

    @property
    def max_receive_count(self) -> int | None:
        """After so many receives SQS takes a message away; None: never."""
        return self._queue.max_receive_count


class GuardedTopics:
    """The topics behind a guard."""

    def __init__(self, topics: Topics, through: Through) -> None:
        self._topics = topics
        self._through = through

    async def request(self, event: RequestEvent) -> None:
        """Publish the wake-up of a run."""
        await self._through("topics", lambda: self._topics.request(event))

    async def announce(self, completion: Completion) -> None:
        """Publish the end of a run."""
        await self._through("topics", lambda: self._topics.announce(completion))


def guarded(ports: Ports, through: Through) -> Ports:
    """Put store, queues and topics behind a guard."""
    return Ports(
        store=GuardedStore(ports.store, through),
        queues={
            lane: GuardedQueue(queue, PARTS[lane], through) for lane, queue in ports.queues.items()
        },
        topics=GuardedTopics(ports.topics, through),
    )
