"""Message attributes and redrive policies, as SNS and SQS write them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fraudd.errors import Misconfigured

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Redrive:
    """The redrive policy of a queue. Both fields are None if it has no policy."""

    #: ARN of the dead-letter queue.
    target: str | None
    #: After this number of receives, SQS moves a message to the dead-letter queue.
    max_receive_count: int | None


def string_attributes(attributes: Mapping[str, str]) -> dict[str, Any]:
    """Write message attributes of type String, in the form that SNS and SQS share."""
    return {
        name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
    }


def parse_redrive_policy(policy: str | None) -> Redrive:
    """Parse the attribute ``RedrivePolicy`` of a queue. None: the queue has no policy."""
    fields: Mapping[str, Any] = json.loads(policy or "{}")
    count = fields.get("maxReceiveCount")
    return Redrive(
        target=fields.get("deadLetterTargetArn"),
        # Some clients write the number as a string.
        max_receive_count=None if count is None else int(count),
    )


async def dead_letter_url(sqs: "SQSClient", url: str, redrive: Redrive) -> str:
    """Find the URL of the dead-letter queue of the queue at ``url``.

    Raises ``Misconfigured`` if the queue has none, and ``ClientError``.
    """
    if redrive.target is None:
        raise Misconfigured(
            f"the queue {url} has no redrive policy: set one, or set [queue] dead_letter_url"
        )
    return (await sqs.get_queue_url(QueueName=redrive.target.rpartition(":")[2]))["QueueUrl"]
