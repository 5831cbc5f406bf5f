"""The SQS queue of a lane's request events, and its dead-letter queue."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from fraudd.aws.attributes import dead_letter_url, parse_redrive_policy, string_attributes
from fraudd.aws.batching import BatchSender
from fraudd.aws.session import Clients, translated
from fraudd.ports import PARTS, Clock, Depth, Message
from fraudd.prediction.events import DETAIL, REASON, SENT, RequestEvent
from fraudd.prediction.record import Lane

if TYPE_CHECKING:
    from types_aiobotocore_sqs.literals import QueueAttributeFilterType
    from types_aiobotocore_sqs.type_defs import MessageTypeDef

#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_ATTRIBUTES = 10
#: Long enough to say what is wrong, short enough never to matter for the message's size.
_DETAIL_CHARACTERS = 500
#: SQS takes only characters of XML 1.0 in bodies and attributes.
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class SqsQueue:
    """Receives and settles messages; raises ``Unavailable``."""

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
        #: Empty until it was found, where the configuration does not say.
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
        return [_message(message, now, self._lane) for message in answer.get("Messages", [])]

    async def send(self, event: RequestEvent) -> None:
        """Send the wake-up of a run straight to this queue, with those that others send now."""
        with translated(self._part):
            await self._sender.send(event.to_json(), event.attributes)

    async def delete(self, message: Message) -> None:
        """Be done with a message; deleting it twice is no error."""
        with translated(self._part), ignore_expired_receipt():
            await self._sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message.receipt_handle)

    async def hide(self, message: Message, seconds: float) -> None:
        """Give a message back, to be seen again in ``seconds``."""
        with translated(self._part), ignore_expired_receipt():
            await self._sqs.change_message_visibility(
                QueueUrl=self.url,
                ReceiptHandle=message.receipt_handle,
                VisibilityTimeout=math.ceil(seconds),
            )

    async def send_again(self, message: Message, seconds: float) -> None:
        """Send a copy, delayed by ``seconds``, that starts with no receives; then delete."""
        with translated(self._part):
            await self._sqs.send_message(
                QueueUrl=self.url,
                MessageBody=message.body,
                DelaySeconds=math.ceil(seconds),
                MessageAttributes=_copied(message, {}),
            )
        await self.delete(message)

    async def dead_letter(self, message: Message, *, reason: str, detail: str) -> None:
        """Send a copy to the dead-letter queue with ``fraudd.reason`` on it, then delete it."""
        with translated(self._part):
            await self._sqs.send_message(
                QueueUrl=self.dead_letter_url,
                MessageBody=message.body,
                MessageAttributes=_copied(message, {REASON: reason, DETAIL: _clean(detail)}),
            )
        await self.delete(message)

    @property
    def max_receive_count(self) -> int | None:
        """After so many receives SQS takes a message away, as last sampled; None: never."""
        return self._max_receive_count

    async def depth(self) -> Depth:
        """Sample the counts, which SQS gives approximately, and the redrive policy.

        The dead-letter queue, which the lanes share, is counted with the interactive one.
        """
        counts = await self._counts(self.url, "RedrivePolicy")
        self._max_receive_count = parse_redrive_policy(
            counts.get("RedrivePolicy")
        ).max_receive_count
        dead = None
        if self._lane == "interactive":
            counted = await self._counts(self.dead_letter_url)
            dead = int(counted["ApproximateNumberOfMessages"])
        return Depth(
            visible=int(counts["ApproximateNumberOfMessages"]),
            in_flight=int(counts["ApproximateNumberOfMessagesNotVisible"]),
            delayed=int(counts["ApproximateNumberOfMessagesDelayed"]),
            dead_lettered=dead,
        )

    async def check(self) -> None:
        """See that the queue is there, and find its dead-letter queue."""
        key = "bulk_url" if self._lane == "bulk" else "url"
        with translated(f"queue ({self.url} at {self._where}; see [queue] {key})"):
            answer = await self._sqs.get_queue_attributes(
                QueueUrl=self.url, AttributeNames=["RedrivePolicy"]
            )
            own = parse_redrive_policy(answer.get("Attributes", {}).get("RedrivePolicy"))
            self._max_receive_count = own.max_receive_count
            if not self.dead_letter_url:
                self.dead_letter_url = await dead_letter_url(self._sqs, self.url, own)

    async def _counts(self, url: str, *more: "QueueAttributeFilterType") -> Mapping[str, str]:
        with translated(self._part):
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
    """Take a message that is deleted, or back in the queue, as let go of: it is not ours to touch.

    A standard queue tells of it by one of three errors, or not at all.
    """
    try:
        yield
    except ClientError as error:
        told = error.response["Error"]
        code = told["Code"].removeprefix("AWS.SimpleQueueService.")
        expired = code == "InvalidParameterValue" and "expired" in told["Message"]
        if code not in ("ReceiptHandleIsInvalid", "MessageNotInflight") and not expired:
            raise


def _message(received: "MessageTypeDef", now: int, lane: Lane) -> Message:
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


def _copied(message: Message, why: Mapping[str, str]) -> dict[str, Any]:
    """The attributes of a copy: fraudd's own first, the others as far as there is room."""
    own = {SENT: message.attributes.get(SENT, str(message.sent_at)), **why}
    foreign = {name: value for name, value in message.attributes.items() if name not in own}
    return string_attributes(own | dict(list(foreign.items())[: MAX_ATTRIBUTES - len(own)]))


def _clean(detail: str) -> str:
    return _NOT_XML.sub("?", detail)[:_DETAIL_CHARACTERS] or "no detail"
