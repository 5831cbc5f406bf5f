"""A queue that is subscribed to a topic: what a subscriber sees."""

import asyncio
import json
from typing import Any

from tests.stack.aws import Aws


class Inbox:
    """A queue subscribed to a topic: what a subscriber sees."""

    def __init__(self, aws: Aws, url: str) -> None:
        self._aws = aws
        self._url = url

    async def take(self, count: int) -> list[Any]:
        """Wait for so many messages; gives their bodies."""
        bodies: list[Any] = []
        async with asyncio.timeout(20):
            while len(bodies) < count:
                bodies += await self.rest(wait_seconds=1)
        return bodies

    async def attributes(self, count: int) -> list[dict[str, str]]:
        """Wait for so many messages; gives their attributes."""
        found: list[dict[str, str]] = []
        async with asyncio.timeout(20):
            while len(found) < count:
                found += [
                    {name: of["StringValue"] for name, of in one["MessageAttributes"].items()}
                    for one in await self._received(wait_seconds=1)
                ]
        return found

    async def rest(self, wait_seconds: int = 0) -> list[Any]:
        """Give the bodies of what is there."""
        return [json.loads(message["Body"]) for message in await self._received(wait_seconds)]

    async def _received(self, wait_seconds: int) -> list[Any]:
        answer = await self._aws.clients.polls.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait_seconds,
            MessageAttributeNames=["All"],
        )
        messages: list[Any] = list(answer.get("Messages", []))
        if messages:
            await self._aws.clients.sqs.delete_message_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                    for number, message in enumerate(messages)
                ],
            )
        return messages


async def subscribed(aws: Aws, topic_arn: str) -> Inbox:
    """Subscribe an inbox to a topic."""
    name = f"{topic_arn.rpartition(':')[2]}-inbox"
    url = (await aws.clients.sqs.create_queue(QueueName=name))["QueueUrl"]
    attributes = await aws.clients.sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["QueueArn"]
    )
    await aws.clients.sns.subscribe(
        TopicArn=topic_arn,
        Protocol="sqs",
        Endpoint=attributes["Attributes"]["QueueArn"],
        Attributes={"RawMessageDelivery": "true"},
    )
    return Inbox(aws, url)
