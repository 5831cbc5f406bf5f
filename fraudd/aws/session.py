"""Clients of AWS, tuned once, and its errors translated once."""

import contextlib
import ipaddress
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError
from pydantic_core import from_json

from fraudd import __version__
from fraudd.errors import Misconfigured, RunError, Unavailable
from fraudd.ports import Clock
from fraudd.telemetry.clock_skew import ClockSkew

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_sns.client import SNSClient
    from types_aiobotocore_sqs.client import SQSClient

#: Errors by which AWS refuses what was asked for, whoever asks and whenever: no outage.
_REFUSED = frozenset(
    {
        "InvalidMessageContents",
        "InvalidParameter",
        "InvalidParameterValue",
        "ItemCollectionSizeLimitExceededException",
        "ValidationException",
    }
)


#: What brings items of DynamoDB.
_BRINGS_ITEMS = ("GetItem", "BatchGetItem", "UpdateItem", "Query")


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsTerms:
    """How AWS is reached."""

    region: str
    endpoint_url: str | None
    connect_timeout_seconds: float
    read_timeout_seconds: float
    max_connections: int
    #: How long a long poll may take to be answered.
    poll_seconds: float

    @property
    def where(self) -> str:
        """What a message calls the place."""
        return self.endpoint_url or f"region {self.region}"

    @property
    def placeholders(self) -> bool:
        """Whether placeholders are sent: what is on loopback is an emulator, which real
        credentials must never reach.
        """
        return _is_loopback(self.endpoint_url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """One client for each service, and one more for long polls."""

    dynamodb: "DynamoDBClient"
    sns: "SNSClient"
    sqs: "SQSClient"
    polls: "SQSClient"
    where: str
    #: How long one try of a call may take to be answered, polls apart.
    read_timeout_seconds: float
    #: What the answers say about this machine's clock.
    skew: ClockSkew
    #: Opens a client of another service, by its name, on the same terms, for a while.
    another: Callable[[str], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def open_clients(
    terms: AwsTerms, count: Callable[[str], None], clock: Clock
) -> AsyncIterator[Clients]:
    """Open the clients; ``count`` is told the name of each operation called.

    Raises ``Misconfigured`` where the AWS SDK's own configuration, as a profile, is wrong.
    """
    skew = ClockSkew()
    session = get_session()
    common: dict[str, Any] = {"region_name": terms.region, "endpoint_url": terms.endpoint_url}
    if terms.placeholders:
        common |= {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    calls = _client_config(terms, terms.read_timeout_seconds, attempts=3)
    # A receive that is tried again by the SDK would outlive its own time-out unseen.
    polls = _client_config(terms, terms.poll_seconds, attempts=1)
    async with AsyncExitStack() as stack:

        async def client(service: Any, config: AioConfig) -> Any:
            try:
                made = await stack.enter_async_context(
                    session.create_client(service, config=config, **common)
                )
            except BotoCoreError as error:
                raise Misconfigured(f"AWS credentials: {error}") from None
            made.meta.events.register("before-call", lambda model, **_: count(model.name))
            _compare_clocks(made.meta.events, skew, clock)
            return made

        dynamodb = await client("dynamodb", calls)
        for operation in _BRINGS_ITEMS:
            dynamodb.meta.events.register(f"before-parse.dynamodb.{operation}", _take_as_it_is)
        yield Clients(
            dynamodb=dynamodb,
            sns=await client("sns", calls),
            sqs=await client("sqs", calls),
            polls=await client("sqs", polls),
            where=terms.where,
            read_timeout_seconds=terms.read_timeout_seconds,
            skew=skew,
            another=lambda service: session.create_client(
                cast("Any", service), config=calls, **common
            ),
        )


def _compare_clocks(events: Any, skew: ClockSkew, clock: Clock) -> None:
    """Tell the ``Date`` of each answer, with the times between which it was written."""

    def sent(context: dict[str, Any], **_: Any) -> None:
        context["fraudd_sent"] = clock.now()

    def answered(parsed: Any, context: dict[str, Any], **_: Any) -> None:
        date = parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if date is not None:
            skew.answered(date=_written(date), sent=context["fraudd_sent"], received=clock.now())

    events.register("before-call", sent)
    events.register("after-call", answered)


@lru_cache(maxsize=1)
def _written(date: str) -> int:
    """Read a ``Date``, in epoch milliseconds; it is the same for all answers of a second."""
    return int(parsedate_to_datetime(date).timestamp() * 1000)


def _take_as_it_is(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    """Take items as JSON has them, which is as they are given to us.

    botocore's parser would walk through each attribute of each item, for the sake of binary ones,
    which we have none of: half of what a read in a batch of twenty costs.
    """
    if response_dict["status_code"] == 200:
        with contextlib.suppress(ValueError):  # what is no JSON is the parser's
            customized_response_dict.update(from_json(response_dict["body"]))
            response_dict["body"] = b"{}"


@contextmanager
def translated(part: str) -> Iterator[None]:
    """Raise whatever AWS or the way there raises as ``Unavailable``; ``RunError`` if it refuses."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        text = error.response.get("Error", {}).get("Message", "")
        told = f"{error.operation_name}: {code}: {text}".rstrip(": ")
        if code in _REFUSED:
            raise RunError("refused_by_aws", f"{part}: {told}") from error
        raise Unavailable(part, told) from error
    except (BotoCoreError, OSError, TimeoutError) as error:
        raise Unavailable(part, str(error) or type(error).__name__) from error


def code_of(error: ClientError) -> str:
    """Give the code of an error, without the name of its service, which some put before it."""
    return str(error.response.get("Error", {}).get("Code", "")).rpartition(".")[2]


def _client_config(terms: AwsTerms, read_timeout: float, *, attempts: int) -> AioConfig:
    return AioConfig(
        connect_timeout=terms.connect_timeout_seconds,
        read_timeout=read_timeout,
        max_pool_connections=terms.max_connections,
        retries={"mode": "standard", "total_max_attempts": attempts},
        # These save a sixth of the CPU of a call: nothing here needs what they do.
        user_agent=f"fraudd/{__version__}",
        parameter_validation=False,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        disable_request_compression=True,
    )


def _is_loopback(endpoint_url: str | None) -> bool:
    host = urlsplit(endpoint_url or "").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
