"""The clients of AWS."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from botocore.exceptions import BotoCoreError
from botocore.parsers import ResponseParserError
from pydantic_core import from_json

from fraudd import __version__
from fraudd.aws.credentials_errors import credentials_error
from fraudd.aws.endpoints import (
    SERVICES,
    check_ca_bundle,
    client_settings,
    configured_endpoint,
    proxies,
)
from fraudd.errors import Misconfigured
from fraudd.ports import Clock
from fraudd.telemetry.clock_skew import ClockSkew

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_sns.client import SNSClient
    from types_aiobotocore_sqs.client import SQSClient

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """One client for each service, and a second one of SQS for long polls."""

    dynamodb: "DynamoDBClient"
    sns: "SNSClient"
    sqs: "SQSClient"
    polls: "SQSClient"
    where: str
    #: The endpoint of each service that has one of its own, from the configuration or environment.
    endpoints: Mapping[str, str]
    #: The time limit of one attempt of a call, except polls.
    read_timeout_seconds: float
    #: The skew of this machine's clock, from the ``Date`` of the responses.
    skew: ClockSkew
    #: Opens a client of another service, by name, with the same settings.
    another: Callable[[str], AbstractAsyncContextManager[Any]]


@dataclass(frozen=True, slots=True)
class _Limits:
    """The limits of a client's calls."""

    read_timeout_seconds: float
    attempts: int


@asynccontextmanager
async def open_clients(
    terms: AwsTerms, count: Callable[[str], None], clock: Clock
) -> AsyncIterator[Clients]:
    """Open the clients. ``count`` receives the name of each operation that they call.

    Raises ``Misconfigured`` if the configuration of the AWS SDK, for example a profile, is wrong,
    and ``Unavailable`` if the source of the credentials does not answer.
    """
    skew = ClockSkew()
    session = get_session()
    async with AsyncExitStack() as stack:

        async def open_client(service: str, limits: _Limits) -> Any:
            try:
                client = await stack.enter_async_context(
                    _client(session, terms, service, endpoints, limits)
                )
            except Exception as error:  # a provider of credentials may raise anything
                raise credentials_error(error) from None
            client.meta.events.register("before-call", lambda model, **_: count(model.name))
            _compare_clocks(client.meta.events, skew, clock)
            return client

        endpoints = _endpoints(session, terms)
        calls = _Limits(terms.read_timeout_seconds, attempts=3)
        # A receive that the SDK retries would exceed its time limit without notice.
        polls = _Limits(terms.poll_seconds, attempts=1)
        dynamodb = await open_client("dynamodb", calls)
        for operation in _OPERATIONS_WITH_ITEMS:
            dynamodb.meta.events.register(f"before-parse.dynamodb.{operation}", _parse_items)
        sqs = await open_client("sqs", calls)
        polling = await open_client("sqs", polls)
        for client in (sqs, polling):
            client.meta.events.register("before-parse.sqs", _expect_json)
        yield Clients(
            dynamodb=dynamodb,
            sns=await open_client("sns", calls),
            sqs=sqs,
            polls=polling,
            where=terms.where,
            endpoints={name: url for name, url in endpoints.items() if url is not None},
            read_timeout_seconds=terms.read_timeout_seconds,
            skew=skew,
            another=lambda service: _client(session, terms, service, endpoints, calls),
        )


def _endpoints(session: AioSession, terms: AwsTerms) -> Mapping[str, str | None]:
    """Return the endpoint of each service. Raises ``Misconfigured``."""
    try:
        check_ca_bundle(session)
        return {
            service: configured_endpoint(session, service, terms.endpoint_url)
            for service in SERVICES
        }
    except BotoCoreError as error:
        raise Misconfigured(f"AWS configuration: {error}") from None


def _client(
    session: AioSession,
    terms: AwsTerms,
    service: Any,
    endpoints: Mapping[str, str | None],
    limits: _Limits,
) -> AbstractAsyncContextManager[Any]:
    """Return a client of one service, as a context that opens it."""
    endpoint = endpoints.get(service, terms.endpoint_url)
    config = _client_config(terms, limits, endpoint)
    return session.create_client(
        service, region_name=terms.region, config=config, **client_settings(endpoint)
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
        customized_response_dict.update(_json_object(response_dict["body"]))
        response_dict["body"] = b"{}"


def _expect_json(response_dict: dict[str, Any], **_: Any) -> None:
    """Refuse a response that is not of AWS. Calls without a result have an empty body."""
    if response_dict["status_code"] == 200 and response_dict["body"]:
        _json_object(response_dict["body"])


def _json_object(body: bytes) -> dict[str, Any]:
    """Parse the body of a response. botocore takes any text for a response without a result.

    The page of a middlebox, with status 200, would mean that a message is sent or deleted, or that
    an entity has no record.
    """
    try:
        parsed = from_json(body)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise ResponseParserError(f"the response is not of AWS: {body[:60]!r}")
    return parsed


def _client_config(terms: AwsTerms, limits: _Limits, endpoint_url: str | None) -> AioConfig:
    return AioConfig(
        proxies=proxies(endpoint_url),
        connect_timeout=terms.connect_timeout_seconds,
        read_timeout=limits.read_timeout_seconds,
        max_pool_connections=terms.max_connections,
        retries={"mode": "standard", "total_max_attempts": limits.attempts},
        # These settings save a sixth of the CPU of a call. fraudd needs none of the features.
        user_agent=f"fraudd/{__version__}",
        parameter_validation=False,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        disable_request_compression=True,
    )
