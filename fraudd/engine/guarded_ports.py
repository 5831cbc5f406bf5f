"""The store, the queues and the topics behind a guard, which learns the result of each call."""

from collections.abc import Sequence

from fraudd.engine.guard import Call
from fraudd.ports import PARTS, Applied, Depth, Entry, Message, Page, Ports, Queue, Store, Topics
from fraudd.prediction.events import Completion, RequestEvent
from fraudd.prediction.record import Record, Transition


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
        return await self._call("store", lambda: self._store.get(entity_id), call="read")

    async def apply(self, transition: Transition) -> Applied:
        """Carry out one conditional write."""
        return await self._call("store", lambda: self._store.apply(transition), call="write")

    async def listed(self, listed: str, *, until: int, after: Entry | None) -> Page:
        """List a partition of the sparse index."""
        return await self._call(
            "store",
            lambda: self._store.listed(listed, until=until, after=after),
            call="list",
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
            self._part,
            lambda: self._queue.receive(max_messages, wait_seconds=wait_seconds),
            call="receive",
        )

    async def send(self, event: RequestEvent) -> None:
        """Send the wake-up message of a run."""
        await self._call(self._part, lambda: self._queue.send(event), call="request")

    async def delete(self, message: Message) -> None:
        """Delete a message."""
        await self._call(self._part, lambda: self._queue.delete(message), call="settle")

    async def hide(self, message: Message, seconds: float) -> None:
        """Make a message visible again in ``seconds``."""
        await self._call(self._part, lambda: self._queue.hide(message, seconds), call="settle")

    async def send_again(self, message: Message, seconds: float) -> None:
        """Send a delayed copy, then delete the message."""
        await self._call(
            self._part, lambda: self._queue.send_again(message, seconds), call="settle"
        )

    async def dead_letter(self, message: Message, *, reason: str, detail: str) -> None:
        """Move a message to the dead-letter queue."""
        await self._call(
            "dead_letter_queue",
            lambda: self._queue.dead_letter(message, reason=reason, detail=detail),
            call="settle",
        )

    async def depth(self) -> Depth:
        """Sample the queue's depth."""
        return await self._call(self._part, self._queue.depth, call="list")

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
        await self._call("topics", lambda: self._topics.request(event), call="request")

    async def announce(self, completion: Completion) -> None:
        """Publish the completion event of a run."""
        await self._call("topics", lambda: self._topics.announce(completion), call="announce")
