"""Reads the current state of the AWS resources of an installation.

``fraudd check`` judges these states. ``fraudd provision`` compares them with what ``resources``
describes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from fraudd.aws.attributes import parse_redrive_policy
from fraudd.aws.provisioning.resources import Attributes, Part, Place, key_of
from fraudd.aws.provisioning.states import IndexState, QueueState, Subscription, TableState
from fraudd.aws.session import Clients
from fraudd.aws.table_index import INDEX
from fraudd.aws.translation import code_of, translated
from fraudd.errors import Unavailable

#: SQS reports a missing queue by its old code if the answer has the header
#: ``x-amzn-query-error``, otherwise by its new one.
_ABSENT = ("NonExistentQueue", "QueueDoesNotExist", "NotFound", "ResourceNotFoundException")
#: The services use three codes for a missing permission.
_DENIED = ("AccessDenied", "AccessDeniedException", "AuthorizationError")


class Absent(Exception):
    """The resource does not exist."""


class Denied(Exception):
    """The credentials lack a permission. ``daemon_needs_it``: the daemon needs it, too."""

    def __init__(self, permission: str, resource: str, *, daemon_needs_it: bool) -> None:
        why = (
            "the daemon cannot start without it"
            if daemon_needs_it
            else "only 'fraudd check' needs it"
        )
        super().__init__(f"access denied: allow {permission} on {resource} ({why})")
        self.daemon_needs_it = daemon_needs_it


# For ``fraudd check``: each function raises ``Absent``, ``Denied`` or ``Unavailable``.


async def queue(clients: Clients, url: str) -> QueueState:
    """Describe a queue."""
    with _checked("queue", "sqs:GetQueueAttributes", url, daemon_needs_it=True):
        return await _queue(clients, url)


async def queue_url(clients: Clients, arn: str) -> str:
    """Find the URL of a queue."""
    account, name = arn.split(":")[-2:]
    with _checked("queue", "sqs:GetQueueUrl", arn, daemon_needs_it=True):
        answer = await clients.sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)
    return answer["QueueUrl"]


async def topic(clients: Clients, arn: str) -> None:
    """Check that a topic exists."""
    with _checked("topics", "sns:GetTopicAttributes", arn, daemon_needs_it=True):
        await clients.sns.get_topic_attributes(TopicArn=arn)


async def subscriptions(clients: Clients, topic_arn: str) -> list[Subscription]:
    """List the queues that are subscribed to a topic."""
    with _checked("topics", "sns:ListSubscriptionsByTopic", topic_arn):
        return await _subscriptions(clients, topic_arn)


async def filter_policy(clients: Clients, subscription_arn: str) -> str | None:
    """Read the filter policy of a subscription, as JSON. None: every message passes."""
    with _checked("topics", "sns:GetSubscriptionAttributes", subscription_arn):
        policy = (await _subscription(clients, subscription_arn))["FilterPolicy"]
    return None if policy is None else json.dumps(policy)


async def table(clients: Clients, name: str) -> TableState:
    """Describe a table."""
    with _checked("store", "dynamodb:DescribeTable", f"table {name}", daemon_needs_it=True):
        return await _table(clients, name)


async def time_to_live(clients: Clients, name: str) -> str | None:
    """Read the attribute by which the items of a table expire. None: they never expire."""
    with _checked("store", "dynamodb:DescribeTimeToLive", f"table {name}"):
        return await _time_to_live(clients, name)


async def point_in_time_recovery(clients: Clients, name: str) -> bool:
    """Read whether a table has point-in-time recovery."""
    with _checked("store", "dynamodb:DescribeContinuousBackups", f"table {name}"):
        return await _point_in_time_recovery(clients, name)


@contextmanager
def _checked(
    part: str, permission: str, resource: str, *, daemon_needs_it: bool = False
) -> Iterator[None]:
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


# For ``fraudd provision``.


async def current_attributes(
    clients: Clients, parts: Sequence[Part], place: Place
) -> list[Attributes | None]:
    """Read the attributes of each part. None: it does not exist. Raises ``Unavailable``."""
    return [await _current_attributes(clients, part, place) for part in parts]


async def _current_attributes(clients: Clients, part: Part, place: Place) -> Attributes | None:
    with translated(f"{part.kind} {part.name}"):
        try:
            match part.kind:
                case "topic":
                    await clients.sns.get_topic_attributes(TopicArn=place.arn("sns", part.name))
                    return {}
                case "queue":
                    state = await _queue(clients, await own_queue_url(clients, part.name))
                    return {name: state.attributes[name] for name in part.attributes}
                case "subscription":
                    arn = await own_subscription_arn(clients, part, place)
                    return None if arn is None else await _subscription(clients, arn)
                case "table":
                    return await _table_attributes(clients, part.name)
        except ClientError as error:
            if code_of(error) not in _ABSENT:
                raise
            return None


async def own_queue_url(clients: Clients, name: str) -> str:
    """Find the URL of a queue in this account. Raises ``ClientError``."""
    return (await clients.sqs.get_queue_url(QueueName=name))["QueueUrl"]


async def own_subscription_arn(clients: Clients, part: Part, place: Place) -> str | None:
    """Find the ARN of a subscription in this account. Raises ``ClientError``."""
    topic_name, _, queue_name = part.name.partition(" to ")
    queue_arn = place.arn("sqs", queue_name)
    for subscription in await _subscriptions(clients, place.arn("sns", topic_name)):
        if subscription.queue_arn == queue_arn:
            return subscription.arn
    return None


async def _table_attributes(clients: Clients, name: str) -> Attributes:
    state = await _table(clients, name)
    attributes: dict[str, Any] = {
        "KeySchema": [*state.key],
        "BillingMode": "PAY_PER_REQUEST" if state.on_demand else "PROVISIONED",
        "TimeToLive": await _time_to_live(clients, name),
        "PointInTimeRecovery": await _point_in_time_recovery(clients, name),
        "DeletionProtection": state.deletion_protection,
    }
    if (index := state.indexes.get(INDEX)) is not None:
        attributes[f"Index {INDEX}"] = {"KeySchema": [*index.key], "Projection": index.projection}
    return attributes


# The calls themselves. They raise ``ClientError``.


async def _queue(clients: Clients, url: str) -> QueueState:
    answer = await clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    attributes: Mapping[str, str] = dict(answer["Attributes"])  # type: ignore[arg-type]
    redrive = parse_redrive_policy(attributes.get("RedrivePolicy"))
    return QueueState(
        url=url,
        arn=attributes["QueueArn"],
        visibility_timeout_seconds=int(attributes["VisibilityTimeout"]),
        retention_seconds=int(attributes["MessageRetentionPeriod"]),
        delay_seconds=int(attributes["DelaySeconds"]),
        wait_seconds=int(attributes.get("ReceiveMessageWaitTimeSeconds", 0)),
        largest_message_bytes=int(attributes["MaximumMessageSize"]),
        managed_encryption=attributes.get("SqsManagedSseEnabled") == "true",
        kms_key=attributes.get("KmsMasterKeyId") or None,
        fifo=attributes.get("FifoQueue") == "true",
        dead_letter_arn=redrive.target,
        max_receive_count=redrive.max_receive_count,
        policy=attributes.get("Policy") or None,
    )


async def _subscriptions(clients: Clients, topic_arn: str) -> list[Subscription]:
    pages = clients.sns.get_paginator("list_subscriptions_by_topic")
    return [
        Subscription(arn=subscription["SubscriptionArn"], queue_arn=subscription["Endpoint"])
        async for page in pages.paginate(TopicArn=topic_arn)
        for subscription in page["Subscriptions"]
        if subscription["Protocol"] == "sqs"
    ]


async def _subscription(clients: Clients, arn: str) -> Attributes:
    answer = await clients.sns.get_subscription_attributes(SubscriptionArn=arn)
    attributes = answer["Attributes"]
    return {
        "RawMessageDelivery": attributes.get("RawMessageDelivery") == "true",
        "FilterPolicy": json.loads(attributes.get("FilterPolicy") or "null") or None,
    }


async def _table(clients: Clients, name: str) -> TableState:
    described = (await clients.dynamodb.describe_table(TableName=name))["Table"]
    types = described["AttributeDefinitions"]
    return TableState(
        status=described["TableStatus"],
        key=key_of(described["KeySchema"], types),
        indexes={
            index["IndexName"]: IndexState(
                status=index["IndexStatus"],
                key=key_of(index["KeySchema"], types),
                projection=index["Projection"]["ProjectionType"],
            )
            for index in described.get("GlobalSecondaryIndexes", [])
        },
        on_demand=described.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST",
        deletion_protection=described.get("DeletionProtectionEnabled", False),
    )


async def _time_to_live(clients: Clients, name: str) -> str | None:
    answer = await clients.dynamodb.describe_time_to_live(TableName=name)
    description = answer["TimeToLiveDescription"]
    status, attribute = description.get("TimeToLiveStatus"), description.get("AttributeName")
    if status == "DISABLING":
        # DynamoDB takes an hour, and rejects every change meanwhile.
        return f"{attribute}, being switched off"
    return attribute if status in ("ENABLED", "ENABLING") else None


async def _point_in_time_recovery(clients: Clients, name: str) -> bool:
    answer = await clients.dynamodb.describe_continuous_backups(TableName=name)
    description = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    return description.get("PointInTimeRecoveryStatus") == "ENABLED"
