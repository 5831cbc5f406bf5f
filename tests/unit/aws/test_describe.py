"""The describer distinguishes absent parts, denied access, and outages."""

import asyncio
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from fraudd.aws.provisioning import describe
from fraudd.aws.provisioning.describe import Absent, Denied, current_attributes
from fraudd.aws.provisioning.resources import Part, Place
from fraudd.aws.session import Clients
from fraudd.errors import Unavailable
from fraudd.telemetry.clock_skew import ClockSkew

PLACE = Place(partition="aws", region="eu-central-1", account="123456789012")
QUEUE = Part(kind="queue", name="q", attributes={"VisibilityTimeout": 120})
ABSENT = [
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
    "NotFound",
    "ResourceNotFoundException",
]


class Failing:
    """A service that answers each call with an error."""

    def __init__(self, code: str) -> None:
        self._code = code

    def __getattr__(self, operation: str) -> Any:
        async def call(**_: Any) -> Any:
            raise ClientError({"Error": {"Code": self._code, "Message": ""}}, operation)

        return call


def clients(code: str) -> Clients:
    service = cast(Any, Failing(code))
    return Clients(
        dynamodb=service,
        sns=service,
        sqs=service,
        polls=service,
        where="here",
        endpoints={},
        read_timeout_seconds=5.0,
        skew=ClockSkew(),
        another=cast(Any, None),
    )


@pytest.mark.parametrize("code", ABSENT)
def test_check_and_provision_agree_on_what_does_not_exist(code: str) -> None:
    assert asyncio.run(current_attributes(clients(code), [QUEUE], PLACE)) == [None]
    with pytest.raises(Absent):
        asyncio.run(describe.queue(clients(code), "http://queue"))


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException", "AuthorizationError"])
def test_a_part_that_may_not_be_read_is_not_taken_to_be_absent(code: str) -> None:
    with pytest.raises(Unavailable, match=code):
        asyncio.run(current_attributes(clients(code), [QUEUE], PLACE))
    with pytest.raises(Denied, match="allow sqs:GetQueueAttributes on http://queue"):
        asyncio.run(describe.queue(clients(code), "http://queue"))


def test_an_outage_is_neither() -> None:
    with pytest.raises(Unavailable, match="InternalError"):
        asyncio.run(describe.queue(clients("InternalError"), "http://queue"))
