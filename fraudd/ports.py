"""The dependencies of the engine as Protocols, with the errors that their calls may raise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from fraudd.prediction.events import Completion, RequestEvent
from fraudd.prediction.record import Lane, Record, Transition


class Clock(Protocol):
    """The source of time."""

    def now(self) -> int:
        """Return the wall-clock time in epoch milliseconds."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards, for durations."""


@dataclass(frozen=True, slots=True)
class Applied:
    """Whether a transition was applied, and the record after it, or the record that refused it."""

    done: bool
    record: Record | None


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """An entity in a listing. Listings are sorted by the time of the request."""

    listed_at: int
    entity_id: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, and whether there are more pages."""

    entries: Sequence[Entry]
    more: bool


class Store(Protocol):
    """The results table. Every call may raise ``Unavailable``."""

    async def get(self, entity_id: str) -> Record | None:
        """Read a record with strong consistency."""

    async def apply(self, transition: Transition) -> Applied:
        """Carry out one conditional write. If its own first try was applied, it counts as done."""

    async def listed(self, listed: str, *, until: int, after: Entry | None) -> Page:
        """List a partition of the sparse index, oldest first, up to ``listed_at`` = ``until``.

        A page has at most 100 entries and begins behind ``after``, the last entry of the previous
        page. The index may lag behind the records.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message in flight."""

    message_id: str
    receipt_handle: str
    body: str
    attributes: Mapping[str, str]
    #: The number of receives so far, including this one.
    receive_count: int
    #: When it was sent to the queue (epoch milliseconds by the clock of SQS).
    sent_at: int
    #: When SQS answered this receive (epoch milliseconds). The visibility timeout starts then.
    received_at: int
    #: The lane whose queue it came from.
    lane: Lane = "interactive"

    @property
    def part(self) -> str:
        """The name of that queue in the breaker."""
        return PARTS[self.lane]


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """SQS's approximate counts of a queue's messages, and of those in the dead-letter queue.

    The lanes share the dead-letter queue. It counts for the interactive lane, and is None for the
    bulk lane.
    """

    visible: int
    in_flight: int
    delayed: int
    dead_lettered: int | None


#: The name of each lane's queue in the breaker. Only bulk runs need the bulk queue.
PARTS: Mapping[Lane, Literal["queue", "bulk_queue"]] = {
    "interactive": "queue",
    "bulk": "bulk_queue",
}


class Queue(Protocol):
    """The queue of one lane. Every call may raise ``Unavailable``."""

    async def receive(
        self, max_messages: int, *, wait_seconds: int | None = None
    ) -> Sequence[Message]:
        """Poll for up to ``max_messages`` (1 to 10). The default wait is the configured one."""

    async def send(self, event: RequestEvent) -> None:
        """Send a wake-up message directly to this queue, without the topic."""

    async def delete(self, message: Message) -> None:
        """Delete a message. A second time is no error."""

    async def hide(self, message: Message, seconds: float) -> None:
        """Hide a message for ``seconds``, rounded up to whole seconds."""

    async def send_again(self, message: Message, seconds: float) -> None:
        """Send a copy, delayed by up to 900 ``seconds``, then delete the message."""

    async def dead_letter(self, message: Message, *, reason: str, detail: str) -> None:
        """Send a copy with the reason to the dead-letter queue, then delete the message."""

    async def depth(self) -> Depth:
        """Read the queue's approximate counts."""

    @property
    def max_receive_count(self) -> int | None:
        """The queue's ``maxReceiveCount`` as of the last sample. None: there is none."""


#: The queue of each configured lane.
Queues = Mapping[Lane, Queue]


class Topics(Protocol):
    """The two topics. Every call may raise ``Unavailable``."""

    async def request(self, event: RequestEvent) -> None:
        """Publish the wake-up message of a run."""

    async def announce(self, completion: Completion) -> None:
        """Publish the completion event of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The parts of AWS that a daemon uses."""

    store: Store
    queues: Queues
    topics: Topics


class Permit(Protocol):
    """A connection permit: the right to hold one database connection."""

    @property
    def number(self) -> int:
        """The index of this permit, from 0."""

    def release(self) -> None:
        """Give the permit back. A second call does nothing."""


class Permits(Protocol):
    """All connection permits of this daemon."""

    async def acquire(self) -> Permit:
        """Wait for a permit. Waiters are served in order."""

    async def acquire_all(self) -> Permit:
        """Wait for all permits at once, ahead of all that wait for one."""

    def try_acquire(self) -> Permit | None:
        """Take a permit if one is free. Do not wait."""

    @property
    def maximum(self) -> int:
        """The number of permits, without the limit that the database's load sets."""

    @property
    def limit(self) -> int:
        """The connection limit in force. It is at least 1, and falls while the database is busy."""

    @property
    def in_use(self) -> int:
        """The number of permits in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureValues:
    """The features of one entity by name, and their time. NaN is a missing value."""

    values: Mapping[str, float]
    #: The database's time at the snapshot, in epoch milliseconds.
    as_of: int
    #: Milliseconds to connect. 0 if a connection was already open.
    connecting_ms: int
    #: Milliseconds for each feature file, by file name.
    files_ms: Mapping[str, int]


class Features(Protocol):
    """The feature SQL on the platform's database."""

    async def read(self, entity_id: str, permit: Permit, *, seconds: float) -> FeatureValues:
        """Compute the features in one snapshot, on the connection of ``permit``.

        Raises ``PermanentError``, ``TransientError``, ``Unavailable`` or ``BackPressure``. If the
        snapshot is open for more than ``seconds``, the type of the ``TransientError`` is
        ``too_slow``. Connecting does not count.
        """


Decision = Literal["approve", "review", "block"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A score between 0 and 1, the decision, and the reasons."""

    score: float
    decision: Decision
    #: ``{"feature", "value", "contribution", "text"}``. The largest contribution is the first.
    reasons: Sequence[Mapping[str, Any]]


class Model(Protocol):
    """The trained model."""

    @property
    def version(self) -> str:
        """The training date and a digest of the file, for example ``2026-11-24-3f9ac1``."""

    def score(self, values: Mapping[str, float]) -> Scored:
        """Score one entity. Raises ``PermanentError`` if the features do not fit the model."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """The feature SQL and its model. A reload replaces both at once."""

    features: Features
    model: Model
