"""The queue as SQS keeps it: at least once, in no order, with receipts that grow stale."""

import asyncio
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from fraudd.ports import PARTS, Depth, Message
from fraudd.prediction.events import DETAIL, REASON, SENT, RequestEvent
from fraudd.prediction.record import Lane
from tests.simulation.clocks import true_ms

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

Reply = Callable[[Sequence["Handed"]], None]
#: Whether no client waits for the answer any more.
Gone = Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a message is, as the world knows it whatever its text says."""

    kind: Literal["wake-up", "request", "malformed"]
    entity_id: str | None = None
    run_id: str | None = None
    #: When it was first sent, true epoch milliseconds.
    asked_at: int = 0


@dataclass(slots=True, eq=False, kw_only=True)
class Stored:
    """One message in the queue; a message that SQS holds twice is two of these."""

    message_id: str
    body: str
    attributes: Mapping[str, str]
    meaning: Meaning
    sent_at: int
    visible_at: float
    receives: list["Receive"] = field(default_factory=list)
    deleted: bool = False
    #: Whether a copy was sent, to this queue or to the dead-letter queue.
    copied: bool = False
    buried: bool = False


@dataclass(slots=True, eq=False, kw_only=True)
class Receive:
    """One time that a message was handed out."""

    stored: Stored
    process: "Process"
    receipt: str
    at: float
    #: Why no attempt has to come of it; None: one has to.
    excuse: str | None
    attempted: bool = False
    #: Whether the answer came through.
    delivered: bool = False
    #: Whether its job deleted or released the message, and so holds no permit for it any more.
    finished: bool = False
    hidden_back: bool = False
    #: Whether the same message came again while it was in hand: the newer receipt counts.
    renewed: bool = False
    #: Whether it is a probe: asked for while every run failed.
    probe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What goes over the wire for one message."""

    stored: Stored
    receive: Receive
    count: int


@dataclass(slots=True, eq=False, kw_only=True)
class _Poll:
    process: "Process"
    most: int
    visibility: float
    reply: Reply
    gone: Gone
    timer: asyncio.TimerHandle | None = None


class QueueService:
    """The queue of a lane and its dead-letter queue."""

    def __init__(self, world: "World", lane: Lane) -> None:
        self._world = world
        self.lane = lane
        self._rng = random.Random(f"{PARTS[lane]} {world.plan.seed}")
        self._messages: list[Stored] = []
        self._receipts: dict[str, Receive] = {}
        self._polls: list[_Poll] = []
        self._wake: asyncio.TimerHandle | None = None
        self._numbers = 0
        self._last_counts: Depth | None = None
        self.dead: list[Stored] = []
        self.receives: list[Receive] = []

    @property
    def messages(self) -> list[Stored]:
        """All that is in the queue."""
        return self._messages

    # What others do

    def send(
        self, body: str, attributes: Mapping[str, str], meaning: Meaning, *, delay: float = 0.0
    ) -> Stored:
        """Put a message into the queue, now and then twice."""
        now = self._world.loop.time()
        self._numbers += 1
        message_id = f"{'m' if self.lane == 'interactive' else 'b'}{self._numbers}"
        copies = 1
        if self._strikes("message_twice", 0.1):
            copies = 2
        if self._strikes("message_late", 0.1):
            delay += self._rng.uniform(1, 20)
        for _ in range(copies):
            stored = Stored(
                message_id=message_id,
                body=body,
                attributes=attributes,
                meaning=meaning,
                sent_at=true_ms(self._world.loop),
                visible_at=now + delay,
            )
            self._messages.append(stored)
            self._world.lives.woken(meaning)
        self._world.note(
            PARTS[self.lane],
            meaning.entity_id,
            "message sent",
            message=message_id,
            kind=meaning.kind,
            run=meaning.run_id,
            copies=copies,
            delay=round(delay, 1),
        )
        self._world.message_checks.sent(stored)
        self._serve()
        return stored

    def redrive(self, count: int, to: "QueueService") -> int:
        """Move messages from the dead-letter queue back, as an operator does."""
        moved = 0
        for stored in [one for one in self.dead if one.meaning.kind != "malformed"][:count]:
            self.dead.remove(stored)
            meaning = stored.meaning
            if REASON in stored.attributes:
                first = int(stored.attributes.get(SENT, stored.sent_at))
                meaning = Meaning(
                    kind="request", entity_id=meaning.entity_id, run_id=None, asked_at=first
                )
            to.send(stored.body, stored.attributes, meaning)
            moved += 1
        return moved

    # What a process asks for, carried out at once

    def poll(
        self, process: "Process", most: int, visibility: float, wait: float
    ) -> Callable[[Reply, Gone], None]:
        """Give the way to register a long poll."""

        def register(reply: Reply, gone: Gone) -> None:
            poll = _Poll(process=process, most=most, visibility=visibility, reply=reply, gone=gone)
            self._polls.append(poll)
            if self._strikes("empty_read", 0.05):
                self._end(poll)
                return
            poll.timer = self._world.loop.call_later(wait, self._end, poll)
            self._serve()

        return register

    def delete(self, process: "Process", message: Message) -> None:
        """Delete by receipt; by a stale one it may do nothing, and says nothing."""
        receive = self._receipts[message.receipt_handle]
        stored = receive.stored
        receive.finished = True
        self._world.note(
            process.name, stored.meaning.entity_id, "delete", message=stored.message_id
        )
        if stored.deleted or (self._stale(receive) and self._rng.random() < 0.5):
            return
        self._world.message_checks.deleting(process, stored)
        stored.deleted = True
        self._messages.remove(stored)
        self._world.look_whether_over()

    def hide(self, process: "Process", message: Message, seconds: float) -> None:
        """Change the visibility of a message in flight."""
        receive = self._receipts[message.receipt_handle]
        stored, now = receive.stored, self._world.loop.time()
        whole = math.ceil(seconds)
        self._world.note(
            process.name,
            stored.meaning.entity_id,
            "hide",
            message=stored.message_id,
            seconds=whole,
        )
        if seconds == self._world.plan.beat:
            self._world.message_checks.beaten(process, receive)
        else:
            self._world.message_checks.giving_back(process, receive)
            receive.finished = receive.hidden_back = True
        if stored.deleted or stored.visible_at <= now:
            return  # not in flight: SQS refuses, the adapter takes that as let go of
        if self._stale(receive) and self._rng.random() < 0.5:
            return
        stored.visible_at = now + whole
        self._serve()

    def copy(self, process: "Process", message: Message, seconds: float) -> None:
        """Send a copy of a message in hand, delayed."""
        receive = self._receipts[message.receipt_handle]
        stored = receive.stored
        attributes = _copied(message)
        self._world.note(process.name, stored.meaning.entity_id, "copy", message=stored.message_id)
        stored.copied = True
        self.send(stored.body, attributes, stored.meaning, delay=math.ceil(seconds))

    def bury(self, process: "Process", message: Message, reason: str, detail: str) -> None:
        """Send a copy of a message in hand to the dead-letter queue."""
        receive = self._receipts[message.receipt_handle]
        stored = receive.stored
        self._world.note(
            process.name, stored.meaning.entity_id, "dead letter", reason=reason, detail=detail
        )
        self._world.message_checks.burying(process, stored, reason)
        self.dead.append(
            Stored(
                message_id=f"{stored.message_id}-dead",
                body=stored.body,
                attributes=_copied(message) | {REASON: reason, DETAIL: detail},
                meaning=stored.meaning,
                sent_at=true_ms(self._world.loop),
                visible_at=0.0,
            )
        )

    def depth(self) -> Depth:
        """Count what there is, now and then as it was before."""
        now = self._world.loop.time()
        in_flight = sum(1 for one in self._messages if one.receives and one.visible_at > now)
        delayed = sum(1 for one in self._messages if not one.receives and one.visible_at > now)
        counts = Depth(
            visible=len(self._messages) - in_flight - delayed,
            in_flight=in_flight,
            delayed=delayed,
            dead_lettered=len(self.dead),
        )
        if self._last_counts is not None and self._strikes("stale_counts", 0.2):
            counts = self._last_counts
        self._last_counts = counts
        return counts

    def about(self, message: Message) -> str | None:
        """Give the entity that a message is about."""
        return self._receipts[message.receipt_handle].stored.meaning.entity_id

    # Handing out

    def _serve(self) -> None:
        """Give what is visible to whoever polls; come back when more becomes visible."""
        now = self._world.loop.time()
        while self._polls and (ready := [one for one in self._messages if one.visible_at <= now]):
            poll = self._rng.choice(self._polls) if len(self._polls) > 1 else self._polls[0]
            if poll.gone() and not self._strikes("gone_poll_takes", 0.7):
                self._forget(poll)
                continue
            handed = list(self._hand(poll, ready, now))
            if not handed:
                continue  # SQS took all of them to the dead-letter queue
            self._forget(poll)
            self._reply(poll, handed)
        self._arm(now)

    def _hand(self, poll: _Poll, ready: list[Stored], now: float) -> Iterator[Handed]:
        gone = poll.gone()
        most = min(poll.most, len(ready))
        if most > 1 and self._rng.random() < 0.3:
            most = self._rng.randint(1, most)  # a short read: not all servers were asked
        for stored in self._rng.sample(ready, most):
            if len(stored.receives) >= self._world.plan.max_receive_count:
                self._take_away(stored)
                continue
            receipt = f"{stored.message_id}/{len(self._receipts)}"
            receive = Receive(
                stored=stored,
                process=poll.process,
                receipt=receipt,
                at=now,
                excuse="a poll that was gone" if gone else self._world.lives.excuse(stored),
            )
            if gone:
                self._world.lives.disturb(stored.meaning.entity_id, "handed to nobody")
            stored.receives.append(receive)
            stored.visible_at = now + poll.visibility
            self._receipts[receipt] = receive
            self.receives.append(receive)
            self._world.note(
                poll.process.name,
                stored.meaning.entity_id,
                "handed",
                message=stored.message_id,
                receive=len(stored.receives),
                run=stored.meaning.run_id,
            )
            yield Handed(stored=stored, receive=receive, count=len(stored.receives))

    def _take_away(self, stored: Stored) -> None:
        self._world.note(
            "queue", stored.meaning.entity_id, "moved by SQS", message=stored.message_id
        )
        self._world.message_checks.taken_away(stored)
        stored.deleted = True
        self._messages.remove(stored)
        self.dead.append(stored)
        self._world.look_whether_over()

    def _end(self, poll: _Poll) -> None:
        if poll in self._polls:
            self._forget(poll)
            self._reply(poll, [])

    def _forget(self, poll: _Poll) -> None:
        self._polls.remove(poll)
        if poll.timer is not None:
            poll.timer.cancel()

    def _reply(self, poll: _Poll, handed: Sequence[Handed]) -> None:
        poll.reply(handed)

    def _arm(self, now: float) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if self._polls and self._messages:
            at = min(one.visible_at for one in self._messages)
            self._wake = self._world.loop.call_at(max(at, now), self._serve)

    def _stale(self, receive: Receive) -> bool:
        return receive.stored.receives[-1] is not receive

    def _strikes(self, kind: str, likely: float) -> bool:
        return self._world.faults.strikes(kind, likely, self._rng)


class SimulatedQueue:
    """The queue as one process reaches it."""

    def __init__(self, service: QueueService, process: "Process") -> None:
        self._service = service
        self._process = process

    async def receive(
        self, max_messages: int, *, wait_seconds: int | None = None
    ) -> Sequence[Message]:
        """Poll for up to ``max_messages`` messages."""
        world, process, lane = self._process.world, self._process, self._service.lane
        wait = world.plan.wait if wait_seconds is None else wait_seconds
        in_fault = world.message_checks.polling(process, lane, max_messages)
        process.polling[lane] = max_messages
        try:
            handed: Sequence[Handed] = await process.link.poll(
                PARTS[lane],
                self._service.poll(process, max_messages, world.plan.visibility, wait),
                wait=wait,
            )
        except asyncio.CancelledError:
            world.message_checks.poll_cut_off(process)
            raise
        finally:
            del process.polling[lane]
            process.brought[lane] = False
        messages = [_message(one, process.clock.now(), lane) for one in handed]
        process.brought[lane] = bool(messages)
        world.message_checks.received(process, [one.receive for one in handed], in_fault=in_fault)
        return messages

    async def send(self, event: RequestEvent) -> None:
        """Send the wake-up of a run straight to this queue."""
        world, process = self._process.world, self._process
        meaning = Meaning(
            kind="wake-up",
            entity_id=event.entity_id,
            run_id=event.run_id,
            asked_at=true_ms(world.loop),
        )
        world.message_checks.waking(process, meaning, self._service.lane)

        def act() -> None:
            world.note(process.name, event.entity_id, "published in bulk", run=event.run_id)
            world.lives.published(process.name, meaning)
            self._service.send(event.to_json(), event.attributes, meaning)

        await process.link.call(PARTS[self._service.lane], act, about=event.entity_id)

    async def delete(self, message: Message) -> None:
        """Be done with a message."""
        await self._call(message, lambda: self._service.delete(self._process, message))

    async def hide(self, message: Message, seconds: float) -> None:
        """Give a message back, to be seen again in ``seconds``."""
        await self._call(message, lambda: self._service.hide(self._process, message, seconds))

    async def send_again(self, message: Message, seconds: float) -> None:
        """Send a copy, delayed by ``seconds``, then delete the message."""
        await self._call(message, lambda: self._service.copy(self._process, message, seconds))
        await self.delete(message)

    async def dead_letter(self, message: Message, *, reason: str, detail: str) -> None:
        """Send a copy to the dead-letter queue, saying why, then delete the message."""
        await self._call(
            message, lambda: self._service.bury(self._process, message, reason, detail)
        )
        await self.delete(message)

    async def depth(self) -> Depth:
        """Sample the counts, and the redrive policy."""
        part = PARTS[self._service.lane]
        return await self._process.link.call(part, self._service.depth, about=None)

    @property
    def max_receive_count(self) -> int | None:
        """After so many receives SQS takes a message away: looked up before the start."""
        return self._process.world.plan.max_receive_count

    async def _call(self, message: Message, act: Callable[[], None]) -> None:
        about = self._service.about(message)
        await self._process.link.call(PARTS[self._service.lane], act, about=about)


def _message(handed: Handed, now: int, lane: Lane) -> Message:
    return Message(
        message_id=handed.stored.message_id,
        receipt_handle=handed.receive.receipt,
        body=handed.stored.body,
        attributes=handed.stored.attributes,
        receive_count=handed.count,
        sent_at=handed.stored.sent_at,
        received_at=now,
        lane=lane,
    )


def _copied(message: Message) -> dict[str, str]:
    """The attributes of a copy: when it was first sent, and whatever it carried."""
    return {**message.attributes, SENT: message.attributes.get(SENT, str(message.sent_at))}
