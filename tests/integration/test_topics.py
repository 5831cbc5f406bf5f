"""The topics, when SNS does not answer."""

import asyncio
from dataclasses import replace

import pytest

from fraudd.aws.session import open_clients
from fraudd.aws.sns import SnsTopics
from fraudd.clock import SystemClock
from fraudd.errors import Unavailable
from fraudd.prediction.events import RequestEvent
from tests.stack.aws import terms
from tests.stack.times import NOW


async def test_a_topic_that_does_not_answer_keeps_a_caller_no_longer_than_one_try() -> None:
    asked = 0

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while await reader.read(65536):
            asked += 1
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    hanging = replace(terms(f"http://127.0.0.1:{port}"), read_timeout_seconds=0.2)
    async with server, open_clients(hanging, lambda _: None, SystemClock()) as clients:
        arn = "arn:aws:sns:eu-central-1:000000000000:requests"
        topics = SnsTopics(clients, requests_arn=arn, completions_arn=arn)
        event = RequestEvent(entity_id="shop-1", requested_at=NOW)
        with pytest.raises(Unavailable, match="topics"):
            await topics.request(event)
    assert asked == 1
