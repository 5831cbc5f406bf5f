"""Turns the configuration into adapters, engine terms, and tokens."""

import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fraudd.aws.dynamodb import DynamoDbStore
from fraudd.aws.rds_token import RdsToken
from fraudd.aws.session import AwsTerms, Clients
from fraudd.aws.sns import SnsTopics
from fraudd.aws.sqs import SqsQueue
from fraudd.config import Config
from fraudd.config.schema import DatabaseSection
from fraudd.config.secrets import credential
from fraudd.database.connections import Connections
from fraudd.database.limit import AdaptiveLimit
from fraudd.database.permits import Permits
from fraudd.database.server import Server, Timeouts
from fraudd.engine.consumers import POLL_MARGIN_SECONDS
from fraudd.engine.terms import (
    BacklogTerms,
    ConsumerTerms,
    EngineTerms,
    RequestTerms,
    ResultTerms,
    RetryTerms,
    RunTerms,
    SweeperTerms,
)
from fraudd.errors import Misconfigured
from fraudd.ports import Clock
from fraudd.prediction.record import Lane
from fraudd.prediction.retry import Limits
from fraudd.telemetry.clock_skew import ClockSkew
from fraudd.web import tokens as token_file
from fraudd.web.tokens import Tokens

_DAY_SECONDS = 24 * 3600.0
#: Releasing messages takes several AWS calls, each with its own timeouts and retries.
_RELEASING_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """AWS and the database behind the engine's ports."""

    store: DynamoDbStore
    queues: Mapping[Lane, SqsQueue]
    topics: SnsTopics
    permits: Permits
    connections: Connections
    skew: ClockSkew

    async def check_queues(self) -> None:
        """Check the queues. Raises ``Misconfigured`` or ``Unavailable``."""
        await _check_queues(self.queues)


def adapters(config: Config, clients: Clients, clock: Clock) -> Adapters:
    """Build the adapters. Raises ``Misconfigured`` if a credential or CA file is unreadable."""
    permits = database_permits(config, clock)
    return Adapters(
        store=DynamoDbStore(clients, config.results.table),
        queues=sqs_queues(config, clients, clock),
        topics=sns_topics(config, clients),
        permits=permits,
        connections=Connections(database_server(config), permits, clock=clock),
        skew=clients.skew,
    )


def aws_terms(config: Config) -> AwsTerms:
    """Return the region, endpoint, timeouts, and limits of AWS calls."""
    return AwsTerms(
        region=config.aws.region,
        endpoint_url=config.aws.endpoint_url,
        connect_timeout_seconds=config.aws.connect_timeout_seconds,
        read_timeout_seconds=config.aws.read_timeout_seconds,
        max_connections=config.aws.max_connections,
        poll_seconds=config.queue.wait_seconds + POLL_MARGIN_SECONDS,
    )


def sqs_queues(config: Config, clients: Clients, clock: Clock) -> Mapping[Lane, SqsQueue]:
    """Build the queue of each configured lane."""
    lanes: list[Lane] = ["interactive"]
    if config.queue.bulk_url is not None:
        lanes.append("bulk")
    return {lane: sqs_queue(config, clients, clock, lane=lane) for lane in lanes}


async def _check_queues(queues: Mapping[Lane, SqsQueue]) -> None:
    """Check that the queues exist. Raises ``Misconfigured`` or ``Unavailable``."""
    if len({queue.url for queue in queues.values()}) < len(queues):
        raise Misconfigured(
            "[queue] bulk_url and url name the same queue: set bulk_url to another queue"
        )
    for queue in queues.values():
        await queue.check()
    first, *others = sorted({queue.dead_letter_url for queue in queues.values()})
    if others:
        raise Misconfigured(
            "the redrive policies of [queue] url and bulk_url name different dead-letter queues,"
            f" {first} and {others[0]}: set the same queue in both"
        )


def sqs_queue(
    config: Config, clients: Clients, clock: Clock, *, lane: Lane = "interactive"
) -> SqsQueue:
    """Build the queue of a lane. The lane must be configured."""
    url = config.queue.bulk_url if lane == "bulk" else config.queue.url
    assert url is not None, "only a configured lane has a queue"
    return SqsQueue(
        clients,
        url=url,
        lane=lane,
        dead_letter_url=config.queue.dead_letter_url,
        wait_seconds=config.queue.wait_seconds,
        visibility_timeout_seconds=config.queue.visibility_timeout_seconds,
        clock=clock,
    )


def sns_topics(config: Config, clients: Clients) -> SnsTopics:
    """Build the topics of request and completion events."""
    return SnsTopics(
        clients,
        requests_arn=config.topics.requests_arn,
        completions_arn=config.topics.completions_arn,
    )


def engine_terms(config: Config) -> EngineTerms:
    """Return the limits and times that the engine works with."""
    return EngineTerms(
        visibility_timeout_seconds=config.queue.visibility_timeout_seconds,
        consumers=ConsumerTerms(
            count=config.consumer_count,
            wait_seconds=config.queue.wait_seconds,
            drain_seconds=config.consumers.drain_seconds,
        ),
        requests=RequestTerms(
            default_max_age_seconds=config.http.default_max_age_seconds,
            retry_failed_after_seconds=config.runs.retry_failed_after_seconds,
        ),
        backlog=BacklogTerms(
            fleet_size=config.consumers.fleet_size, max_pending=config.http.max_pending
        ),
        retry=RetryTerms(
            limits=Limits(
                max_attempts=config.consumers.max_attempts,
                max_wait_seconds=config.runs.max_wait_seconds,
            ),
            backoff_base_seconds=config.runs.backoff_base_seconds,
            backoff_max_seconds=config.runs.backoff_max_seconds,
            replica_lag_seconds=config.database.replica_lag_seconds,
        ),
        runs=RunTerms(
            timeout_seconds=config.consumers.run_timeout_seconds,
            test_entities=config.http.test_entities,
        ),
        results=ResultTerms(
            result_ttl_seconds=config.results.result_ttl_days * _DAY_SECONDS,
            failed_ttl_seconds=config.results.failed_ttl_days * _DAY_SECONDS,
            source=f"urn:fraudd:{config.results.table}",
        ),
        sweeper=SweeperTerms(
            interval_seconds=config.sweeper.interval_seconds,
            grace_seconds=config.sweeper.grace_seconds,
            requeue_after_seconds=config.sweeper.requeue_after_seconds,
        ),
    )


def longest_stop_seconds(config: Config) -> float:
    """Return the maximum time that a stop takes: the open poll, the drain, and the release.

    Before the release, the statements of unfinished runs are killed. If the
    database does not answer, one timeout to connect and one for the kill are enough for all.
    """
    polling = config.queue.wait_seconds + POLL_MARGIN_SECONDS
    killing = 2 * config.database.connect_timeout_seconds
    return polling + config.consumers.drain_seconds + killing + _RELEASING_SECONDS


def tokens(config: Config) -> Tokens | None:
    """Read the token file. None: no tokens are configured, so every client is accepted.

    Raises ``Misconfigured`` with every bad line of the file.
    """
    name = config.http.tokens_credential
    return None if name is None else token_file.parse(credential(name), source=name)


def database_permits(config: Config, clock: Clock) -> Permits:
    """Build the connection permits."""
    limit = AdaptiveLimit(config.database.max_connections, busy_threads=config.busy_threads)
    return Permits(limit, clock=clock)


def database_server(config: Config) -> Server:
    """Describe the database server. Raises ``Misconfigured`` if a secret or CA is unreadable."""
    database = config.database
    return Server(
        host=database.host,
        port=database.port,
        user=database.user,
        name=database.name,
        password=_rds_token(config) if database.iam_auth else _password(database),
        iam_auth=database.iam_auth,
        tls=_verifying_tls(database) if database.ca_file or not database.loopback else None,
        time_zone=database.time_zone,
        timeouts=Timeouts(
            connect_seconds=database.connect_timeout_seconds,
            query_seconds=database.query_timeout_seconds,
            snapshot_seconds=database.snapshot_timeout_seconds,
            idle_seconds=database.idle_seconds,
        ),
    )


def _password(database: DatabaseSection) -> Callable[[], Awaitable[str]]:
    """Read the password again for each connection, so that it can be rotated."""
    # A wrong name must fail at startup, not at the first connection.
    credential(database.password_credential)

    async def read() -> str:
        return credential(database.password_credential)

    return read


def _rds_token(config: Config) -> Callable[[], Awaitable[str]]:
    database = config.database
    return RdsToken(
        host=database.host,
        port=database.port,
        user=database.user,
        region=config.aws.region,
    ).sign


def _verifying_tls(database: DatabaseSection) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=database.ca_file)
    except OSError as error:
        reason = error.strerror or str(error)
        problem = f"[database] ca_file: cannot use {database.ca_file}: {reason}"
        raise Misconfigured(problem) from None
