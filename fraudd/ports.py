"""The world as the flows see it: what each part of it offers, and what it may raise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from fraudd.prediction.events import Completion, RequestEvent
from fraudd.prediction.record import Lane, Record, Transition


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> int:
        """Wall-clock time in epoch milliseconds."""

    def monotonic(self) -> float:
        """Seconds that never run backwards, for durations."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of a transition: the record after it, or the record that refused it."""

    done: bool
    record: Record | None


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """An entity of a listing, and its place in it: when its run was asked for."""

    listed_at: int
    entity_id: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some entities of a listing, and whether there are more."""

    entries: Sequence[Entry]
    more: bool


class Store(Protocol):
    """The table of records. Every call may raise ``Unavailable``."""

    async def get(self, entity_id: str) -> Record | None:
        """Read a record, strongly consistent."""

    async def apply(self, transition: Transition) -> Applied:
        """Carry out one conditional write; its own earlier first try counts as done."""

    async def listed(self, listed: str, *, until: int, after: Entry | None) -> Page:
        """List a partition of the sparse index, oldest first, up to ``listed_at`` = ``until``.

        A hundred at most, those that come after ``after``, an entry of a page before; the index
        may lag behind the records.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message in hand."""

    message_id: str
    receipt_handle: str
    body: str
    attributes: Mapping[str, str]
    #: How often SQS handed it out, this time included.
    receive_count: int
    #: When it was sent to the queue (epoch milliseconds, SQS's clock).
    sent_at: int
    #: When this receive was answered (epoch milliseconds): its visibility counts from then.
    received_at: int
    #: Whose queue it came from, and goes back to.
    lane: Lane = "interactive"

    @property
    def part(self) -> str:
        """What a gate calls that queue."""
        return PARTS[self.lane]


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """About how many messages wait, are in hand, are delayed, and lie in the dead-letter queue.

    The lanes share that one: it is counted with the interactive lane, and None with the bulk lane.
    """

    visible: int
    in_flight: int
    delayed: int
    dead_lettered: int | None


#: What a gate calls the queue of each lane. The bulk queue is needed by bulk runs alone.
PARTS: Mapping[Lane, Literal["queue", "bulk_queue"]] = {
    "interactive": "queue",
    "bulk": "bulk_queue",
}


class Queue(Protocol):
    """The queue of request events of one lane. Every call may raise ``Unavailable``."""

    async def receive(self, most: int, *, wait_seconds: int | None = None) -> Sequence[Message]:
        """Poll for up to ``most`` (1 to 10) messages, for as long as configured, or so long."""

    async def send(self, event: RequestEvent) -> None:
        """Send the wake-up of a run straight to this queue, past the topic."""

    async def delete(self, message: Message) -> None:
        """Be done with a message; deleting it twice is no error."""

    async def hide(self, message: Message, seconds: float) -> None:
        """Let a message be seen again ``seconds`` from now (rounded up to whole ones)."""

    async def send_again(self, message: Message, seconds: float) -> None:
        """Send a copy, delayed by ``seconds`` (900 at most), then delete the message."""

    async def dead_letter(self, message: Message, *, reason: str, detail: str) -> None:
        """Send a copy to the dead-letter queue, saying why, then delete the message."""

    async def depth(self) -> Depth:
        """Sample the queue's counts."""

    @property
    def max_receive_count(self) -> int | None:
        """After so many receives SQS itself takes a message away; None: never. As last sampled."""


#: The queue of each lane that there is.
Queues = Mapping[Lane, Queue]


class Topics(Protocol):
    """The two topics. Every call may raise ``Unavailable``."""

    async def request(self, event: RequestEvent) -> None:
        """Publish the wake-up of a run."""

    async def announce(self, completion: Completion) -> None:
        """Publish the end of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The parts of AWS that a daemon uses."""

    store: Store
    queues: Queues
    topics: Topics


class Permit(Protocol):
    """The right to hold one database connection."""

    @property
    def number(self) -> int:
        """Which of the permits this is, from 0."""

    def release(self) -> None:
        """Give the permit back; a second time does nothing."""


class Permits(Protocol):
    """All rights to hold a database connection."""

    async def acquire(self) -> Permit:
        """Wait for a permit, first come, first served."""

    async def acquire_all(self) -> Permit:
        """Wait for all permits at once, before all who want one."""

    def try_acquire(self) -> Permit | None:
        """Take a permit if one is free now."""

    @property
    def maximum(self) -> int:
        """How many there are when nothing limits them."""

    @property
    def limit(self) -> int:
        """How many may be taken now: at least one, and falling while the database is loaded."""

    @property
    def in_use(self) -> int:
        """How many are taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureValues:
    """The features of one entity by name (NaN is missing), and the instant they describe."""

    values: Mapping[str, float]
    #: The database's clock at the snapshot, epoch milliseconds.
    as_of: int
    #: Milliseconds that it took to connect; 0 where a connection was open already.
    connecting_ms: int
    #: Milliseconds that each feature file took, by its name.
    files_ms: Mapping[str, int]


class Features(Protocol):
    """The feature SQL over the platform's database."""

    async def read(self, entity_id: str, permit: Permit, *, seconds: float) -> FeatureValues:
        """Compute the features in one snapshot, on the connection that ``permit`` allows.

        Raises ``PermanentError``, ``TransientError`` (of type ``too_slow`` after so many
        ``seconds``), ``Unavailable`` or ``BackPressure``.
        """


Decision = Literal["approve", "review", "block"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A score between 0 and 1, what to do about it, and the features that made it."""

    score: float
    decision: Decision
    #: ``{"feature", "value", "contribution", "text"}``, the largest contribution first.
    reasons: Sequence[Mapping[str, Any]]


class Model(Protocol):
    """The trained model."""

    @property
    def version(self) -> str:
        """The day it was trained and the digest of its file: ``2026-11-24-3f9ac1``."""

    def score(self, values: Mapping[str, float]) -> Scored:
        """Score one entity; raises ``PermanentError`` where the model refuses."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """What makes a score: feature SQL and the model that fits it, which change together only."""

    features: Features
    model: Model
