"""What fraudd makes of AWS's own words: the texts that AWS sends and emulators do not.

A stub endpoint answers in the wire format of each service. The texts come from AWS's API reference,
and from public reports of users who met them.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from fraudd.aws.dynamodb import DynamoDbStore
from fraudd.aws.session import Clients
from fraudd.aws.sns import SnsTopics
from fraudd.aws.sqs import SqsQueue
from fraudd.clock import SystemClock
from fraudd.errors import BackPressure, RunError, Unavailable, Unreadable
from fraudd.ports import Entry, Message
from fraudd.prediction.events import RequestEvent
from fraudd.prediction.transitions import deleted
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
    calls: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        await request.read()
        self.calls += 1
        return web.Response(status=self.status, text=self.body, headers=self.headers)

    def refuses(self, status: int, code: str, text: str) -> None:
        """Refuse in the format of DynamoDB and SQS (JSON), with SQS's header for old codes."""
        self.status = status
        self.body = json.dumps({"__type": f"com.amazonaws#{code}", "message": text})
        self.headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "x-amzn-query-error": f"{code};Sender",
        }

    def refuses_in_xml(self, status: int, code: str, text: str) -> None:
        """Refuse in the format of SNS."""
        self.status = status
        self.body = (
            '<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender'
            f"</Type><Code>{code}</Code><Message>{text}</Message></Error></ErrorResponse>"
        )
        self.headers = {"Content-Type": "text/xml"}


@dataclass(frozen=True)
class Parts:
    stub: Stub
    store: DynamoDbStore
    queue: SqsQueue
    topics: SnsTopics


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    stub = Stub()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stub.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address: Any = runner.addresses[0]
    async with clients_of(f"http://127.0.0.1:{address[1]}") as clients:
        yield _parts(stub, clients)
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


Call = Callable[[Parts], Awaitable[Any]]


async def hide(parts: Parts) -> None:
    await parts.queue.hide(MESSAGE, 30)


async def delete(parts: Parts) -> None:
    await parts.queue.delete(MESSAGE)


async def send_again(parts: Parts) -> None:
    await parts.queue.send_again(MESSAGE, 0)


async def dead_letter(parts: Parts) -> None:
    await parts.queue.dead_letter(MESSAGE, reason="malformed", detail="no JSON")


async def receive(parts: Parts) -> Any:
    return await parts.queue.receive(1)


async def get(parts: Parts) -> Any:
    return await parts.store.get("shop-1")


async def listed(parts: Parts) -> Any:
    return await parts.store.listed("pending#0", until=1, after=None)


async def apply(parts: Parts) -> Any:
    return await parts.store.apply(deleted("shop-1", now=1, expires_at=2))


async def publish(parts: Parts) -> None:
    await parts.topics.request(RequestEvent(entity_id="shop-1", run_id=None, sent_at=0))


BAD_HANDLE = "Value AQEB for parameter ReceiptHandle is invalid. Reason: "


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("ReceiptHandleIsInvalid", "The input receipt handle is invalid."),
        ("InvalidParameterValue", f"{BAD_HANDLE}The receipt handle has expired."),
        (
            "InvalidParameterValue",
            f"{BAD_HANDLE}Message does not exist or is not available for visibility timeout"
            " change.",
        ),
        ("AWS.SimpleQueueService.MessageNotInflight", "The specified message isn't in flight."),
    ],
)
@pytest.mark.parametrize("call", [hide, delete])
async def test_a_message_that_is_gone_is_no_error(
    parts: Parts, call: Call, code: str, text: str
) -> None:
    parts.stub.refuses(400, code, text)
    await call(parts)
    assert parts.stub.calls == 1


INDEX = "The table does not have the specified index: by_state"
FILLING = "Cannot read from backfilling global secondary index: by_state"
HELD = (
    "Value 43200 for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for"
    " the message is beyond the limit [43200 seconds]"
)
TOO_LARGE = "One or more parameters are invalid. Reason: Message must be shorter than 262144 bytes."
DENIED = "User: arn:aws:sts::1:assumed-role/fraudd is not authorized to perform: dynamodb:Query"


@pytest.mark.parametrize(
    ("call", "code", "text", "part"),
    [
        (hide, "InvalidParameterValue", HELD, "queue"),
        (receive, "AWS.SimpleQueueService.NonExistentQueue", "The queue does not exist.", "queue"),
        (receive, "KMS.DisabledException", "arn:aws:kms:… is disabled.", "queue"),
        (receive, "OverLimit", "Too many messages in flight.", "queue"),
        (send_again, "AccessDenied", "Access to the resource is denied.", "queue"),
        (dead_letter, "AWS.SimpleQueueService.NonExistentQueue", "No.", "dead_letter_queue"),
        (get, "ValidationException", "The provided key element does not match", "store"),
        (get, "AccessDeniedException", DENIED, "store"),
        (get, "ExpiredTokenException", "The security token is expired", "store"),
        (listed, "ValidationException", INDEX, "store"),
        (listed, "ValidationException", FILLING, "store"),
        (apply, "ResourceNotFoundException", "Requested resource not found", "store"),
    ],
)
async def test_a_refusal_that_no_run_caused_is_an_outage_of_its_part(
    parts: Parts, call: Call, code: str, text: str, part: str
) -> None:
    parts.stub.refuses(400, code, text)
    with pytest.raises(Unavailable) as outage:
        await call(parts)
    assert outage.value.part == part
    assert not isinstance(outage.value, BackPressure)
    assert text in outage.value.detail


async def test_a_missing_index_is_named_with_its_remedy(parts: Parts) -> None:
    parts.stub.refuses(400, "ValidationException", INDEX)
    with pytest.raises(Unavailable, match=r"index by_state of table results.*fraudd provision"):
        await listed(parts)


async def test_a_page_that_begins_behind_its_end_begins_at_the_first_entry(parts: Parts) -> None:
    text = "The provided starting key is outside query boundaries based on provided conditions"
    parts.stub.refuses(400, "ValidationException", f"ExclusiveStartKey: {text}")
    with pytest.raises(Unavailable):
        await parts.store.listed("pending#0", until=1, after=Entry(5, "shop-1"))
    assert parts.stub.calls == 2


@pytest.mark.parametrize(
    ("call", "code", "text"),
    [
        (apply, "ValidationException", "Item size to update has exceeded the maximum allowed size"),
        (send_again, "InvalidParameterValue", TOO_LARGE),
        (send_again, "InvalidMessageContents", "Invalid characters found."),
        (dead_letter, "InvalidParameterValue", TOO_LARGE),
    ],
)
async def test_a_refused_argument_of_a_run_is_an_error_of_that_run(
    parts: Parts, call: Call, code: str, text: str
) -> None:
    parts.stub.refuses(400, code, text)
    with pytest.raises(RunError, match=text) as refusal:
        await call(parts)
    assert refusal.value.type == "refused_by_aws"


@pytest.mark.parametrize(
    ("code", "text", "error"),
    [
        ("InvalidParameter", "Invalid parameter: Message too long", RunError),
        (
            "InvalidParameter",
            "Invalid parameter: The MessageGroupId parameter is required for FIFO topics",
            RunError,
        ),
        ("NotFound", "Topic does not exist", Unavailable),
        ("AuthorizationError", "is not authorized to perform: SNS:Publish", Unavailable),
    ],
)
async def test_a_topic_that_refuses(
    parts: Parts, code: str, text: str, error: type[Exception]
) -> None:
    parts.stub.refuses_in_xml(400, code, text)
    with pytest.raises(error, match=text):
        await publish(parts)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (apply, "ProvisionedThroughputExceededException"),
        (get, "ThrottlingException"),
        (receive, "RequestThrottled"),
    ],
)
async def test_a_throttled_call_is_back_pressure(parts: Parts, call: Call, code: str) -> None:
    parts.stub.refuses(400, code, "Rate exceeded")
    with pytest.raises(BackPressure, match="Rate exceeded"):
        await call(parts)


PAGE = "<html><body>Sign in to the guest network</body></html>"


@pytest.mark.parametrize(
    "call", [hide, receive, get, listed, apply, publish, send_again, dead_letter]
)
@pytest.mark.parametrize(("content_type", "body"), [("text/html", PAGE), ("text/xml", "<a/>")])
async def test_an_answer_that_is_not_of_aws_is_no_bug(
    parts: Parts, call: Call, content_type: str, body: str
) -> None:
    parts.stub.body, parts.stub.headers = body, {"Content-Type": content_type}
    with suppress(Unavailable):
        await call(parts)


ITEM = {
    "entity_id": {"S": "shop-1"},
    "state": {"S": "queued"},
    "run_id": {"S": "r"},
    "requested_at": {"N": "1"},
}


@pytest.mark.parametrize(
    ("attribute", "typed", "says"),
    [
        ("requested_at", {"S": "1"}, "requested_at is of type S"),
        ("lease_until", {"N": "soon"}, "lease_until: "),
        ("result", {"S": "{"}, "result: "),
        ("result", {"S": "7"}, "result: "),
        ("state", {"S": "asleep"}, "its state is 'asleep'"),
    ],
)
async def test_a_record_that_cannot_be_read_names_its_attribute(
    parts: Parts, attribute: str, typed: Mapping[str, str], says: str
) -> None:
    parts.stub.body = json.dumps({"Item": {**ITEM, attribute: typed}})
    with pytest.raises(Unreadable, match=f"the record of shop-1 cannot be read: {says}"):
        await get(parts)


async def test_a_message_that_cannot_be_read_leaves_the_others(parts: Parts) -> None:
    good = {
        "MessageId": "good",
        "ReceiptHandle": "r",
        "Body": "{}",
        "Attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1"},
    }
    bad = {**good, "MessageId": "bad", "Attributes": {"ApproximateReceiveCount": "1"}}
    parts.stub.body = json.dumps({"Messages": [bad, good]})
    assert [message.message_id for message in await receive(parts)] == ["good"]
