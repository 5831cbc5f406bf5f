"""The dead-letter queue, as operators scan and empty it."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, cast

from fraudd.aws.attributes import dead_letter_url, parse_redrive_policy
from fraudd.aws.session import Clients
from fraudd.aws.sqs import MAX_ATTRIBUTES, ignore_expired_receipt
from fraudd.aws.translation import translated
from fraudd.errors import RunError, Unavailable
from fraudd.prediction.events import SENT, first_sent_at

if TYPE_CHECKING:
    from types_aiobotocore_sqs.type_defs import MessageAttributeValueTypeDef, MessageTypeDef

#: The visibility timeout of scanned messages. A scan of ten thousand messages takes less, even
#: over a slow network. After a killed scan, the next one waits no longer than this.
HIDDEN_SECONDS = 300
#: The shortest long poll, which makes SQS ask all of its servers.
_WAIT_SECONDS = 1
#: Receives in a row without new messages, although the count is not zero.
_MAX_FRUITLESS = 3
#: The maximum of one receive, and of one batch.
_BATCH_SIZE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message of the dead-letter queue."""

    message_id: str
    receipt_handle: str
    body: str
    #: As SQS returned them, so that a copy can have the same attributes.
    attributes: "Mapping[str, MessageAttributeValueTypeDef]"
    #: The number of receives, which includes each scan.
    receive_count: int
    #: When it was sent to its first queue (epoch milliseconds).
    enqueued_at: int

    @property
    def texts(self) -> Mapping[str, str]:
        """The attributes of type String."""
        return {
            name: value["StringValue"]
            for name, value in self.attributes.items()
            if "StringValue" in value
        }

    @property
    def first_sent_at(self) -> int:
        """When the first copy of the message was sent (epoch milliseconds)."""
        return first_sent_at(self.texts, otherwise=self.enqueued_at)


class DeadLetters:
    """The dead-letter queue. Methods raise ``Unavailable`` or ``RunError``."""

    def __init__(self, clients: Clients, *, url: str, main_url: str) -> None:
        self._sqs = clients.sqs
        self._polls = clients.polls
        self.url = url
        self._main_url = main_url

    @asynccontextmanager
    async def scan(
        self, *, stopped: Callable[[], bool], warn: Callable[[str], None]
    ) -> AsyncIterator["Scan"]:
        """Scan the queue. At the end, messages that remain in the queue become visible again."""
        scan = Scan(self, stopped=stopped)
        try:
            yield scan
        finally:
            if hidden := await self.release(scan.held):
                minutes = HIDDEN_SECONDS // 60
                warn(f"{hidden} messages stay invisible for up to {minutes} minutes")

    async def receive(self) -> Sequence[DeadLetter]:
        """Receive some messages. An empty result does not mean that the queue is empty."""
        with translated("dead-letter queue"):
            answer = await self._polls.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=_BATCH_SIZE,
                WaitTimeSeconds=_WAIT_SECONDS,
                VisibilityTimeout=HIDDEN_SECONDS,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
                MessageAttributeNames=["All"],
            )
        return [_letter(message) for message in answer.get("Messages", [])]

    async def send_back(self, letter: DeadLetter) -> None:
        """Send a copy to the main queue, with the time of the first sending."""
        with translated("queue"):
            await self._sqs.send_message(
                QueueUrl=self._main_url,
                MessageBody=letter.body,
                MessageAttributes=returned_attributes(letter),
            )

    async def delete(self, letter: DeadLetter) -> None:
        """Delete a message. A second time is no error."""
        with translated("dead-letter queue"), ignore_expired_receipt():
            await self._sqs.delete_message(QueueUrl=self.url, ReceiptHandle=letter.receipt_handle)

    async def release(self, handles: Mapping[str, str]) -> int:
        """Make messages visible again. Returns the number that stay invisible."""
        remaining = iter(list(handles.values()))
        hidden = len(handles)
        while batch := list(islice(remaining, _BATCH_SIZE)):
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
                return hidden
            # A sender fault means that the message is deleted, or visible already.
            failed = [entry for entry in answer.get("Failed", []) if not entry["SenderFault"]]
            hidden -= len(batch) - len(failed)
        return hidden

    async def counts(self) -> tuple[int, int]:
        """The approximate numbers of visible and of invisible messages."""
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


class Scan:
    """One pass through the dead-letter queue, which yields each message once."""

    def __init__(self, queue: DeadLetters, *, stopped: Callable[[], bool]) -> None:
        self._queue = queue
        self._stopped = stopped
        self._settled: set[str] = set()
        #: The newest receipt handle of each message that this scan hides, by message ID.
        self.held: dict[str, str] = {}
        #: The approximate number of messages that other consumers hide, known at the end.
        self.hidden_elsewhere = 0

    async def batches(self) -> AsyncIterator[Sequence[DeadLetter]]:
        """Yield the messages in batches, until the queue is empty or the scan is stopped."""
        fruitless = 0
        while not self._stopped():
            received = await self._queue.receive()
            if new := [letter for letter in received if self._is_new(letter)]:
                fruitless = 0
                yield new
                continue
            fruitless += 1
            visible, hidden = await self._queue.counts()
            if not visible or fruitless == _MAX_FRUITLESS:
                self.hidden_elsewhere = max(0, hidden - len(self.held))
                return

    def settled(self, letter: DeadLetter) -> None:
        """Record that a message is no longer in the queue."""
        self._settled.add(letter.message_id)
        self.held.pop(letter.message_id, None)

    def _is_new(self, letter: DeadLetter) -> bool:
        """Record the receipt handle. Returns whether this scan sees the message for the first time.

        SQS may deliver a message twice, even after its deletion.
        """
        known = letter.message_id in self.held or letter.message_id in self._settled
        self.held[letter.message_id] = letter.receipt_handle
        return not known


async def find_dead_letters(clients: Clients, *, main_url: str, url: str | None) -> DeadLetters:
    """Find the dead-letter queue at ``url``, or by the redrive policy of the main queue.

    Raises ``Misconfigured`` if there is none, and ``Unavailable``.
    """
    if url is None:
        with translated(f"queue ({main_url} at {clients.where}; see [queue] url)"):
            answer = await clients.sqs.get_queue_attributes(
                QueueUrl=main_url, AttributeNames=["RedrivePolicy"]
            )
            redrive = parse_redrive_policy(answer.get("Attributes", {}).get("RedrivePolicy"))
            url = await dead_letter_url(clients.sqs, main_url, redrive)
    letters = DeadLetters(clients, url=url, main_url=main_url)
    with translated(f"dead-letter queue ({url} at {clients.where}; see [queue] dead_letter_url)"):
        await clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return letters


def returned_attributes(letter: DeadLetter) -> "dict[str, MessageAttributeValueTypeDef]":
    """The attributes of a redriven copy: fraudd's own, then as many others as SQS allows.

    They include the time of the first sending. Without it, a request from before the deletion of
    its entity would count as new.
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
