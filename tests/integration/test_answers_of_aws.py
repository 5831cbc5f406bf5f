"""Answers that fraudd cannot use: of a middlebox, of damaged records and messages."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest

from fraudd.errors import Unavailable, Unreadable
from tests.integration import test_words_of_aws as calls
from tests.stack.aws_stub import Parts, parts_on_a_stub


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    async with parts_on_a_stub() as parts:
        yield parts


PAGE = "<html><body>Sign in to the guest network</body></html>"


@pytest.mark.parametrize(
    "call",
    [
        calls.hide,
        calls.delete,
        calls.receive,
        calls.depth,
        calls.get,
        calls.listed,
        calls.apply,
        calls.check,
        calls.publish,
        calls.send,
        calls.send_again,
        calls.dead_letter,
    ],
)
@pytest.mark.parametrize(
    ("content_type", "body"), [("text/html", PAGE), ("text/xml", "<a/>"), ("text/plain", "[]")]
)
async def test_the_page_of_a_middlebox_is_an_outage_and_no_answer(
    parts: Parts, call: Callable[[Parts], Awaitable[Any]], content_type: str, body: str
) -> None:
    parts.stub.body, parts.stub.headers = body, {"Content-Type": content_type}
    with pytest.raises(Unavailable):
        await call(parts)


@pytest.mark.parametrize("call", [calls.send_again, calls.dead_letter])
async def test_a_message_whose_copy_was_not_confirmed_is_not_deleted(
    parts: Parts, call: Callable[[Parts], Awaitable[Any]]
) -> None:
    parts.stub.says({"status": "blocked"})
    with pytest.raises(Unavailable):
        await call(parts)
    assert [operation for operation, _ in parts.stub.seen] == ["SendMessage"]


@pytest.mark.parametrize(
    ("counts", "attribute"),
    [({}, "ApproximateNumberOfMessages"), ({"ApproximateNumberOfMessages": "many"}, "many")],
)
async def test_a_sample_that_cannot_be_read_is_an_outage(
    parts: Parts, counts: Mapping[str, str], attribute: str
) -> None:
    parts.stub.says({"Attributes": counts})
    with pytest.raises(Unavailable, match=attribute):
        await parts.queue.depth()


ITEM = {
    "entity_id": {"S": "shop-1"},
    "state": {"S": "queued"},
    "run_id": {"S": "r"},
    "requested_at": {"N": "1"},
}
OUTCOME = {"run_id": "r", "expires_at": 1}


@pytest.mark.parametrize(
    ("attribute", "typed", "says"),
    [
        ("requested_at", {"S": "1"}, "requested_at is of type S"),
        ("requested_at", "1", "requested_at is of type str"),
        ("lease_until", {"N": "soon"}, "lease_until: "),
        ("again", {"NULL": True}, "again is of type NULL"),
        ("result", {"S": "{"}, "result: "),
        ("result", {"S": "7"}, "result: it is not a JSON object"),
        ("result", {"S": json.dumps({**OUTCOME, "run_id": 7})}, "result: its run_id is 7"),
        ("error", {"S": json.dumps({"run_id": "r"})}, "error: its expires_at is None"),
        ("state", {"S": "asleep"}, "its state is 'asleep'"),
        ("state", {"N": "1"}, "state is of type N"),
        ("state", {"S": "running"}, "it is running without worker, lease_until"),
    ],
)
async def test_a_record_that_cannot_be_read_names_its_attribute(
    parts: Parts, attribute: str, typed: Any, says: str
) -> None:
    parts.stub.says({"Item": {**ITEM, attribute: typed}})
    with pytest.raises(Unreadable, match=f"the record of shop-1 cannot be read: {says}"):
        await calls.get(parts)


@pytest.mark.parametrize("attribute", ["state", "run_id", "requested_at"])
async def test_a_record_without_an_attribute_that_every_run_has_cannot_be_read(
    parts: Parts, attribute: str
) -> None:
    parts.stub.says({"Item": {name: typed for name, typed in ITEM.items() if name != attribute}})
    with pytest.raises(Unreadable, match=attribute):
        await calls.get(parts)


async def test_a_write_that_meets_a_damaged_record_says_so(parts: Parts) -> None:
    parts.stub.refuses(400, "ConditionalCheckFailedException", "The conditional request failed")
    refusal = json.loads(parts.stub.body)
    parts.stub.says({**refusal, "Item": {**ITEM, "requested_at": {"S": "1"}}})
    with pytest.raises(Unreadable, match="requested_at is of type S"):
        await calls.apply(parts)


async def test_a_message_that_cannot_be_read_leaves_the_others(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    good = {
        "MessageId": "good",
        "ReceiptHandle": "r",
        "Body": "{}",
        "Attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1"},
    }
    bad = {**good, "MessageId": "bad", "Attributes": {"ApproximateReceiveCount": "1"}}
    parts.stub.says({"Messages": [bad, good]})
    assert [message.message_id for message in await calls.receive(parts)] == ["good"]
    [line] = caplog.records
    assert line.getMessage() == "queue.message_unreadable"
    assert line.__dict__["fields"]["message_id"] == "bad"
