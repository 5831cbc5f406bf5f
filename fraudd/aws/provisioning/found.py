"""How the parts of an installation are on AWS: the attributes by which they are described."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from fraudd.aws.provisioning.resources import INDEX, Attributes, Part, Place, key_of
from fraudd.aws.session import Clients, code_of, translated

_NOT_THERE = ("NonExistentQueue", "NotFound", "ResourceNotFoundException")


async def find(clients: Clients, parts: Sequence[Part], place: Place) -> list[Attributes | None]:
    """Read how each part is; None for one that is not there. Raises ``Unavailable``."""
    return [await _find(clients, part, place) for part in parts]


async def queue_url(clients: Clients, name: str) -> str:
    """Where a queue is reached; a ``ClientError`` where there is none."""
    return (await clients.sqs.get_queue_url(QueueName=name))["QueueUrl"]


async def subscription_arn(clients: Clients, part: Part, place: Place) -> str | None:
    """The subscription of a queue to a topic, from the first page on that has it."""
    topic, _, queue = part.name.partition(" to ")
    endpoint = place.arn("sqs", queue)
    pages = clients.sns.get_paginator("list_subscriptions_by_topic")
    async for page in pages.paginate(TopicArn=place.arn("sns", topic)):
        for one in page["Subscriptions"]:
            if (one["Protocol"], one["Endpoint"]) == ("sqs", endpoint):
                return one["SubscriptionArn"]
    return None


async def _find(clients: Clients, part: Part, place: Place) -> Attributes | None:
    with translated(f"{part.kind} {part.name}"):
        try:
            match part.kind:
                case "topic":
                    await clients.sns.get_topic_attributes(TopicArn=place.arn("sns", part.name))
                    return {}
                case "queue":
                    return await _queue(clients, part)
                case "subscription":
                    return await _subscription(clients, part, place)
                case "table":
                    return await _table(clients, part.name)
        except ClientError as error:
            if code_of(error) not in _NOT_THERE:
                raise
            return None


async def _queue(clients: Clients, part: Part) -> Attributes:
    url = await queue_url(clients, part.name)
    answer = await clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    told: Mapping[str, str] = answer["Attributes"]  # type: ignore[assignment]
    # Numbers, true, false and policies are all JSON.
    has = {name: json.loads(text) for name in part.attributes if (text := told.get(name))}
    if "KmsMasterKeyId" in told:
        has["SqsManagedSseEnabled"] = True  # encrypted by a key of one's own, and SQS takes one
    if "RedrivePolicy" in has:
        most = has["RedrivePolicy"]["maxReceiveCount"]
        has["RedrivePolicy"]["maxReceiveCount"] = int(most)  # it may be a text
    return has


async def _subscription(clients: Clients, part: Part, place: Place) -> Attributes | None:
    arn = await subscription_arn(clients, part, place)
    if arn is None:
        return None
    answer = await clients.sns.get_subscription_attributes(SubscriptionArn=arn)
    told = answer["Attributes"]
    return {
        "RawMessageDelivery": told.get("RawMessageDelivery") == "true",
        "FilterPolicy": json.loads(told.get("FilterPolicy") or "null") or None,
    }


async def _table(clients: Clients, name: str) -> Attributes:
    table = (await clients.dynamodb.describe_table(TableName=name))["Table"]
    ttl = await clients.dynamodb.describe_time_to_live(TableName=name)
    backups = await clients.dynamodb.describe_continuous_backups(TableName=name)
    types = table["AttributeDefinitions"]
    has: dict[str, Any] = {
        "KeySchema": [*key_of(table["KeySchema"], types)],
        "BillingMode": table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
        "TimeToLive": _ttl(ttl["TimeToLiveDescription"]),
        "PointInTimeRecovery": backups["ContinuousBackupsDescription"]
        .get("PointInTimeRecoveryDescription", {})
        .get("PointInTimeRecoveryStatus")
        == "ENABLED",
        "DeletionProtection": table.get("DeletionProtectionEnabled", False),
    }
    for index in table.get("GlobalSecondaryIndexes", []):
        if index["IndexName"] == INDEX:
            has[f"Index {INDEX}"] = {
                "KeySchema": [*key_of(index["KeySchema"], types)],
                "Projection": index["Projection"]["ProjectionType"],
            }
    return has


def _ttl(described: Mapping[str, Any]) -> str | None:
    """The attribute that ends items; what is just being switched off can be changed by nobody."""
    status, attribute = described["TimeToLiveStatus"], described.get("AttributeName")
    if status == "DISABLING":
        return f"{attribute}, being switched off"
    return attribute if status in ("ENABLED", "ENABLING") else None
