"""Looks at queues, topics, subscriptions and the table; changes nothing."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from fraudd.aws.provisioning.resources import key_of
from fraudd.aws.redrive import redrive
from fraudd.aws.session import Clients, code_of, translated
from fraudd.errors import Unavailable

#: Services spell it in many ways; all of them end so, but for one of SNS's.
_DENIED = ("AccessDenied", "AccessDeniedException", "AuthorizationError")
_ABSENT = ("NonExistentQueue", "QueueDoesNotExist", "ResourceNotFoundException", "NotFound")
#: Of the caller, whatever is asked for.
_NOT_ACCEPTED = (
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
)


class Absent(Exception):
    """What was asked for is not there."""


class Denied(Exception):
    """The credentials may not look at this. ``daemon_needs_it``: nor could the daemon start."""

    def __init__(self, permission: str, resource: str, *, daemon_needs_it: bool) -> None:
        why = "the daemon needs it to start" if daemon_needs_it else "only 'fraudd check' needs it"
        super().__init__(
            f"cannot be looked at: give the role the right {permission} on {resource}; {why}"
        )
        self.daemon_needs_it = daemon_needs_it


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue's attributes."""

    url: str
    arn: str
    visibility_timeout_seconds: int
    retention_seconds: int
    delay_seconds: int
    largest_message_bytes: int
    #: Whether SQS encrypts with a key of its own.
    managed_encryption: bool
    #: The KMS key or alias that it is encrypted with instead.
    kms_key: str | None
    fifo: bool
    #: ARN of the queue that SQS moves messages to after so many receives; None: it never does.
    dead_letter_arn: str | None
    max_receive_count: int | None
    policy: str | None

    @property
    def name(self) -> str:
        """Its name, by which people know it."""
        return self.arn.rpartition(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A queue's subscription to a topic."""

    #: Its own, or another text while it is not confirmed.
    arn: str
    queue_arn: str

    @property
    def confirmed(self) -> bool:
        """Whether the queue's owner has agreed to it."""
        return self.arn.startswith("arn:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table's description; its keys, hash before range, each with its type: ``listed_at N``."""

    status: str
    key: tuple[str, ...]
    #: Indexes by name.
    indexes: Mapping[str, "Index"]
    on_demand: bool
    deletion_protection: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """A global secondary index."""

    status: str
    key: tuple[str, ...]
    projection: str


async def credentials() -> str | None:
    """Say where AWS credentials come from, as botocore calls it; None: there are none.

    Raises ``Unavailable`` where they cannot be had from there.
    """
    try:
        found = await get_session().get_credentials()
    except BotoCoreError as error:
        raise Unavailable("AWS credentials", str(error)) from error
    return found.method if found is not None else None


async def not_accepted(clients: Clients, table: str) -> str | None:
    """Say why AWS does not know the credentials; None: it does, or is out of reach."""
    try:
        await clients.dynamodb.describe_table(TableName=table)
    except ClientError as error:
        told = error.response.get("Error", {})
        if told.get("Code") in _NOT_ACCEPTED:
            return f"{told['Code']}: {told.get('Message', '')}".rstrip(": ")
    except (BotoCoreError, OSError):
        pass  # told of each part, where it is looked at
    return None


async def queue(clients: Clients, url: str) -> Queue:
    """Look at a queue; raises ``Absent``, ``Denied`` or ``Unavailable``."""
    with _asked("queue", "sqs:GetQueueAttributes", url, daemon_needs_it=True):
        answer = await clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    told: Mapping[str, str] = dict(answer["Attributes"])  # type: ignore[arg-type]
    own = redrive(told.get("RedrivePolicy"))
    return Queue(
        url=url,
        arn=told["QueueArn"],
        visibility_timeout_seconds=int(told["VisibilityTimeout"]),
        retention_seconds=int(told["MessageRetentionPeriod"]),
        delay_seconds=int(told["DelaySeconds"]),
        largest_message_bytes=int(told["MaximumMessageSize"]),
        managed_encryption=told.get("SqsManagedSseEnabled") == "true",
        kms_key=told.get("KmsMasterKeyId") or None,
        fifo=told.get("FifoQueue") == "true",
        dead_letter_arn=own.target,
        max_receive_count=own.max_receive_count,
        policy=told.get("Policy") or None,
    )


async def queue_url(clients: Clients, arn: str) -> str:
    """Find the address of a queue; raises ``Absent``, ``Denied`` or ``Unavailable``."""
    account, name = arn.split(":")[-2:]
    with _asked("queue", "sqs:GetQueueUrl", arn, daemon_needs_it=True):
        found = await clients.sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)
    return found["QueueUrl"]


async def topic(clients: Clients, arn: str) -> None:
    """See that a topic is there; raises ``Absent``, ``Denied`` or ``Unavailable``."""
    with _asked("topics", "sns:GetTopicAttributes", arn, daemon_needs_it=True):
        await clients.sns.get_topic_attributes(TopicArn=arn)


async def subscriptions(clients: Clients, topic_arn: str) -> list[Subscription]:
    """List the queues that a topic feeds; raises ``Absent``, ``Denied`` or ``Unavailable``."""
    found: list[Subscription] = []
    pages = clients.sns.get_paginator("list_subscriptions_by_topic")
    with _asked("topics", "sns:ListSubscriptionsByTopic", topic_arn):
        async for page in pages.paginate(TopicArn=topic_arn):
            found += [
                Subscription(arn=one["SubscriptionArn"], queue_arn=one["Endpoint"])
                for one in page["Subscriptions"]
                if one["Protocol"] == "sqs"
            ]
    return found


async def filter_policy(clients: Clients, subscription_arn: str) -> str | None:
    """Give what a subscription lets through; None: everything. Raises as the others do."""
    with _asked("topics", "sns:GetSubscriptionAttributes", subscription_arn):
        answer = await clients.sns.get_subscription_attributes(SubscriptionArn=subscription_arn)
    policy = answer["Attributes"].get("FilterPolicy", "")
    return policy if policy and json.loads(policy) else None


async def table(clients: Clients, name: str) -> Table:
    """Look at a table; raises ``Absent``, ``Denied`` or ``Unavailable``."""
    with _asked("store", "dynamodb:DescribeTable", f"table {name}", daemon_needs_it=True):
        told = (await clients.dynamodb.describe_table(TableName=name))["Table"]
    types = told["AttributeDefinitions"]
    return Table(
        status=told["TableStatus"],
        key=key_of(told["KeySchema"], types),
        indexes={
            index["IndexName"]: Index(
                status=index["IndexStatus"],
                key=key_of(index["KeySchema"], types),
                projection=index["Projection"]["ProjectionType"],
            )
            for index in told.get("GlobalSecondaryIndexes", [])
        },
        on_demand=told.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST",
        deletion_protection=told.get("DeletionProtectionEnabled", False),
    )


async def time_to_live(clients: Clients, name: str) -> str | None:
    """Name the attribute by which a table's items expire; None: they never do."""
    with _asked("store", "dynamodb:DescribeTimeToLive", f"table {name}"):
        answer = await clients.dynamodb.describe_time_to_live(TableName=name)
    told = answer["TimeToLiveDescription"]
    on = told.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
    return told.get("AttributeName") if on else None


async def point_in_time_recovery(clients: Clients, name: str) -> bool:
    """Whether a table can be restored as it was at a time; raises as the others do."""
    with _asked("store", "dynamodb:DescribeContinuousBackups", f"table {name}"):
        answer = await clients.dynamodb.describe_continuous_backups(TableName=name)
    told = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    return told.get("PointInTimeRecoveryStatus") == "ENABLED"


@contextmanager
def _asked(
    part: str, permission: str, resource: str, *, daemon_needs_it: bool = False
) -> Iterator[None]:
    """Tell what is not there, and what may not be seen, from what is out of reach."""
    try:
        with translated(part):
            yield
    except Unavailable as error:
        code = ""
        if isinstance(error.__cause__, ClientError):
            code = code_of(error.__cause__)
        if code in _ABSENT:
            raise Absent from error
        if code in _DENIED:
            raise Denied(permission, resource, daemon_needs_it=daemon_needs_it) from error
        raise
