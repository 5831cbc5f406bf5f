"""Misconfigurations on AWS: table, queues, topics, and the way between them."""

import json
from collections.abc import Mapping
from typing import Any

from tests.acceptance.installation import Installation
from tests.acceptance.plants import Act, Plant, configured

_BY_STATE: Mapping[str, Any] = {
    "IndexName": "by_state",
    "KeySchema": [
        {"AttributeName": "listed", "KeyType": "HASH"},
        {"AttributeName": "listed_at", "KeyType": "RANGE"},
    ],
    "Projection": {"ProjectionType": "KEYS_ONLY"},
}
_WRONG_WAY_ROUND = [
    {"AttributeName": "listed_at", "KeyType": "HASH"},
    {"AttributeName": "listed", "KeyType": "RANGE"},
]


def queue(name: str = "", **attributes: str) -> Act:
    """Set attributes of the queue, or of that with another ending of its name."""

    async def act(one: Installation) -> None:
        await one.set_queue(name, attributes)

    return act


def policy(**changes: Any) -> Act:
    """Change the statement that lets the topic send, and leave it alone in the policy."""

    async def act(one: Installation) -> None:
        whole = json.loads(await one.queue_attribute("Policy"))
        [statement] = [each for each in whole["Statement"] if each["Effect"] == "Allow"]
        changed = {key: value for key, value in {**statement, **changes}.items() if value}
        await one.set_queue("", {"Policy": json.dumps({**whole, "Statement": [changed]})})

    return act


def subscription(**attributes: str) -> Act:
    """Set attributes of the subscription."""

    async def act(one: Installation) -> None:
        for name, value in attributes.items():
            await one.aws.clients.sns.set_subscription_attributes(
                SubscriptionArn=await one.subscription(), AttributeName=name, AttributeValue=value
            )

    return act


def table(*, key: str = "entity_id", index: Mapping[str, Any] | None = _BY_STATE) -> Act:
    """Make the table anew, with another key or index."""

    async def act(one: Installation) -> None:
        dynamodb: Any = one.aws.clients.dynamodb
        name = one.aws.names.table
        await dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
        await dynamodb.delete_table(TableName=name)
        types = {key: "S"} | ({"listed": "S", "listed_at": "N"} if index else {})
        await dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            DeletionProtectionEnabled=True,
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": type_} for name, type_ in types.items()
            ],
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            **({"GlobalSecondaryIndexes": [index]} if index else {}),
        )
        await _expire(one, Enabled=True, AttributeName="expires_at")
        await dynamodb.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )

    return act


def dynamodb(operation: str, **arguments: Any) -> Act:
    """Call DynamoDB about the table."""

    async def act(one: Installation) -> None:
        call = getattr(one.aws.clients.dynamodb, operation)
        await call(TableName=one.aws.names.table, **arguments)

    return act


async def _expire(one: Installation, **specification: Any) -> None:
    clients: Any = one.aws.clients
    await clients.dynamodb.update_time_to_live(
        TableName=one.aws.names.table, TimeToLiveSpecification=specification
    )


async def _by_another_attribute(one: Installation) -> None:
    await _expire(one, Enabled=False, AttributeName="expires_at")
    await _expire(one, Enabled=True, AttributeName="finished_at")


async def _no_redrive_policy(one: Installation) -> None:
    await one.set_queue("", {"RedrivePolicy": ""})


def moved_after(receives: int, *, to: str = "-dead") -> Act:
    """Let SQS move messages after so many receives, to the queue with an ending of the name."""

    async def act(one: Installation) -> None:
        arn = await one.queue_attribute("QueueArn")
        redrive = {"deadLetterTargetArn": f"{arn}{to}", "maxReceiveCount": receives}
        await one.set_queue("", {"RedrivePolicy": json.dumps(redrive)})

    return act


async def _no_dead_letter_queue(one: Installation) -> None:
    await one.aws.clients.sqs.delete_queue(QueueUrl=one.aws.names.dead_letter_url)


async def _another_dead_letter_queue(one: Installation) -> None:
    made = await one.aws.clients.sqs.create_queue(
        QueueName=f"{one.aws.names.table}-lost",
        Attributes={"MessageRetentionPeriod": "1209600", "SqsManagedSseEnabled": "true"},
    )
    one.add("queue", f'dead_letter_url = "{made["QueueUrl"]}"')
    await one.set_queue("-bulk", {"RedrivePolicy": await _redrive_to(one, "-lost")})


async def _redrive_to(one: Installation, ending: str) -> str:
    arn = await one.queue_attribute("QueueArn")
    return json.dumps({"deadLetterTargetArn": f"{arn}{ending}", "maxReceiveCount": 10})


async def _itself_for_dead_letters(one: Installation) -> None:
    one.add("queue", f'dead_letter_url = "{one.aws.names.queue_url}"')


async def _itself_for_bulk(one: Installation) -> None:
    one.change("bulk_url", f'bulk_url = "{one.aws.names.queue_url}"')


async def _dead_letters_that_move_on(one: Installation) -> None:
    await one.set_queue("-dead", {"RedrivePolicy": await _redrive_to(one, "-bulk")})


async def _fifo(one: Installation) -> None:
    sqs: Any = one.aws.clients.sqs
    old = one.aws.names.queue_url
    answer = await sqs.get_queue_attributes(QueueUrl=old, AttributeNames=["All"])
    same = ("VisibilityTimeout", "RedrivePolicy", "SqsManagedSseEnabled", "MessageRetentionPeriod")
    made = await sqs.create_queue(
        QueueName=f"{one.aws.names.table}.fifo",
        Attributes={"FifoQueue": "true"} | {name: answer["Attributes"][name] for name in same},
    )
    policy = answer["Attributes"]["Policy"].replace(
        f'{one.aws.names.table}"', f'{one.aws.names.table}.fifo"'
    )
    await sqs.set_queue_attributes(QueueUrl=made["QueueUrl"], Attributes={"Policy": policy})
    arn = f"{answer['Attributes']['QueueArn']}.fifo"
    await one.aws.clients.sns.subscribe(
        TopicArn=one.aws.names.requests_arn, Protocol="sqs", Endpoint=arn
    )
    one.change("url", f'url = "{made["QueueUrl"]}"')


async def _unsubscribed(one: Installation) -> None:
    await one.aws.clients.sns.unsubscribe(SubscriptionArn=await one.subscription())


def subscribed(topic: str, ending: str = "") -> Act:
    """Let a topic feed the queue, or that with another ending of its name."""

    async def act(one: Installation) -> None:
        await one.aws.clients.sns.subscribe(
            TopicArn=getattr(one.aws.names, f"{topic}_arn"),
            Protocol="sqs",
            Endpoint=await one.queue_attribute("QueueArn") + ending,
        )

    return act


async def _fifo_topic(one: Installation) -> None:
    made = await one.aws.clients.sns.create_topic(
        Name=f"{one.aws.names.table}.fifo", Attributes={"FifoTopic": "true"}
    )
    one.change("completions_arn", f'completions_arn = "{made["TopicArn"]}"')


async def _one_topic_for_both(one: Installation) -> None:
    one.change("completions_arn", f'completions_arn = "{one.aws.names.requests_arn}"')


PLANTS = [
    Plant(
        name="no table",
        act=configured("table", '"elsewhere"'),
        level="failed",
        says="table: elsewhere does not exist at http://",
        remedy="correct [results] table",
    ),
    Plant(
        name="a table with another key",
        act=table(key="shop_id"),
        level="failed",
        says="table: the key of NAME is shop_id S, not entity_id S",
        remedy="create another table with 'fraudd provision'",
    ),
    Plant(
        name="no index of what is pending",
        act=table(index=None),
        level="failed",
        says="table: the index by_state of",
        remedy="run 'fraudd provision'",
    ),
    Plant(
        name="an index with another key",
        act=table(index={**_BY_STATE, "KeySchema": _WRONG_WAY_ROUND}),
        level="failed",
        says="table: index by_state has the key listed_at N, listed S",
        remedy="create by_state, key listed S, listed_at N, KEYS_ONLY",
    ),
    Plant(
        name="an index that holds whole records",
        act=table(index={**_BY_STATE, "Projection": {"ProjectionType": "ALL"}}),
        level="warning",
        says="table: index by_state projects ALL",
        remedy="create by_state, key listed S, listed_at N, KEYS_ONLY",
    ),
    Plant(
        name="records that never expire",
        act=dynamodb(
            "update_time_to_live",
            TimeToLiveSpecification={"Enabled": False, "AttributeName": "expires_at"},
        ),
        level="failed",
        says="table: NAME has no TTL, so no record ever expires",
        remedy="aws dynamodb update-time-to-live --table-name NAME",
    ),
    Plant(
        name="records that expire by another attribute",
        act=_by_another_attribute,
        level="failed",
        says="table: NAME has its TTL on finished_at",
        remedy="AttributeName=expires_at",
    ),
    Plant(
        name="no point-in-time recovery",
        act=dynamodb(
            "update_continuous_backups",
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False},
        ),
        level="warning",
        says="table: NAME cannot be restored",
        remedy="aws dynamodb update-continuous-backups --table-name NAME",
    ),
    Plant(
        name="a table that can be deleted",
        act=dynamodb("update_table", DeletionProtectionEnabled=False),
        level="warning",
        says="table: one call can delete NAME",
        remedy="--deletion-protection-enabled",
    ),
    Plant(
        name="provisioned capacity",
        act=dynamodb(
            "update_table",
            BillingMode="PROVISIONED",
            ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
        ),
        level="warning",
        says="table: NAME has provisioned capacity",
        remedy="PAY_PER_REQUEST",
    ),
    Plant(
        name="no queue",
        act=configured("url", '"http://127.0.0.1:1/0/gone"'),
        level="failed",
        says="queue: http://0.0.0.0:0/0/gone does not exist at http://",
        remedy="correct [queue] url",
        hides=("bulk queue", "dead-letter queue", "queue policy", "subscription"),
    ),
    Plant(
        name="a FIFO queue",
        act=_fifo,
        level="failed",
        says="queue: NAME.fifo is a FIFO queue; fraudd needs a standard queue",
        remedy="create a standard queue",
        touches=(
            "bulk queue",
            "dead-letter queue",
            "queue policy",
            "subscription",
        ),
    ),
    Plant(
        name="a queue that is not encrypted",
        act=queue(SqsManagedSseEnabled="false"),
        level="warning",
        says="queue: not encrypted at rest",
        remedy="set SqsManagedSseEnabled to true",
    ),
    Plant(
        name="encryption by a key that no topic may use",
        act=queue(SqsManagedSseEnabled="false", KmsMasterKeyId="alias/aws/sqs"),
        level="failed",
        says="queue: encrypted by alias/aws/sqs, a key that no topic may use",
        remedy="set SqsManagedSseEnabled",
    ),
    Plant(
        name="a queue that delays",
        act=queue(DelaySeconds="30"),
        level="warning",
        says="queue: delays every message by 0 s",
        remedy="set DelaySeconds to 0",
    ),
    Plant(
        name="a queue for small messages",
        act=queue(MaximumMessageSize="1024"),
        level="failed",
        says="queue: rejects messages over 0,0 bytes",
        remedy="set MaximumMessageSize to 0 or more",
    ),
    Plant(
        name="a visibility timeout of its own",
        act=queue(VisibilityTimeout="31"),
        level="warning",
        says="queue: its visibility timeout is 0 s, but fraudd uses 0 s",
        remedy="set VisibilityTimeout to 0",
    ),
    Plant(
        name="a queue that soon forgets",
        act=queue(MessageRetentionPeriod="3600"),
        level="warning",
        says="queue: keeps messages for only 0 hours",
        remedy="set MessageRetentionPeriod to 0",
    ),
    Plant(
        name="no redrive policy",
        act=_no_redrive_policy,
        level="failed",
        says="queue: no redrive policy, so a poison message would be redelivered forever",
        remedy="set maxReceiveCount to 0, or run 'fraudd provision'",
        hides=("dead-letter queue",),
    ),
    Plant(
        name="messages moved at their second receive",
        act=moved_after(2),
        level="warning",
        says="queue: SQS dead-letters a message after 0 receives",
        remedy="set maxReceiveCount to 0",
    ),
    Plant(
        name="no dead-letter queue",
        act=_no_dead_letter_queue,
        level="failed",
        says="dead-letter queue: the queue's redrive policy names"
        " arn:aws:sqs:eu-central-0:0:NAME-dead, which does not exist",
        remedy="run 'fraudd provision'",
    ),
    Plant(
        name="dead letters that are gone at once",
        act=queue("-dead", MessageRetentionPeriod="345600"),
        level="failed",
        says="dead-letter queue: keeps messages for 0 days, NAME for 0 days; a message keeps",
        remedy="set MessageRetentionPeriod to 0 here, and to 0 in NAME",
    ),
    Plant(
        name="a bulk queue that keeps messages longer than the dead-letter queue",
        act=queue("-bulk", MessageRetentionPeriod="1209600"),
        level="failed",
        says="dead-letter queue: keeps messages for 0 days, NAME-bulk for 0 days; a message keeps",
        remedy="to 0 in NAME-bulk",
    ),
    Plant(
        name="dead letters that are not encrypted",
        act=queue("-dead", SqsManagedSseEnabled="false"),
        level="warning",
        says="dead-letter queue: not encrypted at rest",
        remedy="set SqsManagedSseEnabled to true",
    ),
    Plant(
        name="dead letters that move on",
        act=_dead_letters_that_move_on,
        level="warning",
        says="dead-letter queue: has a redrive policy itself",
        remedy="remove its redrive policy",
    ),
    Plant(
        name="dead letters into the queue itself",
        act=_itself_for_dead_letters,
        level="failed",
        says="dead-letter queue: NAME is a queue that fraudd polls",
        remedy="name another queue in [queue] dead_letter_url",
    ),
    Plant(
        name="dead letters in two places",
        act=_another_dead_letter_queue,
        level="warning",
        says="dead-letter queue: SQS moves messages of NAME to arn:aws:sqs:",
        remedy="remove [queue] dead_letter_url",
    ),
    Plant(
        name="the queue itself for bulk",
        act=_itself_for_bulk,
        level="failed",
        says="bulk queue: is the same queue as [queue] url",
        remedy="name another queue in [queue] bulk_url",
        touches=("subscription",),
    ),
    Plant(
        name="a bulk queue that is fed by a topic",
        act=subscribed("requests", "-bulk"),
        level="failed",
        says="subscription: queue NAME-bulk is subscribed to the wrong topic arn:aws:sns:",
        has="NAME-requests",
        remedy="aws sns unsubscribe",
    ),
    Plant(
        name="no queue policy",
        act=queue(Policy=""),
        level="failed",
        says="queue policy: none, so arn:aws:sns:eu-central-0:0:NAME-requests cannot send",
        remedy="fraudd provision",
    ),
    Plant(
        name="a queue policy for another topic",
        act=policy(
            Condition={"ArnEquals": {"aws:SourceArn": "arn:aws:sns:eu-central-1:000000000000:x"}}
        ),
        level="failed",
        says="queue policy: does not allow arn:aws:sns:eu-central-0:0:NAME-requests to send",
        remedy="fraudd provision",
    ),
    Plant(
        name="a queue policy for everybody",
        act=policy(Principal="*", Condition=None),
        level="warning",
        says="queue policy: allows topics of every account to send",
        remedy="add the Condition",
    ),
    Plant(
        name="a queue policy that denies",
        act=policy(Effect="Deny", Principal="*"),
        level="failed",
        says="queue policy: a Deny prevents arn:aws:sns:eu-central-0:0:NAME-requests from sending",
        remedy="remove the Deny statement",
    ),
    Plant(
        name="no subscription",
        act=_unsubscribed,
        level="failed",
        says="subscription: NAME is not subscribed to arn:aws:sns:eu-central-0:0:NAME-requests",
        remedy="aws sns subscribe --topic-arn arn:aws:sns:eu-central-0:0:NAME-requests",
    ),
    Plant(
        name="a filter policy",
        act=subscription(FilterPolicy='{"lane": ["bulk"]}'),
        level="failed",
        says='subscription: its filter policy {"lane": ["bulk"]} silently drops events',
        remedy="--attribute-name FilterPolicy --attribute-value {}",
    ),
    Plant(
        name="a filter policy on bodies",
        act=subscription(
            FilterPolicy='{"entity_id": [{"prefix": "shop"}]}', FilterPolicyScope="MessageBody"
        ),
        level="failed",
        says="subscription: its filter policy",
        remedy="--attribute-name FilterPolicy --attribute-value {}",
    ),
    Plant(
        name="ends of runs that come back as requests",
        act=subscribed("completions"),
        level="failed",
        says="subscription: queue NAME is subscribed to the wrong topic arn:aws:sns:",
        has="NAME-completions",
        remedy="aws sns unsubscribe",
    ),
    Plant(
        name="one topic for both",
        act=_one_topic_for_both,
        level="failed",
        says="topics: requests_arn and completions_arn are both arn:aws:sns:",
        remedy="create another topic, and correct [topics]",
        hides=("topic of requests", "topic of completions", "queue policy", "subscription"),
    ),
    Plant(
        name="a FIFO topic",
        act=_fifo_topic,
        level="failed",
        says="topic of completions: arn:aws:sns:eu-central-0:0:NAME.fifo is a FIFO topic",
        remedy="create a standard topic, and correct [topics] completions_arn",
    ),
    Plant(
        name="no topic of completions",
        act=configured("completions_arn", '"arn:aws:sns:eu-central-1:000000000000:gone"'),
        level="failed",
        says="topic of completions: arn:aws:sns:eu-central-0:0:gone does not exist at http://",
        remedy="correct [topics] completions_arn",
    ),
]
