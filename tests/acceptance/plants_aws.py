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
        verdict="failed",
        says="table: no elsewhere at http://",
        remedy="see [results] table",
    ),
    Plant(
        name="a table with another key",
        act=table(key="shop_id"),
        verdict="failed",
        says="table: the key of NAME is shop_id S, not entity_id S",
        remedy="make another table",
    ),
    Plant(
        name="no index of what is pending",
        act=table(index=None),
        verdict="failed",
        says="table: no index by_state",
        remedy="create by_state, key listed S, listed_at N, KEYS_ONLY",
    ),
    Plant(
        name="an index with another key",
        act=table(index={**_BY_STATE, "KeySchema": _WRONG_WAY_ROUND}),
        verdict="failed",
        says="table: index by_state has the key listed_at N, listed S",
        remedy="create by_state, key listed S, listed_at N, KEYS_ONLY",
    ),
    Plant(
        name="an index that holds whole records",
        act=table(index={**_BY_STATE, "Projection": {"ProjectionType": "ALL"}}),
        verdict="warning",
        says="table: index by_state holds ALL of each record",
        remedy="create by_state, key listed S, listed_at N, KEYS_ONLY",
    ),
    Plant(
        name="records that never expire",
        act=dynamodb(
            "update_time_to_live",
            TimeToLiveSpecification={"Enabled": False, "AttributeName": "expires_at"},
        ),
        verdict="failed",
        says="table: NAME has no TTL, so that no record ever goes",
        remedy="aws dynamodb update-time-to-live --table-name NAME",
    ),
    Plant(
        name="records that expire by another attribute",
        act=_by_another_attribute,
        verdict="failed",
        says="table: NAME has TTL on finished_at",
        remedy="AttributeName=expires_at",
    ),
    Plant(
        name="no point-in-time recovery",
        act=dynamodb(
            "update_continuous_backups",
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False},
        ),
        verdict="warning",
        says="table: NAME cannot be restored as it was",
        remedy="aws dynamodb update-continuous-backups --table-name NAME",
    ),
    Plant(
        name="a table that can be deleted",
        act=dynamodb("update_table", DeletionProtectionEnabled=False),
        verdict="warning",
        says="table: NAME can be deleted by one call",
        remedy="--deletion-protection-enabled",
    ),
    Plant(
        name="provisioned capacity",
        act=dynamodb(
            "update_table",
            BillingMode="PROVISIONED",
            ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
        ),
        verdict="warning",
        says="table: NAME has provisioned capacity",
        remedy="PAY_PER_REQUEST",
    ),
    Plant(
        name="no queue",
        act=configured("url", '"http://127.0.0.1:1/0/gone"'),
        verdict="failed",
        says="queue: no http://0.0.0.0:0/0/gone at http://",
        remedy="see [queue] url",
        hides=("bulk queue", "dead-letter queue", "queue policy", "subscription"),
    ),
    Plant(
        name="a FIFO queue",
        act=_fifo,
        verdict="failed",
        says="queue: NAME.fifo is FIFO",
        remedy="fraudd needs a standard queue",
    ),
    Plant(
        name="a queue that is not encrypted",
        act=queue(SqsManagedSseEnabled="false"),
        verdict="warning",
        says="queue: not encrypted at rest",
        remedy="set SqsManagedSseEnabled to true",
    ),
    Plant(
        name="encryption by a key that no topic may use",
        act=queue(SqsManagedSseEnabled="false", KmsMasterKeyId="alias/aws/sqs"),
        verdict="failed",
        says="queue: encrypted by alias/aws/sqs, a key that no topic may use",
        remedy="set SqsManagedSseEnabled",
    ),
    Plant(
        name="a queue that delays",
        act=queue(DelaySeconds="30"),
        verdict="warning",
        says="queue: holds every message back for 0 s",
        remedy="set DelaySeconds to 0",
    ),
    Plant(
        name="a queue for small messages",
        act=queue(MaximumMessageSize="1024"),
        verdict="failed",
        says="queue: refuses messages over 0,0 bytes",
        remedy="set MaximumMessageSize to 0 at least",
    ),
    Plant(
        name="a visibility timeout of its own",
        act=queue(VisibilityTimeout="31"),
        verdict="warning",
        says="queue: fraudd hides what it receives for 0 s, but the queue's own visibility",
        remedy="set VisibilityTimeout to 0",
    ),
    Plant(
        name="a queue that soon forgets",
        act=queue(MessageRetentionPeriod="3600"),
        verdict="warning",
        says="queue: keeps messages 0 hours only",
        remedy="set MessageRetentionPeriod to 0",
    ),
    Plant(
        name="no redrive policy",
        act=_no_redrive_policy,
        verdict="failed",
        says="queue: no redrive policy",
        remedy="give it one with maxReceiveCount 0; 'fraudd provision' does",
        hides=("dead-letter queue",),
    ),
    Plant(
        name="messages moved at their second receive",
        act=moved_after(2),
        verdict="warning",
        says="queue: SQS takes a message away after 0 receives",
        remedy="set maxReceiveCount to 0",
    ),
    Plant(
        name="no dead-letter queue",
        act=_no_dead_letter_queue,
        verdict="failed",
        says="dead-letter queue: no arn:aws:sqs:eu-central-0:0:NAME-dead",
        remedy="create it; 'fraudd provision' does",
    ),
    Plant(
        name="dead letters that are gone at once",
        act=queue("-dead", MessageRetentionPeriod="345600"),
        verdict="failed",
        says="dead-letter queue: keeps messages 0 days, NAME 0 days; their age counts from",
        remedy="set MessageRetentionPeriod to 0 there, and to 0 in NAME",
    ),
    Plant(
        name="a bulk queue that keeps messages longer than the dead-letter queue",
        act=queue("-bulk", MessageRetentionPeriod="1209600"),
        verdict="failed",
        says="dead-letter queue: keeps messages 0 days, NAME-bulk 0 days; their age counts from",
        remedy="to 0 in NAME-bulk",
    ),
    Plant(
        name="dead letters that are not encrypted",
        act=queue("-dead", SqsManagedSseEnabled="false"),
        verdict="warning",
        says="dead-letter queue: not encrypted at rest",
        remedy="set SqsManagedSseEnabled to true",
    ),
    Plant(
        name="dead letters that move on",
        act=_dead_letters_that_move_on,
        verdict="warning",
        says="dead-letter queue: has a redrive policy itself",
        remedy="remove the policy",
    ),
    Plant(
        name="dead letters into the queue itself",
        act=_itself_for_dead_letters,
        verdict="failed",
        says="dead-letter queue: NAME is itself a queue that fraudd receives from",
        remedy="name another one in [queue] dead_letter_url",
    ),
    Plant(
        name="dead letters in two places",
        act=_another_dead_letter_queue,
        verdict="warning",
        says="dead-letter queue: SQS moves messages of NAME to arn:aws:sqs:",
        remedy="remove [queue] dead_letter_url",
    ),
    Plant(
        name="the queue itself for bulk",
        act=_itself_for_bulk,
        verdict="failed",
        says="bulk queue: is the queue itself",
        remedy="see [queue] bulk_url",
    ),
    Plant(
        name="a bulk queue that is fed by a topic",
        act=subscribed("requests", "-bulk"),
        verdict="failed",
        says="subscription: NAME-bulk is fed by arn:aws:sns:eu-central-0:0:NAME-requests",
        remedy="aws sns unsubscribe",
    ),
    Plant(
        name="no queue policy",
        act=queue(Policy=""),
        verdict="failed",
        says="queue policy: there is none, so arn:aws:sns:eu-central-0:0:NAME-requests may not",
        remedy="fraudd provision",
    ),
    Plant(
        name="a queue policy for another topic",
        act=policy(
            Condition={"ArnEquals": {"aws:SourceArn": "arn:aws:sns:eu-central-1:000000000000:x"}}
        ),
        verdict="failed",
        says="queue policy: arn:aws:sns:eu-central-0:0:NAME-requests may not send",
        remedy="fraudd provision",
    ),
    Plant(
        name="a queue policy for everybody",
        act=policy(Principal="*", Condition=None),
        verdict="warning",
        says="queue policy: others than arn:aws:sns:eu-central-0:0:NAME-requests may send",
        remedy="add the Condition",
    ),
    Plant(
        name="a queue policy that denies",
        act=policy(Effect="Deny", Principal="*"),
        verdict="failed",
        says="queue policy: a Deny keeps arn:aws:sns:eu-central-0:0:NAME-requests from sending",
        remedy="remove it",
    ),
    Plant(
        name="no subscription",
        act=_unsubscribed,
        verdict="failed",
        says="subscription: arn:aws:sns:eu-central-0:0:NAME-requests does not feed NAME",
        remedy="aws sns subscribe --topic-arn arn:aws:sns:eu-central-0:0:NAME-requests",
    ),
    Plant(
        name="a filter policy",
        act=subscription(FilterPolicy='{"lane": ["bulk"]}'),
        verdict="failed",
        says='subscription: its filter policy {"lane": ["bulk"]} drops events without a trace',
        remedy="--attribute-name FilterPolicy --attribute-value {}",
    ),
    Plant(
        name="a filter policy on bodies",
        act=subscription(
            FilterPolicy='{"entity_id": [{"prefix": "shop"}]}', FilterPolicyScope="MessageBody"
        ),
        verdict="failed",
        says="subscription: its filter policy",
        remedy="--attribute-name FilterPolicy --attribute-value {}",
    ),
    Plant(
        name="ends of runs that come back as requests",
        act=subscribed("completions"),
        verdict="failed",
        says="subscription: NAME is fed by arn:aws:sns:eu-central-0:0:NAME-completions",
        remedy="aws sns unsubscribe",
    ),
    Plant(
        name="one topic for both",
        act=_one_topic_for_both,
        verdict="failed",
        says="topics: requests_arn and completions_arn are both arn:aws:sns:",
        remedy="make another topic; see [topics]",
        hides=("topic of requests", "topic of completions", "queue policy", "subscription"),
    ),
    Plant(
        name="a FIFO topic",
        act=_fifo_topic,
        verdict="failed",
        says="topic of completions: arn:aws:sns:eu-central-0:0:NAME.fifo is FIFO",
        remedy="make a standard one; see [topics] completions_arn",
    ),
    Plant(
        name="no topic of completions",
        act=configured("completions_arn", '"arn:aws:sns:eu-central-1:000000000000:gone"'),
        verdict="failed",
        says="topic of completions: no arn:aws:sns:eu-central-0:0:gone at http://",
        remedy="see [topics] completions_arn",
    ),
]
