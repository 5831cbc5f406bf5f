"""The dead-letter queue, as an operator looks through it and empties it."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, cast

from fraudd.aws.attributes import dead_letter_url, parse_redrive_policy
from fraudd.aws.session import Clients, translated
from fraudd.aws.sqs import MAX_ATTRIBUTES, ignore_expired_receipt
from fraudd.errors import RunError, Unavailable
from fraudd.prediction.events import SENT

if TYPE_CHECKING:
    from types_aiobotocore_sqs.type_defs import MessageAttributeValueTypeDef, MessageTypeDef

#: How long what is looked at is hidden from others. Ten thousand messages are looked through in
#: less, over slow lines too; whoever looks after a look that was killed waits no longer.
HIDDEN_SECONDS = 300
#: The least that makes SQS ask all of its servers.
_WAIT_SECONDS = 1
#: Receives in a row that bring nothing new, while the count says that something is there.
_MAX_FRUITLESS = 3
#: Of one receive, and of one batch.
_BATCH = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One message of the dead-letter queue."""

    message_id: str
    receipt_handle: str
    body: str
    #: As SQS gave them, to be sent again as they are.
    attributes: "Mapping[str, MessageAttributeValueTypeDef]"
    #: How often SQS handed it out, each look at it included.
    receive_count: int
    #: When it was sent to the queue that it lay in first (epoch milliseconds).
    enqueued_at: int

    @property
    def texts(self) -> Mapping[str, str]:
        """The attributes that are text."""
        return {
            name: value["StringValue"]
            for name, value in self.attributes.items()
            if "StringValue" in value
        }

    @property
    def first_sent_at(self) -> int:
        """When it was first sent (epoch milliseconds), however often it was copied since."""
        told = self.texts.get(SENT, "")
        return int(told) if told.isdecimal() else self.enqueued_at


class DeadLetters:
    """Looks at messages, sends them back, deletes them; raises ``Unavailable`` or ``RunError``."""

    def __init__(self, clients: Clients, *, url: str, main_url: str) -> None:
        self._sqs = clients.sqs
        self._polls = clients.polls
        self.url = url
        self._main_url = main_url

    @asynccontextmanager
    async def look(
        self, *, stopped: Callable[[], bool], warn: Callable[[str], None]
    ) -> AsyncIterator["Look"]:
        """Look through the queue; what is not settled by the end is visible again after it."""
        look = Look(self, stopped=stopped)
        try:
            yield look
        finally:
            if left := await self.show(look.held):
                warn(f"{left} messages stay hidden for up to {HIDDEN_SECONDS // 60} minutes")

    async def receive(self) -> Sequence[DeadLetter]:
        """Take some messages, hidden from others meanwhile; none is no proof that none are left."""
        with translated("dead-letter queue"):
            answer = await self._polls.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=_BATCH,
                WaitTimeSeconds=_WAIT_SECONDS,
                VisibilityTimeout=HIDDEN_SECONDS,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
                MessageAttributeNames=["All"],
            )
        return [_letter(message) for message in answer.get("Messages", [])]

    async def send_back(self, letter: DeadLetter) -> None:
        """Send a copy to the main queue, as it is but for the time of its first sending."""
        with translated("queue"):
            await self._sqs.send_message(
                QueueUrl=self._main_url,
                MessageBody=letter.body,
                MessageAttributes=returned_attributes(letter),
            )

    async def delete(self, letter: DeadLetter) -> None:
        """Be done with a message; deleting it twice is no error."""
        with translated("dead-letter queue"), ignore_expired_receipt():
            await self._sqs.delete_message(QueueUrl=self.url, ReceiptHandle=letter.receipt_handle)

    async def show(self, handles: Mapping[str, str]) -> int:
        """Make messages visible again; gives how many it could not."""
        waiting = iter(list(handles.values()))
        left = len(handles)
        while batch := list(islice(waiting, _BATCH)):
            try:
                with translated("dead-letter queue"):
                    answer = await self._sqs.change_message_visibility_batch(
                        QueueUrl=self.url,
                        Entries=[
                            {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                            for number, handle in enumerate(batch)
                        ],
                    )
            except (Unavailable, RunError):
                return left
            # What is refused as our own fault is gone, or visible already.
            failed = [entry for entry in answer.get("Failed", []) if not entry["SenderFault"]]
            left -= len(batch) - len(failed)
        return left

    async def counts(self) -> tuple[int, int]:
        """About how many messages are there to be received, and how many are hidden."""
        with translated("dead-letter queue"):
            answer = await self._sqs.get_queue_attributes(
                QueueUrl=self.url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesNotVisible",
                ],
            )
        counts = answer["Attributes"]
        return (
            int(counts["ApproximateNumberOfMessages"]),
            int(counts["ApproximateNumberOfMessagesNotVisible"]),
        )


class Look:
    """One pass through the dead-letter queue, which shows each message once."""

    def __init__(self, queue: DeadLetters, *, stopped: Callable[[], bool]) -> None:
        self._queue = queue
        self._stopped = stopped
        self._settled: set[str] = set()
        #: The newest receipt handle of each message that is hidden by this look.
        self.held: dict[str, str] = {}
        #: About how many messages somebody else hides, known at the end.
        self.hidden_elsewhere = 0

    async def batches(self) -> AsyncIterator[Sequence[DeadLetter]]:
        """Give the messages, some at a time, until nothing is left or the look is stopped."""
        fruitless = 0
        while not self._stopped():
            if fresh := [letter for letter in await self._queue.receive() if self._take(letter)]:
                fruitless = 0
                yield fresh
                continue
            fruitless += 1
            visible, hidden = await self._queue.counts()
            if not visible or fruitless == _MAX_FRUITLESS:
                self.hidden_elsewhere = max(0, hidden - len(self.held))
                return

    def settled(self, letter: DeadLetter) -> None:
        """Note that a message is no longer in the queue."""
        self._settled.add(letter.message_id)
        self.held.pop(letter.message_id, None)

    def _take(self, letter: DeadLetter) -> bool:
        """Note the receipt; gives whether the message is a new one.

        SQS may deliver a message again, even one that was deleted: that one is left alone.
        """
        known = letter.message_id in self.held or letter.message_id in self._settled
        self.held[letter.message_id] = letter.receipt_handle
        return not known


async def find(clients: Clients, *, main_url: str, url: str | None) -> DeadLetters:
    """Find the dead-letter queue of a queue, where it is not named by ``url``.

    Raises ``Misconfigured`` where there is none, ``Unavailable`` where the queue cannot be asked.
    """
    if url is None:
        with translated(f"queue ({main_url} at {clients.where}; see [queue] url)"):
            answer = await clients.sqs.get_queue_attributes(
                QueueUrl=main_url, AttributeNames=["RedrivePolicy"]
            )
            own = parse_redrive_policy(answer.get("Attributes", {}).get("RedrivePolicy"))
            url = await dead_letter_url(clients.sqs, main_url, own)
    letters = DeadLetters(clients, url=url, main_url=main_url)
    with translated(f"dead-letter queue ({url} at {clients.where}; see [queue] dead_letter_url)"):
        await clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return letters


def returned_attributes(letter: DeadLetter) -> "dict[str, MessageAttributeValueTypeDef]":
    """The attributes of the copy that goes back: fraudd's own, the others as far as there is room.

    The first sending stays known: what was sent before its entity was forgotten stays forgotten.
    """
    sent: MessageAttributeValueTypeDef = {
        "DataType": "String",
        "StringValue": str(letter.first_sent_at),
    }
    rest = {name: value for name, value in letter.attributes.items() if name != SENT}
    own_first = sorted(rest, key=lambda name: not name.startswith("fraudd."))
    return {SENT: letter.attributes.get(SENT, sent)} | {
        name: rest[name] for name in own_first[: MAX_ATTRIBUTES - 1]
    }


def _letter(received: "MessageTypeDef") -> DeadLetter:
    return DeadLetter(
        message_id=received["MessageId"],
        receipt_handle=received["ReceiptHandle"],
        body=received["Body"],
        attributes=cast(
            "Mapping[str, MessageAttributeValueTypeDef]", received.get("MessageAttributes", {})
        ),
        receive_count=int(received["Attributes"]["ApproximateReceiveCount"]),
        enqueued_at=int(received["Attributes"]["SentTimestamp"]),
    )
