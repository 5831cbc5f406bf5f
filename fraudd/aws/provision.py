"""Creates what fraudd needs on AWS: two topics, a queue with its dead-letter queue, a table."""

import json
from dataclasses import dataclass

from botocore.exceptions import ClientError

from fraudd.aws.session import Clients, translated

#: What ten processes in a row died with is not worth an eleventh.
MAX_RECEIVE_COUNT = 10
#: The longest that SQS keeps a message: an operator may be on holiday.
_FORTNIGHT_SECONDS = 14 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned:
    """The names under which the parts are reached."""

    queue_url: str
    requests_arn: str
    completions_arn: str
    table: str


async def provision(clients: Clients, name: str, *, visibility_timeout_seconds: int) -> Provisioned:
    """Create whatever is not there yet; all is named after ``name``. Raises ``Unavailable``."""
    with translated("topics"):
        requests = (await clients.sns.create_topic(Name=f"{name}-requests"))["TopicArn"]
        completions = (await clients.sns.create_topic(Name=f"{name}-completions"))["TopicArn"]
    with translated("queue"):
        queue_url, queue_arn = await _queues(clients, name, requests, visibility_timeout_seconds)
    with translated("topics"):
        # No filter policy: one that asks for an attribute drops events without it, silently.
        await clients.sns.subscribe(
            TopicArn=requests,
            Protocol="sqs",
            Endpoint=queue_arn,
            Attributes={"RawMessageDelivery": "true"},
        )
    with translated("store"):
        await _table(clients, name)
    return Provisioned(
        queue_url=queue_url, requests_arn=requests, completions_arn=completions, table=name
    )


async def _queues(
    clients: Clients, name: str, topic_arn: str, visibility_timeout_seconds: int
) -> tuple[str, str]:
    """Create both queues; gives URL and ARN of the main one."""
    dead_letter = await clients.sqs.create_queue(QueueName=f"{name}-dead")
    dead_letter_arn = await _arn(clients, dead_letter["QueueUrl"])
    queue = await clients.sqs.create_queue(QueueName=name)
    queue_arn = await _arn(clients, queue["QueueUrl"])
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue_arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
            }
        ],
    }
    redrive = {"deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": MAX_RECEIVE_COUNT}
    await clients.sqs.set_queue_attributes(
        QueueUrl=dead_letter["QueueUrl"],
        Attributes={"MessageRetentionPeriod": str(_FORTNIGHT_SECONDS)},
    )
    await clients.sqs.set_queue_attributes(
        QueueUrl=queue["QueueUrl"],
        Attributes={
            "VisibilityTimeout": str(visibility_timeout_seconds),
            "RedrivePolicy": json.dumps(redrive),
            "Policy": json.dumps(policy),
        },
    )
    return queue["QueueUrl"], queue_arn


async def _arn(clients: Clients, url: str) -> str:
    answer = await clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return answer["Attributes"]["QueueArn"]


async def _table(clients: Clients, name: str) -> None:
    """Create the table with its sparse index of pending and failed records, and its TTL."""
    try:
        await clients.dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "entity_id", "AttributeType": "S"},
                {"AttributeName": "listed", "AttributeType": "S"},
                {"AttributeName": "listed_at", "AttributeType": "N"},
            ],
            KeySchema=[{"AttributeName": "entity_id", "KeyType": "HASH"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by_state",
                    "KeySchema": [
                        {"AttributeName": "listed", "KeyType": "HASH"},
                        {"AttributeName": "listed_at", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceInUseException":
            raise
        return
    await clients.dynamodb.get_waiter("table_exists").wait(TableName=name)
    await clients.dynamodb.update_time_to_live(
        TableName=name,
        TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"},
    )
