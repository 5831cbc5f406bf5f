"""The SQS queue of a lane, and its dead-letter queue."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from fraudd.aws.attributes import dead_letter_url, parse_redrive_policy, string_attributes
from fraudd.aws.batching import BatchSender
from fraudd.aws.session import Clients
from fraudd.aws.translation import code_of, expect_message_id, translated
from fraudd.errors import Unavailable
from fraudd.ports import PARTS, Clock, Depth, Message
from fraudd.prediction.events import DETAIL, REASON, SENT, RequestEvent
from fraudd.prediction.record import Lane
from fraudd.telemetry import log

if TYPE_CHECKING:
    from types_aiobotocore_sqs.literals import QueueAttributeFilterType
    from types_aiobotocore_sqs.type_defs import MessageTypeDef

#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_ATTRIBUTES = 10
#: Long enough to explain the error, and far below the size limit of a message.
_DETAIL_CHARACTERS = 500
#: SQS accepts only characters of XML 1.0 in bodies and attributes.
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class SqsQueue:
    """The queue of one lane. Methods raise ``Unavailable``."""

    def __init__(
        self,
        clients: Clients,
        *,
        url: str,
        lane: Lane = "interactive",
        dead_letter_url: str | None,
        wait_seconds: int,
        visibility_timeout_seconds: int,
        clock: Clock,
    ) -> None:
        self._sqs = clients.sqs
        self._polls = clients.polls
        self._where = clients.where
        self.url = url
        self._lane = lane
        self._part = PARTS[lane]
        self._sender = BatchSender(clients.sqs, url)
        #: Without a configured URL it is empty until ``check`` reads the redrive policy.
        self.dead_letter_url = dead_letter_url or ""
        self._wait_seconds = wait_seconds
        self._visibility_timeout_seconds = visibility_timeout_seconds
        self._clock = clock
        self._max_receive_count: int | None = None

    async def receive(
        self, max_messages: int, *, wait_seconds: int | None = None
    ) -> Sequence[Message]:
        """Poll for up to ``max_messages``, which SQS hides for the visibility timeout."""
        with translated(self._part):
            answer = await self._polls.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=max_messages,
                WaitTimeSeconds=self._wait_seconds if wait_seconds is None else wait_seconds,
                VisibilityTimeout=self._visibility_timeout_seconds,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
                MessageAttributeNames=["All"],
            )
            now = self._clock.now()
            return [
                message
                for received in answer.get("Messages", [])
                if (message := _message(received, now, self._lane)) is not None
            ]

    async def send(self, event: RequestEvent) -> None:
        """Send a wake-up message to this queue, in one call with other sends of this moment."""
        with translated(self._part, of_a_run=True):
            await self._sender.send(event.to_json(), event.attributes)

    async def delete(self, message: Message) -> None:
        """Delete a message. A second time is no error."""
        with translated(self._part), ignore_expired_receipt():
            await self._sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message.receipt_handle)

    async def hide(self, message: Message, seconds: float) -> None:
        """Set the visibility timeout of a message to ``seconds``."""
        with translated(self._part), ignore_expired_receipt():
            await self._sqs.change_message_visibility(
                QueueUrl=self.url,
                ReceiptHandle=message.receipt_handle,
                VisibilityTimeout=math.ceil(seconds),
            )

    async def send_again(self, message: Message, seconds: float) -> None:
        """Send a copy with a new receive count, delayed by ``seconds``, then delete the message."""
        with translated(self._part, of_a_run=True):
            sent = await self._sqs.send_message(
                QueueUrl=self.url,
                MessageBody=message.body,
                DelaySeconds=math.ceil(seconds),
                MessageAttributes=_copied(message, {}),
            )
            expect_message_id(sent)
        await self.delete(message)

    async def dead_letter(self, message: Message, *, reason: str, detail: str) -> None:
        """Send a copy with ``fraudd.reason`` to the dead-letter queue, then delete the message."""
        with translated("dead_letter_queue", of_a_run=True):
            sent = await self._sqs.send_message(
                QueueUrl=self.dead_letter_url,
                MessageBody=message.body,
                MessageAttributes=_copied(message, {REASON: reason, DETAIL: _clean(detail)}),
            )
            expect_message_id(sent)
        await self.delete(message)

    @property
    def max_receive_count(self) -> int | None:
        """``maxReceiveCount`` as of the last sample. None: the queue has no redrive policy."""
        return self._max_receive_count

    async def depth(self) -> Depth:
        """Sample the approximate counts and the redrive policy.

        Both lanes share the dead-letter queue, so only the interactive queue counts it.
        """
        with translated(self._part):
            counts = await self._counts(self.url, "RedrivePolicy")
            self._max_receive_count = parse_redrive_policy(
                counts.get("RedrivePolicy")
            ).max_receive_count
            return Depth(
                visible=int(counts["ApproximateNumberOfMessages"]),
                in_flight=int(counts["ApproximateNumberOfMessagesNotVisible"]),
                delayed=int(counts["ApproximateNumberOfMessagesDelayed"]),
                dead_lettered=await self._dead_lettered(),
            )

    async def _dead_lettered(self) -> int | None:
        """Count the dead letters. None: the bulk queue, or the dead-letter queue is unreachable."""
        if self._lane == "bulk":
            return None
        try:
            with translated("dead_letter_queue"):
                counts = await self._counts(self.dead_letter_url)
                return int(counts["ApproximateNumberOfMessages"])
        except Unavailable as error:
            log.warning("queue.sample_failed", lane=self._lane, error=str(error))
            return None

    async def check(self) -> None:
        """Check that the queue exists, and find its dead-letter queue."""
        key = "bulk_url" if self._lane == "bulk" else "url"
        with translated(f"queue ({self.url} at {self._where}; see [queue] {key})"):
            answer = await self._sqs.get_queue_attributes(
                QueueUrl=self.url, AttributeNames=["RedrivePolicy"]
            )
            redrive = parse_redrive_policy(answer.get("Attributes", {}).get("RedrivePolicy"))
            self._max_receive_count = redrive.max_receive_count
            if not self.dead_letter_url:
                self.dead_letter_url = await dead_letter_url(self._sqs, self.url, redrive)

    async def _counts(self, url: str, *more: "QueueAttributeFilterType") -> Mapping[str, str]:
        answer = await self._sqs.get_queue_attributes(
            QueueUrl=url,
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
                "ApproximateNumberOfMessagesDelayed",
                *more,
            ],
        )
        return cast("Mapping[str, str]", answer["Attributes"])


@contextmanager
def ignore_expired_receipt() -> Iterator[None]:
    """Ignore errors about a receipt handle whose message is deleted, or visible again.

    SQS reports it with one of three codes, or not at all. The text of ``InvalidParameterValue``
    differs: the receipt handle has expired, or the message does not exist.
    """
    try:
        yield
    except ClientError as error:
        code = code_of(error)
        text = str(error.response.get("Error", {}).get("Message", ""))
        gone = code.startswith("InvalidParameterValue") and "parameter ReceiptHandle" in text
        if code not in ("ReceiptHandleIsInvalid", "MessageNotInflight") and not gone:
            raise


def _message(received: "MessageTypeDef", now: int, lane: Lane) -> Message | None:
    """Parse a message. None: it cannot be read. It comes back after its visibility timeout."""
    try:
        return Message(
            message_id=received["MessageId"],
            receipt_handle=received["ReceiptHandle"],
            body=received["Body"],
            attributes={
                name: value["StringValue"]
                for name, value in received.get("MessageAttributes", {}).items()
                if "StringValue" in value
            },
            receive_count=int(received["Attributes"]["ApproximateReceiveCount"]),
            sent_at=int(received["Attributes"]["SentTimestamp"]),
            received_at=now,
            lane=lane,
        )
    except (KeyError, TypeError, ValueError) as error:
        message_id = received.get("MessageId")
        log.error("queue.message_unreadable", lane=lane, message_id=message_id, error=repr(error))
        return None


def _copied(message: Message, added: Mapping[str, str]) -> dict[str, Any]:
    """The attributes of a copy: fraudd's own first, then as many others as SQS allows."""
    own = {SENT: message.attributes.get(SENT, str(message.sent_at)), **added}
    foreign = {name: value for name, value in message.attributes.items() if name not in own}
    return string_attributes(own | dict(list(foreign.items())[: MAX_ATTRIBUTES - len(own)]))


def _clean(detail: str) -> str:
    return _NOT_XML.sub("?", detail)[:_DETAIL_CHARACTERS] or "no detail"
