"""The clients of AWS, and the translation of its errors."""

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

#: AWS rejects the request itself with these codes. A retry would fail, too: this is no outage.
_REJECTED = frozenset(
    {
        "InvalidMessageContents",
        "InvalidParameter",
        "InvalidParameterValue",
        "ItemCollectionSizeLimitExceededException",
        "ValidationException",
    }
)
#: The operations of DynamoDB that return items.
_OPERATIONS_WITH_ITEMS = ("GetItem", "BatchGetItem", "UpdateItem", "Query")


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsTerms:
    """Where AWS is, and the limits of connections and calls."""

    region: str
    endpoint_url: str | None
    connect_timeout_seconds: float
    read_timeout_seconds: float
    max_connections: int
    #: The time limit of a long poll.
    poll_seconds: float

    @property
    def where(self) -> str:
        """The endpoint or region, for messages."""
        return self.endpoint_url or f"region {self.region}"

    @property
    def placeholders(self) -> bool:
        """Whether fraudd sends placeholders instead of credentials.

        A server on loopback is an emulator, which must never receive real credentials.
        """
        return _is_loopback(self.endpoint_url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """One client for each service, and a second one of SQS for long polls."""

    dynamodb: "DynamoDBClient"
    sns: "SNSClient"
    sqs: "SQSClient"
    polls: "SQSClient"
    where: str
    #: The time limit of one attempt of a call, except polls.
    read_timeout_seconds: float
    #: The skew of this machine's clock, from the ``Date`` of the responses.
    skew: ClockSkew
    #: Opens a client of another service, by name, with the same settings.
    another: Callable[[str], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def open_clients(
    terms: AwsTerms, count: Callable[[str], None], clock: Clock
) -> AsyncIterator[Clients]:
    """Open the clients. ``count`` receives the name of each operation that they call.

    Raises ``Misconfigured`` if the configuration of the AWS SDK, for example a profile, is wrong.
    """
    skew = ClockSkew()
    session = get_session()
    common: dict[str, Any] = {"region_name": terms.region, "endpoint_url": terms.endpoint_url}
    if terms.placeholders:
        common |= {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    calls = _client_config(terms, terms.read_timeout_seconds, attempts=3)
    # A receive that the SDK retries would exceed its time limit without notice.
    polls = _client_config(terms, terms.poll_seconds, attempts=1)
    async with AsyncExitStack() as stack:

        async def open_client(service: Any, config: AioConfig) -> Any:
            try:
                client = await stack.enter_async_context(
                    session.create_client(service, config=config, **common)
                )
            except BotoCoreError as error:
                raise Misconfigured(f"AWS credentials: {error}") from None
            client.meta.events.register("before-call", lambda model, **_: count(model.name))
            _compare_clocks(client.meta.events, skew, clock)
            return client

        dynamodb = await open_client("dynamodb", calls)
        for operation in _OPERATIONS_WITH_ITEMS:
            dynamodb.meta.events.register(f"before-parse.dynamodb.{operation}", _parse_items)
        yield Clients(
            dynamodb=dynamodb,
            sns=await open_client("sns", calls),
            sqs=await open_client("sqs", calls),
            polls=await open_client("sqs", polls),
            where=terms.where,
            read_timeout_seconds=terms.read_timeout_seconds,
            skew=skew,
            another=lambda service: session.create_client(
                cast("Any", service), config=calls, **common
            ),
        )


def _compare_clocks(events: Any, skew: ClockSkew, clock: Clock) -> None:
    """Compare the ``Date`` of each response with the times before and after the call."""

    def sent(context: dict[str, Any], **_: Any) -> None:
        context["fraudd_sent"] = clock.now()

    def answered(parsed: Any, context: dict[str, Any], **_: Any) -> None:
        date = parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if date is not None:
            skew.answered(date=_epoch_ms(date), sent=context["fraudd_sent"], received=clock.now())

    events.register("before-call", sent)
    events.register("after-call", answered)


@lru_cache(maxsize=1)
def _epoch_ms(date: str) -> int:
    """Parse a ``Date``. A cache of one value is enough: the date changes once a second."""
    return int(parsedate_to_datetime(date).timestamp() * 1000)


def _parse_items(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    """Parse items as plain JSON.

    botocore's parser visits each attribute of each item to decode binary values, and the records
    have none. It takes half the CPU of a read in a batch of twenty.
    """
    if response_dict["status_code"] == 200:
        with contextlib.suppress(ValueError):  # botocore's parser reports invalid JSON
            customized_response_dict.update(from_json(response_dict["body"]))
            response_dict["body"] = b"{}"


@contextmanager
def translated(part: str) -> Iterator[None]:
    """Translate errors of AWS and of the network into ``Unavailable``.

    If AWS rejects the request itself, it is a ``RunError``.
    """
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        text = error.response.get("Error", {}).get("Message", "")
        detail = f"{error.operation_name}: {code}: {text}".rstrip(": ")
        if code in _REJECTED:
            raise RunError("refused_by_aws", f"{part}: {detail}") from error
        raise Unavailable(part, detail) from error
    except (BotoCoreError, OSError, TimeoutError) as error:
        raise Unavailable(part, str(error) or type(error).__name__) from error


def code_of(error: ClientError) -> str:
    """The code of an error, without the name of a service, which some services put before it."""
    return str(error.response.get("Error", {}).get("Code", "")).rpartition(".")[2]


def _client_config(terms: AwsTerms, read_timeout: float, *, attempts: int) -> AioConfig:
    return AioConfig(
        connect_timeout=terms.connect_timeout_seconds,
        read_timeout=read_timeout,
        max_pool_connections=terms.max_connections,
        retries={"mode": "standard", "total_max_attempts": attempts},
        # These settings save a sixth of the CPU of a call. fraudd needs none of the features.
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
