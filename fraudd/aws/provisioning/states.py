"""The current state of queues, subscriptions, tables and indexes on AWS."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from fraudd.aws.provisioning.resources import Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """The attributes of a queue."""

    url: str
    arn: str
    visibility_timeout_seconds: int
    retention_seconds: int
    delay_seconds: int
    wait_seconds: int
    largest_message_bytes: int
    #: Whether SQS encrypts with a key that SQS owns.
    managed_encryption: bool
    #: The KMS key or alias that encrypts the queue instead.
    kms_key: str | None
    fifo: bool
    #: The redrive policy: SQS moves a message to this queue after ``max_receive_count`` receives.
    #: Both are None if the queue has no redrive policy.
    dead_letter_arn: str | None
    max_receive_count: int | None
    #: The access policy, as JSON.
    policy: str | None

    @property
    def name(self) -> str:
        """The name of the queue, without region and account."""
        return self.arn.rpartition(":")[2]

    @property
    def attributes(self) -> Attributes:
        """The attributes in the terms of ``resources``."""
        return {
            "VisibilityTimeout": self.visibility_timeout_seconds,
            "MessageRetentionPeriod": self.retention_seconds,
            "DelaySeconds": self.delay_seconds,
            "ReceiveMessageWaitTimeSeconds": self.wait_seconds,
            # A queue has one kind of encryption. A KMS key is as good.
            "SqsManagedSseEnabled": self.managed_encryption or self.kms_key is not None,
            "RedrivePolicy": None
            if self.dead_letter_arn is None
            else {
                "deadLetterTargetArn": self.dead_letter_arn,
                "maxReceiveCount": self.max_receive_count,
            },
            "Policy": None if self.policy is None else json.loads(self.policy),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """The subscription of a queue to a topic."""

    #: Another text until the subscription is confirmed.
    arn: str
    queue_arn: str

    @property
    def confirmed(self) -> bool:
        """Whether the owner of the queue has confirmed the subscription."""
        return self.arn.startswith("arn:")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexState:
    """The description of a global secondary index."""

    status: str
    key: tuple[str, ...]
    projection: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableState:
    """The description of a table. Keys are written as in ``resources``: ``listed_at N``."""

    status: str
    key: tuple[str, ...]
    #: Indexes by name.
    indexes: Mapping[str, IndexState]
    on_demand: bool
    deletion_protection: bool
