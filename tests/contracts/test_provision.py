"""Provisioning on two emulators of AWS: it creates, corrects differences, deletes nothing."""

import json
from itertools import count
from typing import Any

import pytest

from fraudd.aws.provisioning.apply import Provisioned, provision, whereabouts
from fraudd.aws.provisioning.describe import current_attributes
from fraudd.aws.provisioning.plan import Step, plan
from fraudd.aws.provisioning.resources import Part, Place, installation
from fraudd.aws.session import Clients
from fraudd.errors import Misconfigured

_numbers = count(1)
VISIBILITY_SECONDS = 30


@pytest.fixture(params=["aws_clients", pytest.param("moto", marks=pytest.mark.slow)])
def clients(request: pytest.FixtureRequest) -> Clients:
    """Clients of one emulator, and of the other one."""
    emulator: Clients = request.getfixturevalue(request.param)
    return emulator


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"made-{next(_numbers)}"


async def make(clients: Clients, name: str) -> Provisioned:
    return await provision(clients, name, visibility_timeout_seconds=VISIBILITY_SECONDS)


async def planned(clients: Clients, name: str) -> tuple[Step, ...]:
    place = await whereabouts(clients)
    parts = described(name, place)
    return plan(parts, await current_attributes(clients, parts, place))


def described(name: str, place: Place) -> tuple[Part, ...]:
    return installation(name, place, visibility_timeout_seconds=VISIBILITY_SECONDS)


def changes(steps: tuple[Step, ...]) -> dict[str, dict[str, Any]]:
    return {
        step.part.kind if step.part.kind != "queue" else step.part.name: {
            change.attribute: (change.old, change.new) for change in step.changes
        }
        for step in steps
        if step.action != "keep"
    }


async def test_all_is_made_as_described_and_a_second_time_nothing_is_changed(
    clients: Clients, name: str
) -> None:
    assert {step.action for step in await planned(clients, name)} == {"create"}
    made = await make(clients, name)
    place = await whereabouts(clients)
    parts = described(name, place)
    found = await current_attributes(clients, parts, place)
    for part, has in zip(parts, found, strict=True):
        wanted = {key: value for key, value in part.attributes.items() if value is not None}
        assert {key: value for key, value in (has or {}).items() if value is not None} == wanted
    assert {step.action for step in await planned(clients, name)} == {"keep"}
    assert await make(clients, name) == made


async def test_an_event_of_the_topic_comes_to_the_queue_and_to_no_other(
    clients: Clients, name: str
) -> None:
    made = await make(clients, name)
    await clients.sns.publish(TopicArn=made.requests_arn, Message="an event")
    answer = await clients.sqs.receive_message(QueueUrl=made.queue_url, WaitTimeSeconds=2)
    assert [message["Body"] for message in answer["Messages"]] == ["an event"]
    for url in (made.bulk_url, made.dead_letter_url):
        answer = await clients.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=0)
        assert not answer.get("Messages")


async def test_what_somebody_changed_is_told_and_mended(clients: Clients, name: str) -> None:
    made = await make(clients, name)
    subscriptions = await clients.sns.list_subscriptions_by_topic(TopicArn=made.requests_arn)
    arn = subscriptions["Subscriptions"][0]["SubscriptionArn"]
    for key, value in (("RawMessageDelivery", "false"), ("FilterPolicy", '{"lane": ["bulk"]}')):
        await clients.sns.set_subscription_attributes(
            SubscriptionArn=arn, AttributeName=key, AttributeValue=value
        )
    # In one call: moto, unlike AWS, drops a policy that is missing from a change.
    await clients.sqs.set_queue_attributes(
        QueueUrl=made.queue_url,
        Attributes={"VisibilityTimeout": "7", "MessageRetentionPeriod": "60", "Policy": ""},
    )
    await clients.dynamodb.update_time_to_live(
        TableName=name,
        TimeToLiveSpecification={"Enabled": False, "AttributeName": "expires_at"},
    )
    await clients.dynamodb.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
    )
    await clients.dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)

    place = await whereabouts(clients)
    [policy] = [
        part.attributes["Policy"]
        for part in described(name, place)
        if (part.kind, part.name) == ("queue", name)
    ]
    assert changes(await planned(clients, name)) == {
        "subscription": {
            "RawMessageDelivery": (False, True),
            "FilterPolicy": ({"lane": ["bulk"]}, None),
        },
        name: {
            "VisibilityTimeout": (7, VISIBILITY_SECONDS),
            "MessageRetentionPeriod": (60, 345_600),
            "Policy": (None, policy),
        },
        "table": {
            "TimeToLive": (None, "expires_at"),
            "PointInTimeRecovery": (False, True),
            "DeletionProtection": (False, True),
        },
    }
    await make(clients, name)
    assert changes(await planned(clients, name)) == {}


async def test_what_is_there_and_not_described_stays(clients: Clients, name: str) -> None:
    made = await make(clients, name)
    other = (await clients.sqs.create_queue(QueueName=f"{name}-other"))["QueueUrl"]
    place = await whereabouts(clients)
    await clients.sns.subscribe(
        TopicArn=made.requests_arn,
        Protocol="sqs",
        Endpoint=place.arn("sqs", f"{name}-other"),
        Attributes={"FilterPolicy": json.dumps({"decision": ["block"]})},
    )
    await clients.sqs.send_message(QueueUrl=made.queue_url, MessageBody="one")
    await clients.dynamodb.put_item(TableName=name, Item={"entity_id": {"S": "shop-1"}})
    await clients.sqs.set_queue_attributes(
        QueueUrl=made.queue_url,
        Attributes={"VisibilityTimeout": "7", "MaximumMessageSize": "9000"},
    )
    assert await make(clients, name) == made
    received = await clients.sqs.receive_message(QueueUrl=made.queue_url, WaitTimeSeconds=2)
    assert [message["Body"] for message in received["Messages"]] == ["one"]
    item = await clients.dynamodb.get_item(TableName=name, Key={"entity_id": {"S": "shop-1"}})
    assert "Item" in item
    told = await clients.sns.list_subscriptions_by_topic(TopicArn=made.requests_arn)
    assert len(told["Subscriptions"]) == 2
    size = await clients.sqs.get_queue_attributes(
        QueueUrl=made.queue_url, AttributeNames=["MaximumMessageSize"]
    )
    assert size["Attributes"]["MaximumMessageSize"] == "9000"
    await clients.sqs.delete_queue(QueueUrl=other)


async def table(clients: Clients, name: str, *, key: str = "entity_id", index: Any = None) -> None:
    attributes = {key} | {part["AttributeName"] for part in (index or {}).get("KeySchema", [])}
    more: Any = {"GlobalSecondaryIndexes": [index]} if index else {}
    await clients.dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": one, "AttributeType": "S"} for one in sorted(attributes)
        ],
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        **more,
    )


async def test_a_table_without_its_index_gets_it_and_keeps_its_records(
    clients: Clients, name: str
) -> None:
    await table(clients, name)
    await clients.dynamodb.put_item(
        TableName=name,
        Item={
            "entity_id": {"S": "shop-1"},
            "listed": {"S": "pending#0"},
            "listed_at": {"N": "1"},
        },
    )
    await make(clients, name)
    answer = await clients.dynamodb.query(
        TableName=name,
        IndexName="by_state",
        KeyConditionExpression="listed = :listed",
        ExpressionAttributeValues={":listed": {"S": "pending#0"}},
    )
    assert [item["entity_id"]["S"] for item in answer["Items"]] == ["shop-1"]
    assert changes(await planned(clients, name)) == {}


OTHER_INDEX = {
    "IndexName": "by_state",
    "KeySchema": [{"AttributeName": "state", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "ALL"},
}


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"key": "id"}, r"KeySchema is \['id S'\], not \['entity_id S'\]: .* use another name"),
        ({"index": OTHER_INDEX}, "Index by_state is .*'state S'.*: an index cannot be changed"),
    ],
)
async def test_what_could_only_be_replaced_is_refused_before_anything_is_made(
    clients: Clients, name: str, made: Any, told: str
) -> None:
    await table(clients, name, **made)
    with pytest.raises(Misconfigured, match=told):
        await make(clients, name)
    actions = {step.part.name: step.action for step in await planned(clients, name)}
    assert actions.pop(name) == "refuse", "the table comes last, and has the queue's name"
    assert set(actions.values()) == {"create"}
