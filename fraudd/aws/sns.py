"""The two SNS topics: wake-up messages of runs, and completion events."""

import asyncio
import json
from collections.abc import Mapping

from fraudd.aws.attributes import string_attributes
from fraudd.aws.session import Clients
from fraudd.aws.translation import expect_message_id, translated
from fraudd.prediction.events import Completion, RequestEvent


class SnsTopics:
    """The topics.

    ``request`` and ``announce`` raise ``RunError`` if SNS refuses an event. Everything that is
    about no single run is ``Unavailable``.
    """

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
                await self._publish(self._requests_arn, event.to_json(), event.attributes)

    async def announce(self, completion: Completion) -> None:
        """Publish the completion event of a run, with attributes for filter policies."""
        with translated("topics", of_a_run=True):
            event = json.dumps(completion.event)
            await self._publish(self._completions_arn, event, completion.attributes)

    async def _publish(self, arn: str, message: str, attributes: Mapping[str, str]) -> None:
        response = await self._sns.publish(
            TopicArn=arn, Message=message, MessageAttributes=string_attributes(attributes)
        )
        expect_message_id(response)

    async def check(self) -> None:
        """Check that both topics exist."""
        for arn in (self._requests_arn, self._completions_arn):
            with translated(f"topics ({arn} at {self._where}; see [topics])"):
                await self._sns.get_topic_attributes(TopicArn=arn)
