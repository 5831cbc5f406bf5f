"""A queue's redrive policy: after how many receives SQS moves a message, and to which queue."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fraudd.errors import Misconfigured

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Redrive:
    """What a redrive policy says; None where there is none, or it does not say."""

    #: ARN of the dead-letter queue.
    target: str | None
    #: After so many receives SQS takes a message away.
    max_receive_count: int | None


def redrive(policy: str | None) -> Redrive:
    """Read the attribute ``RedrivePolicy`` of a queue; None: it has none."""
    told: Mapping[str, Any] = json.loads(policy or "{}")
    most = told.get("maxReceiveCount")
    return Redrive(
        target=told.get("deadLetterTargetArn"),
        # Some write it as a text.
        max_receive_count=None if most is None else int(most),
    )


async def dead_letter_url(sqs: "SQSClient", url: str, of: Redrive) -> str:
    """Find where the dead-letter queue of the queue at ``url`` is reached.

    Raises ``Misconfigured`` where there is none, and what the call raises.
    """
    if of.target is None:
        raise Misconfigured(
            f"{url} has no redrive policy: give it one, or set [queue] dead_letter_url"
        )
    return (await sqs.get_queue_url(QueueName=of.target.rpartition(":")[2]))["QueueUrl"]
