"""The SQS queue of request events, and its dead-letter queue."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from fraudd.aws.session import Clients, translated
from fraudd.ports import Clock, Depth, Message, Unavailable

if TYPE_CHECKING:
    from types_aiobotocore_sqs.type_defs import MessageAttributeValueTypeDef, MessageTypeDef

#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
_MOST_ATTRIBUTES = 10
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
        dead_letter_url: str | None,
        wait_seconds: int,
        visibility_timeout_seconds: int,
        clock: Clock,
    ) -> None:
        self._sqs = clients.sqs
        self._polls = clients.polls
        self._where = clients.where
        self._url = url
        self._dead_letter_url = dead_letter_url or ""
        self._wait_seconds = wait_seconds
        self._visibility_timeout_seconds = visibility_timeout_seconds
        self._clock = clock

    async def receive(self, most: int) -> Sequence[Message]:
        """Long-poll for up to ``most`` messages, hidden from others for the visibility timeout."""
        with translated("queue"):
            answer = await self._polls.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=most,
                WaitTimeSeconds=self._wait_seconds,
                VisibilityTimeout=self._visibility_timeout_seconds,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
                MessageAttributeNames=["All"],
            )
        now = self._clock.now()
        return [_message(message, now) for message in answer.get("Messages", [])]

    async def delete(self, message: Message) -> None:
        """Be done with a message; deleting it twice is no error."""
        with translated("queue"), _gone_is_fine():
            await self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt_handle)

    async def hide(self, message: Message, seconds: float) -> None:
        """Give a message back, to be seen again in ``seconds``."""
        with translated("queue"), _gone_is_fine():
            await self._sqs.change_message_visibility(
                QueueUrl=self._url,
                ReceiptHandle=message.receipt_handle,
                VisibilityTimeout=math.ceil(seconds),
            )

    async def dead_letter(self, message: Message, *, reason: str, detail: str) -> None:
        """Send a copy to the dead-letter queue with ``fraudd.reason`` on it, then delete it."""
        why = {"fraudd.reason": reason, "fraudd.detail": _clean(detail)}
        foreign = {name: value for name, value in message.attributes.items() if name not in why}
        kept = dict(list(foreign.items())[: _MOST_ATTRIBUTES - len(why)])
        with translated("queue"):
            await self._sqs.send_message(
                QueueUrl=self._dead_letter_url,
                MessageBody=message.body,
                MessageAttributes=_typed(kept | why),
            )
        await self.delete(message)

    async def depth(self) -> Depth:
        """Sample the counts, which SQS gives approximately."""
        counts = await self._counts(self._url)
        dead = await self._counts(self._dead_letter_url)
        return Depth(
            visible=counts["ApproximateNumberOfMessages"],
            in_flight=counts["ApproximateNumberOfMessagesNotVisible"],
            delayed=counts["ApproximateNumberOfMessagesDelayed"],
            dead_lettered=dead["ApproximateNumberOfMessages"],
        )

    async def check(self) -> None:
        """See that the queue is there, and find its dead-letter queue."""
        with translated(f"queue ({self._url} at {self._where}; see [queue] url)"):
            answer = await self._sqs.get_queue_attributes(
                QueueUrl=self._url, AttributeNames=["RedrivePolicy"]
            )
            policy = json.loads(answer.get("Attributes", {}).get("RedrivePolicy", "{}"))
            if not self._dead_letter_url and (arn := policy.get("deadLetterTargetArn")):
                found = await self._sqs.get_queue_url(QueueName=arn.rpartition(":")[2])
                self._dead_letter_url = found["QueueUrl"]
        if not self._dead_letter_url:
            raise Unavailable(
                "queue",
                f"{self._url} has no redrive policy: give it one, or set [queue] dead_letter_url",
            )

    async def _counts(self, url: str) -> Mapping[str, int]:
        with translated("queue"):
            answer = await self._sqs.get_queue_attributes(
                QueueUrl=url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesNotVisible",
                    "ApproximateNumberOfMessagesDelayed",
                ],
            )
        return {name: int(count) for name, count in answer["Attributes"].items()}


@contextmanager
def _gone_is_fine() -> Iterator[None]:
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


def _message(received: "MessageTypeDef", now: int) -> Message:
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
        received_at=now,
    )


def _typed(attributes: Mapping[str, str]) -> "dict[str, MessageAttributeValueTypeDef]":
    return {
        name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
    }


def _clean(detail: str) -> str:
    return _NOT_XML.sub("?", detail)[:_DETAIL_CHARACTERS] or "no detail"
