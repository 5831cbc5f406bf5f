"""AWS on an emulator: clients, and an installation of one's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

from fraudd.aws.dynamodb import DynamoDbStore
from fraudd.aws.provisioning.apply import Provisioned, provision
from fraudd.aws.session import AwsTerms, Clients, open_clients
from fraudd.aws.sns import SnsTopics
from fraudd.aws.sqs import SqsQueue
from fraudd.clock import SystemClock

REGION = "eu-central-1"


_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aws:
    """One fraudd's own topics, queue and table on the emulator."""

    clients: Clients
    names: Provisioned
    store: DynamoDbStore
    queue: SqsQueue
    topics: SnsTopics


def terms(endpoint_url: str) -> AwsTerms:
    """How an AWS API is reached in tests."""
    return AwsTerms(
        region=REGION,
        endpoint_url=endpoint_url,
        connect_timeout_seconds=2.0,
        read_timeout_seconds=5.0,
        max_connections=50,
        poll_seconds=11.0,
    )


@asynccontextmanager
async def clients_of(endpoint_url: str) -> AsyncIterator[Clients]:
    """Clients of an AWS API."""
    async with open_clients(terms(endpoint_url), lambda _: None, SystemClock()) as clients:
        yield clients


async def provisioned(aws_clients: Clients) -> Aws:
    """Make topics, queue and table that nobody else uses."""
    names = await provision(aws_clients, f"test-{next(_numbers)}", visibility_timeout_seconds=30)
    queue = SqsQueue(
        aws_clients,
        url=names.queue_url,
        dead_letter_url=None,
        wait_seconds=1,
        visibility_timeout_seconds=30,
        clock=SystemClock(),
    )
    await queue.check()
    return Aws(
        clients=aws_clients,
        names=names,
        store=DynamoDbStore(aws_clients, names.table),
        queue=queue,
        topics=SnsTopics(
            aws_clients, requests_arn=names.requests_arn, completions_arn=names.completions_arn
        ),
    )
