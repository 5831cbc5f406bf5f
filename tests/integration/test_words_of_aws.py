"""What fraudd makes of AWS's own words: the texts that AWS sends and emulators do not.

A stub endpoint answers in the wire format of each service. The texts come from AWS's API reference,
and from public reports of users who met them.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from fraudd.errors import BackPressure, RunError, Unavailable
from fraudd.ports import Entry
from fraudd.prediction.events import RequestEvent
from fraudd.prediction.transitions import deleted
from tests.stack.aws_stub import MESSAGE, Parts, parts_on_a_stub

Call = Callable[[Parts], Awaitable[Any]]


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    async with parts_on_a_stub() as parts:
        yield parts


async def hide(parts: Parts) -> None:
    await parts.queue.hide(MESSAGE, 30)


async def delete(parts: Parts) -> None:
    await parts.queue.delete(MESSAGE)


async def send(parts: Parts) -> None:
    await parts.queue.send(RequestEvent(entity_id="shop-1"))


async def send_again(parts: Parts) -> None:
    await parts.queue.send_again(MESSAGE, 0)


async def dead_letter(parts: Parts) -> None:
    await parts.queue.dead_letter(MESSAGE, reason="malformed", detail="no JSON")


async def receive(parts: Parts) -> Any:
    return await parts.queue.receive(1)


async def depth(parts: Parts) -> Any:
    return await parts.queue.depth()


async def get(parts: Parts) -> Any:
    return await parts.store.get("shop-1")


async def listed(parts: Parts) -> Any:
    return await parts.store.listed("pending#0", until=1, after=None)


async def apply(parts: Parts) -> Any:
    return await parts.store.apply(deleted("shop-1", now=1, expires_at=2))


async def check(parts: Parts) -> None:
    await parts.store.check()


async def publish(parts: Parts) -> None:
    await parts.topics.request(RequestEvent(entity_id="shop-1"))


OF_THE_STORE = (get, listed, apply, check)


def refuse(parts: Parts, call: Call, status: int, code: str, text: str) -> None:
    """Refuse in the format of the service that the call goes to."""
    if call is publish:
        parts.stub.refuses_in_xml(status, code, text)
    elif call in OF_THE_STORE:
        parts.stub.refuses(status, code, text)
    else:
        parts.stub.refuses_as_sqs(status, code, text)


BAD_HANDLE = "Value AQEB for parameter ReceiptHandle is invalid. Reason: "
#: What SQS says of a receipt handle whose message is deleted, or was received again since.
GONE = [
    ("ReceiptHandleIsInvalid", "The input receipt handle is invalid."),
    ("ReceiptHandleIsInvalid", 'The input receipt handle "AQEB" is not a valid receipt handle.'),
    ("InvalidParameterValue", f"{BAD_HANDLE}The receipt handle has expired."),
    (
        "InvalidParameterValue",
        f"{BAD_HANDLE}Message does not exist or is not available for visibility timeout change.",
    ),
    ("AWS.SimpleQueueService.MessageNotInflight", "The specified message isn't in flight."),
]


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize(("code", "text"), GONE)
@pytest.mark.parametrize("call", [hide, delete])
async def test_a_message_that_is_gone_is_no_error(
    parts: Parts, call: Call, code: str, text: str, header: bool
) -> None:
    parts.stub.refuses_as_sqs(400, code, text, header=header)
    await call(parts)
    assert parts.stub.calls == 1


HELD = (
    "Value 43200 for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for"
    " the message is beyond the limit [43200 seconds]"
)
ABSENT = "AWS.SimpleQueueService.NonExistentQueue"
NO_QUEUE = "The specified queue does not exist for this wsdl version."
NO_TABLE = "Requested resource not found"
NO_INDEX = "The table does not have the specified index: by_state"
FILLING = "Cannot read from backfilling global secondary index: by_state"
DENIED = (
    "User: arn:aws:sts::1:assumed-role/fraudd/i-1 is not authorized to perform: dynamodb:Query on"
    " resource: arn:aws:dynamodb:eu-central-1:1:table/results/index/by_state"
)
EXPIRED = "The security token included in the request is expired"
SKEWED = (
    "Signature expired: 20261201T000000Z is now earlier than 20261201T001000Z (20261201T001500Z"
    " - 5 min.)"
)


@pytest.mark.parametrize(
    ("call", "status", "code", "text", "part"),
    [
        (hide, 400, "InvalidParameterValue", HELD, "queue"),
        (hide, 400, ABSENT, NO_QUEUE, "queue"),
        (receive, 400, ABSENT, NO_QUEUE, "queue"),
        (receive, 400, "KMS.DisabledException", "arn:aws:kms:… is disabled.", "queue"),
        (receive, 403, "OverLimit", "Too many messages in flight.", "queue"),
        (receive, 403, "InvalidClientTokenId", f"{EXPIRED}.", "queue"),
        (receive, 403, "SignatureDoesNotMatch", SKEWED, "queue"),
        (depth, 403, "AccessDenied", "Access to the resource is denied.", "queue"),
        (delete, 403, "AccessDenied", "Access to the resource is denied.", "queue"),
        (send, 403, "AccessDenied", "Access to the resource is denied.", "queue"),
        (send_again, 403, "AccessDenied", "Access to the resource is denied.", "queue"),
        (send_again, 400, "AWS.SimpleQueueService.UnsupportedOperation", "Unsupported", "queue"),
        (dead_letter, 400, ABSENT, NO_QUEUE, "dead_letter_queue"),
        (get, 400, "ValidationException", "The provided key element does not match", "store"),
        (get, 400, "AccessDeniedException", DENIED, "store"),
        (get, 400, "ExpiredTokenException", EXPIRED, "store"),
        (get, 400, "UnrecognizedClientException", EXPIRED, "store"),
        (get, 400, "ResourceNotFoundException", NO_TABLE, "store"),
        (listed, 400, "AccessDeniedException", DENIED, "store"),
        (listed, 400, "ValidationException", NO_INDEX, "store"),
        (listed, 400, "ValidationException", FILLING, "store"),
        (apply, 400, "ResourceNotFoundException", NO_TABLE, "store"),
        (apply, 400, "AccessDeniedException", DENIED, "store"),
        (check, 400, "ValidationException", "1 validation error detected", "store"),
        (publish, 404, "NotFound", "Topic does not exist", "topics"),
        (publish, 403, "AuthorizationError", "is not authorized to perform: SNS:Publish", "topics"),
        (publish, 403, "ExpiredToken", EXPIRED, "topics"),
        (publish, 400, "KMSDisabled", "arn:aws:kms:… is disabled.", "topics"),
    ],
)
async def test_a_refusal_that_no_run_caused_is_an_outage_of_its_part(
    parts: Parts, call: Call, status: int, code: str, text: str, part: str
) -> None:
    refuse(parts, call, status, code, text)
    with pytest.raises(Unavailable) as outage:
        await call(parts)
    assert outage.value.part == part
    assert not isinstance(outage.value, BackPressure)
    assert text in outage.value.detail


@pytest.mark.parametrize(
    ("text", "state", "remedy"),
    [
        (NO_INDEX, "missing", "is missing.*run 'fraudd provision'"),
        (FILLING, "filling", "is still being filled.*wait until DynamoDB has filled it"),
    ],
)
async def test_an_index_that_cannot_be_read_is_named_with_the_remedy(
    parts: Parts, caplog: pytest.LogCaptureFixture, text: str, state: str, remedy: str
) -> None:
    caplog.set_level(logging.INFO, "fraudd")
    parts.stub.refuses(400, "ValidationException", text)
    for _ in range(2):
        with pytest.raises(Unavailable, match=f"the index by_state of results {remedy}"):
            await listed(parts)
    assert parts.store.index_state == state
    parts.stub.status = 200
    parts.stub.says({"Items": [], "Count": 0})
    assert (await listed(parts)).entries == []
    assert parts.store.index_state == "ready"
    # One line for each change, not one for each call.
    assert [one.getMessage() for one in caplog.records if one.name == "fraudd"] == [
        "index.unavailable",
        "index.ready",
    ]


async def test_a_missing_right_is_not_taken_for_a_missing_index(parts: Parts) -> None:
    parts.stub.refuses(400, "AccessDeniedException", DENIED)
    with pytest.raises(Unavailable) as outage:
        await listed(parts)
    assert "fraudd provision" not in outage.value.detail
    assert parts.store.index_state == "ready"


@pytest.mark.parametrize(
    "text",
    [
        "The provided starting key is outside query boundaries based on provided conditions",
        "The provided starting key does not match the range key predicate",
        "The provided starting key is invalid",
    ],
)
async def test_a_page_that_begins_behind_its_end_begins_at_the_first_entry(
    parts: Parts, text: str
) -> None:
    parts.stub.refuses(400, "ValidationException", text)
    with pytest.raises(Unavailable):
        await parts.store.listed("pending#0", until=1, after=Entry(5, "shop-1"))
    assert ["ExclusiveStartKey" in asked for _, asked in parts.stub.seen] == [True, False]


TOO_LARGE = "One or more parameters are invalid. Reason: Message must be shorter than 262144 bytes."


@pytest.mark.parametrize(
    ("call", "code", "text"),
    [
        (apply, "ValidationException", "Item size to update has exceeded the maximum allowed size"),
        (
            apply,
            "ValidationException",
            "Invalid UpdateExpression: Expression size has exceeded the maximum allowed size",
        ),
        (send_again, "InvalidParameterValue", TOO_LARGE),
        (send_again, "InvalidMessageContents", "Invalid binary character '#x0' was found"),
        (dead_letter, "InvalidParameterValue", TOO_LARGE),
        (publish, "InvalidParameter", "Invalid parameter: Message too long"),
        (
            publish,
            "InvalidParameter",
            "Invalid parameter: The MessageGroupId parameter is required for FIFO topics",
        ),
    ],
)
async def test_a_refused_argument_of_a_run_is_an_error_of_that_run(
    parts: Parts, call: Call, code: str, text: str
) -> None:
    refuse(parts, call, 400, code, text)
    with pytest.raises(RunError, match=text) as refusal:
        await call(parts)
    assert refusal.value.type == "refused_by_aws"


EXCEEDED = (
    "The level of configured provisioned throughput for the table was exceeded. Consider"
    " increasing your provisioning level with the UpdateTable API."
)


@pytest.mark.parametrize(
    ("call", "status", "code", "text"),
    [
        (apply, 400, "ProvisionedThroughputExceededException", EXCEEDED),
        (apply, 400, "TransactionConflictException", "Transaction is ongoing for the item"),
        (get, 400, "ThrottlingException", "Rate of requests exceeds the allowed throughput."),
        (get, 400, "RequestLimitExceeded", "Throughput exceeds the current throughput limit"),
        (receive, 403, "RequestThrottled", "Request is throttled."),
        (receive, 400, "ThrottlingException", "Rate exceeded"),
        (receive, 400, "KMS.ThrottlingException", "You have exceeded the rate at which you may"),
        (publish, 400, "Throttling", "Rate exceeded"),
        (publish, 429, "Throttled", "Rate exceeded"),
        (publish, 400, "KMSThrottling", "Rate exceeded"),
    ],
)
async def test_a_throttled_call_is_back_pressure(
    parts: Parts, call: Call, status: int, code: str, text: str, quick_retries: None
) -> None:
    refuse(parts, call, status, code, text)
    with pytest.raises(BackPressure, match=text):
        await call(parts)


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the SDK retry at once."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)


@pytest.mark.parametrize(
    ("code", "sender", "text", "error"),
    [
        ("InternalError", False, "Internal error", Unavailable),
        ("KMS.ThrottlingException", True, "You have exceeded the rate", BackPressure),
        ("InvalidMessageContents", True, "Invalid binary character", RunError),
        ("AccessDenied", True, "Access to the resource is denied.", Unavailable),
    ],
)
async def test_an_entry_of_a_batch_that_sqs_refuses_is_judged_like_a_call(
    parts: Parts, code: str, sender: bool, text: str, error: type[Exception]
) -> None:
    failed = {"Id": "0", "Code": code, "SenderFault": sender, "Message": text}
    parts.stub.says({"Failed": [failed]})
    with pytest.raises(error, match=text) as refusal:
        await send(parts)
    assert type(refusal.value) is error
