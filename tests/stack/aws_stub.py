"""An endpoint that answers in the wire formats of AWS, with texts that no emulator sends."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from fraudd.aws.dynamodb import DynamoDbStore
from fraudd.aws.session import Clients
from fraudd.aws.sns import SnsTopics
from fraudd.aws.sqs import SqsQueue
from fraudd.clock import SystemClock
from fraudd.ports import Message
from tests.stack.aws import clients_of

ARN = "arn:aws:sns:eu-central-1:123456789012:requests"
MESSAGE = Message(
    message_id="m",
    receipt_handle="AQEB",
    body='{"entity_id": "shop-1"}',
    attributes={},
    receive_count=1,
    sent_at=0,
    received_at=0,
)


@dataclass
class Stub:
    """An endpoint that gives the same answer to every call."""

    status: int = 200
    body: str = "{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    #: The operation and the JSON argument of each call. Calls of SNS have no argument here.
    seen: list[tuple[str, Any]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one call."""
        body = await request.text()
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        self.seen.append((operation, json.loads(body) if operation else None))
        return web.Response(status=self.status, text=self.body, headers=self.headers)

    @property
    def calls(self) -> int:
        """The number of calls, with the SDK's retries."""
        return len(self.seen)

    def says(self, body: object) -> None:
        """Answer with JSON."""
        self.body = json.dumps(body)
        self.headers = {"Content-Type": "application/x-amz-json-1.0"}

    def refuses(self, status: int, code: str, text: str) -> None:
        """Refuse in the format of DynamoDB."""
        self.status = status
        self.says({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": text})

    def refuses_as_sqs(self, status: int, code: str, text: str, *, header: bool = True) -> None:
        """Refuse in the format of SQS, whose header has the code of its former protocol."""
        self.status = status
        shape = code.rpartition(".")[2]
        if shape.startswith("InvalidParameterValue"):
            shape = "InvalidParameterValueException"
        self.says({"__type": f"com.amazon.coral.service#{shape}", "message": text})
        if header:
            self.headers = {**self.headers, "x-amzn-query-error": f"{code};Sender"}

    def refuses_in_xml(self, status: int, code: str, text: str) -> None:
        """Refuse in the format of SNS."""
        self.status = status
        self.body = (
            '<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender'
            f"</Type><Code>{code}</Code><Message>{text}</Message></Error>"
            "<RequestId>b3a5</RequestId></ErrorResponse>"
        )
        self.headers = {"Content-Type": "text/xml"}


@dataclass(frozen=True)
class Parts:
    """The adapters and the stub that they call."""

    stub: Stub
    store: DynamoDbStore
    queue: SqsQueue
    topics: SnsTopics


@asynccontextmanager
async def parts_on_a_stub() -> AsyncIterator[Parts]:
    """The adapters, which all call one stub."""
    stub = Stub()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stub.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address: Any = runner.addresses[0]
    async with clients_of(f"http://127.0.0.1:{address[1]}") as clients:
        try:
            yield _parts(stub, clients)
        finally:
            await runner.cleanup()


def _parts(stub: Stub, clients: Clients) -> Parts:
    queue = SqsQueue(
        clients,
        url="https://sqs.eu-central-1.amazonaws.com/123456789012/queue",
        dead_letter_url="https://sqs.eu-central-1.amazonaws.com/123456789012/dead",
        wait_seconds=0,
        visibility_timeout_seconds=30,
        clock=SystemClock(),
    )
    topics = SnsTopics(clients, requests_arn=ARN, completions_arn=ARN)
    return Parts(stub, DynamoDbStore(clients, "results"), queue, topics)
