"""Messages in SQS, fed by SNS."""

import json
from typing import Any

import pytest

from fraudd.aws.provisioning.apply import provision
from fraudd.aws.session import Clients
from fraudd.aws.sns import SnsTopics
from fraudd.aws.sqs import SqsQueue
from fraudd.clock import SystemClock
from fraudd.errors import Misconfigured, Unavailable
from fraudd.ports import Message
from fraudd.prediction.events import Completion, RequestEvent, parse_request
from fraudd.prediction.formats import new_ulid
from tests.stack.aws import Aws
from tests.stack.times import NOW

EVENT = RequestEvent(entity_id="shop-1", run_id=new_ulid(NOW, 1), requested_at=NOW)


def event_of(message: Message) -> RequestEvent:
    return parse_request(message.body, attributes=message.attributes, sent_at=message.sent_at)


async def dead_letters(aws: Aws) -> list[Any]:
    url = (await aws.clients.sqs.get_queue_url(QueueName=f"{aws.names.table}-dead"))["QueueUrl"]
    answer = await aws.clients.sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )
    return answer.get("Messages", [])


async def test_a_request_published_is_received_once_deleted_and_gone(aws: Aws) -> None:
    await aws.topics.request(EVENT)
    [message] = await aws.queue.receive(10)
    assert event_of(message).run_id == EVENT.run_id
    assert message.receive_count == 1
    assert (await aws.queue.depth()).in_flight == 1
    await aws.queue.delete(message)
    await aws.queue.delete(message)
    depth = await aws.queue.depth()
    assert (depth.visible, depth.in_flight, depth.delayed, depth.dead_lettered) == (0, 0, 0, 0)


async def test_a_message_that_is_gone_can_be_hidden_without_harm(aws: Aws) -> None:
    await aws.topics.request(EVENT)
    [message] = await aws.queue.receive(1)
    await aws.queue.delete(message)
    await aws.queue.hide(message, 5)
    assert (await aws.queue.depth()).visible == 0


async def test_a_message_given_back_at_once_is_seen_again_and_counted(aws: Aws) -> None:
    await aws.topics.request(EVENT)
    [message] = await aws.queue.receive(1)
    await aws.queue.hide(message, 0)
    [again] = await aws.queue.receive(1)
    assert again.message_id == message.message_id
    assert again.receive_count == 2


async def test_a_message_in_hand_is_hidden_from_others(aws: Aws) -> None:
    await aws.topics.request(EVENT)
    assert len(await aws.queue.receive(1)) == 1
    assert await aws.queue.receive(1) == []


async def test_an_envelope_of_sns_is_understood_where_raw_delivery_is_off(aws: Aws) -> None:
    subscriptions = await aws.clients.sns.list_subscriptions_by_topic(
        TopicArn=aws.names.requests_arn
    )
    await aws.clients.sns.set_subscription_attributes(
        SubscriptionArn=subscriptions["Subscriptions"][0]["SubscriptionArn"],
        AttributeName="RawMessageDelivery",
        AttributeValue="false",
    )
    await aws.topics.request(EVENT)
    [message] = await aws.queue.receive(1)
    assert "Notification" in message.body
    assert event_of(message).run_id == EVENT.run_id


async def test_a_dead_letter_says_why_and_keeps_body_and_attributes(aws: Aws) -> None:
    await aws.clients.sqs.send_message(
        QueueUrl=aws.names.queue_url,
        MessageBody="nonsense",
        MessageAttributes={
            f"theirs-{n}": {"DataType": "String", "StringValue": str(n)} for n in range(10)
        },
    )
    [message] = await aws.queue.receive(1)
    await aws.queue.dead_letter(message, reason="malformed", detail="not\x00JSON " + "x" * 9_999)
    [dead] = await dead_letters(aws)
    attributes = {name: value["StringValue"] for name, value in dead["MessageAttributes"].items()}
    assert dead["Body"] == "nonsense"
    assert attributes["fraudd.reason"] == "malformed"
    assert attributes["fraudd.detail"].startswith("not?JSON xxx")
    assert len(attributes["fraudd.detail"]) == 500
    assert len(attributes) == 10
    assert (await aws.queue.depth()).in_flight == 0


async def test_subscribers_get_the_completion_with_attributes_to_filter_by(aws: Aws) -> None:
    url = (await aws.clients.sqs.create_queue(QueueName=f"{aws.names.table}-subscriber"))[
        "QueueUrl"
    ]
    attributes = await aws.clients.sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["QueueArn"]
    )
    await aws.clients.sns.subscribe(
        TopicArn=aws.names.completions_arn,
        Protocol="sqs",
        Endpoint=attributes["Attributes"]["QueueArn"],
        Attributes={
            "RawMessageDelivery": "true",
            "FilterPolicy": json.dumps({"decision": ["block"]}),
        },
    )
    for decision in ("approve", "block"):
        await aws.topics.announce(
            Completion(event={"subject": decision}, attributes={"decision": decision})
        )
    answer = await aws.clients.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    assert [json.loads(m["Body"])["subject"] for m in answer["Messages"]] == ["block"]


async def test_provisioning_twice_changes_nothing(aws: Aws) -> None:
    again = await provision(aws.clients, aws.names.table, visibility_timeout_seconds=30)
    assert again == aws.names
    await aws.topics.request(EVENT)
    assert len(await aws.queue.receive(10)) == 1
    assert await aws.queue.receive(10) == []


async def test_a_queue_without_a_dead_letter_queue_is_refused(aws_clients: Clients) -> None:
    url = (await aws_clients.sqs.create_queue(QueueName="bare"))["QueueUrl"]
    queue = SqsQueue(
        aws_clients,
        url=url,
        dead_letter_url=None,
        wait_seconds=0,
        visibility_timeout_seconds=30,
        clock=SystemClock(),
    )
    with pytest.raises(Misconfigured, match="no redrive policy: set one, or set"):
        await queue.check()


async def test_what_is_not_there_is_told_with_where_and_what_to_look_at(
    aws: Aws, aws_clients: Clients
) -> None:
    await aws.topics.check()
    topics = SnsTopics(
        aws_clients,
        requests_arn="arn:aws:sns:eu-central-1:000000000000:nowhere",
        completions_arn=aws.names.completions_arn,
    )
    with pytest.raises(Unavailable, match=r"nowhere at http://127.*see \[topics\]"):
        await topics.check()
    queue = SqsQueue(
        aws_clients,
        url=f"{aws.names.queue_url}-nowhere",
        dead_letter_url=None,
        wait_seconds=0,
        visibility_timeout_seconds=30,
        clock=SystemClock(),
    )
    with pytest.raises(Unavailable, match=r"-nowhere at http://127.*see \[queue\] url"):
        await queue.check()
