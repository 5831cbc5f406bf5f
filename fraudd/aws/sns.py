"""The two SNS topics: wake-up messages of runs, and completion events."""

import asyncio
import json

from fraudd.aws.attributes import string_attributes
from fraudd.aws.session import Clients
from fraudd.aws.translation import translated
from fraudd.prediction.events import Completion, RequestEvent


class SnsTopics:
    """The topics. Methods raise ``Unavailable``."""

    def __init__(self, clients: Clients, *, requests_arn: str, completions_arn: str) -> None:
        self._sns = clients.sns
        self._where = clients.where
        self._patience_seconds = clients.read_timeout_seconds
        self._requests_arn = requests_arn
        self._completions_arn = completions_arn

    async def request(self, event: RequestEvent) -> None:
        """Publish the wake-up message of a run.

        There is time for one attempt only, because a client waits. If it fails, the sweeper
        sends the message later.
        """
        with translated("topics", of_a_run=True):
            async with asyncio.timeout(self._patience_seconds):
                await self._sns.publish(
                    TopicArn=self._requests_arn,
                    Message=event.to_json(),
                    MessageAttributes=string_attributes(event.attributes),
                )

    async def announce(self, completion: Completion) -> None:
        """Publish the completion event of a run, with attributes for filter policies."""
        with translated("topics", of_a_run=True):
            await self._sns.publish(
                TopicArn=self._completions_arn,
                Message=json.dumps(completion.event),
                MessageAttributes=string_attributes(completion.attributes),
            )

    async def check(self) -> None:
        """Check that both topics exist."""
        for arn in (self._requests_arn, self._completions_arn):
            with translated(f"topics ({arn} at {self._where}; see [topics])"):
                await self._sns.get_topic_attributes(TopicArn=arn)
