"""One AWS API and one database for all tests here, and daemons between them that can be hurt."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import xgboost

from fraudd.local import emulator, mariadb
from fraudd.local.process import free_port
from fraudd.scoring import files
from tests.chaos.daemon import PATIENCE_SECONDS, Daemon, serving
from tests.chaos.proxy import FaultProxy, proxied
from tests.chaos.receipts import Receipts
from tests.chaos.servers import Database, Server, served
from tests.conftest import REGION, ROOT, Aws

#: The shortest there is: a message of a killed daemon comes back after it.
VISIBILITY_SECONDS = 10
PERMITS = 2

FEATURES = {
    "known": """\
-- exists
-- feature known: whether the entity is known | known
SELECT 1 AS known FROM DUAL WHERE %(entity_id)s LIKE 'shop-%%'""",
    # Whoever holds the lock of the entity's name holds up its run.
    "gate": """\
-- feature gate: whether the gate was open | the gate was open
SELECT GET_LOCK(%(entity_id)s, 50) * RELEASE_LOCK(%(entity_id)s) AS gate""",
    "pace": """\
-- feature pace: seconds that the statement sleeps | {value:.0f} seconds asleep
SELECT SUM(SLEEP(seconds)) AS pace FROM pace WHERE entity_id = %(entity_id)s""",
}

CONFIG = """\
[http]
listen = "127.0.0.1:{http_port}"
[aws]
region = "{region}"
endpoint_url = "http://127.0.0.1:{aws_port}"
connect_timeout_seconds = 1.0
read_timeout_seconds = 1.5
[queue]
url = "{aws.queue_url}"
wait_seconds = {wait_seconds}
visibility_timeout_seconds = {visibility_seconds}
[topics]
requests_arn = "{aws.requests_arn}"
completions_arn = "{aws.completions_arn}"
[results]
table = "{aws.table}"
[database]
host = "127.0.0.1"
port = {database_port}
user = "{account}"
name = "plain"
max_connections = {permits}
connect_timeout_seconds = 1.0
[consumers]
drain_seconds = {drain_seconds}
[jobs]
backoff_base_seconds = 0.2
backoff_max_seconds = 1.0
[sweeper]
interval_seconds = 1.0
grace_seconds = 2.0
[features]
directory = "{features}"
[model]
path = "{features}/model.ubj"
"""


@pytest.fixture(scope="session")
def emulator_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def aws_server(emulator_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The AWS API, which can be paused."""
    folder = tmp_path_factory.mktemp("emulator")
    with served(Server(emulator.command(ROOT / ".tools", folder, port=emulator_port))) as server:
        yield server


@pytest.fixture(scope="session")
def aws_endpoint(aws_server: Server, emulator_port: int) -> str:
    """Where the AWS API is."""
    return f"http://127.0.0.1:{emulator_port}"


@pytest.fixture(scope="session")
async def platform_database(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Database]:
    """A MariaDB that can be stopped, and started again."""
    port = free_port()
    folder = tmp_path_factory.mktemp("mariadb")
    command = mariadb.command(mariadb.find(ROOT / ".tools"), folder, port=port)
    with served(Server(command)) as server:
        database = Database(server, port)
        await database.prepare()
        yield database


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Feature files, and a model that knows them, and nothing about fraud."""
    folder = tmp_path_factory.mktemp("features")
    for name, content in FEATURES.items():
        (folder / f"{name}.sql").write_text(content)
    names = sorted(files.load(folder).features)
    matrix = np.random.default_rng(1).random((200, len(names)))
    booster = xgboost.train(
        {"objective": "binary:logistic", "base_score": 0.5},
        xgboost.DMatrix(matrix, label=matrix.sum(axis=1) > len(names) / 2, feature_names=names),
        num_boost_round=5,
    )
    booster.set_attr(review_threshold="0.5", block_threshold="0.9", trained_at="2026-11-24T")
    booster.save_model(folder / "model.ubj")
    return folder


class Took(NamedTuple):
    """What a run took: claims that count, and claims whose process died."""

    attempts: int
    deaths: int


#: Runs by entity, those apart that ended at their first claim.
Odd = dict[str, Took]


@dataclass(kw_only=True)
class Stage:
    """A queue, topics and a table of one's own, the servers, and daemons to be started."""

    aws: Aws
    aws_server: Server
    database: Database
    emulator_port: int
    features: Path
    folder: Path
    announced: "Announced"
    #: The most connections that each account had at a time.
    connections: dict[str, int] = field(default_factory=dict)
    receipts: Receipts = field(default_factory=Receipts)

    @asynccontextmanager
    async def daemon(
        self,
        name: str,
        *,
        to_aws: FaultProxy | None = None,
        to_database: FaultProxy | None = None,
        wait_seconds: int = 1,
        drain_seconds: float = 5,
        visibility_seconds: int = VISIBILITY_SECONDS,
    ) -> AsyncIterator[Daemon]:
        """Run a daemon, with an account of its own; through proxies where there are any."""
        await self.database.add_account(name)
        port = free_port()
        config = self.folder / f"{name}.toml"
        config.write_text(
            CONFIG.format(
                http_port=port,
                region=REGION,
                aws_port=to_aws.port if to_aws else self.emulator_port,
                aws=self.aws.names,
                wait_seconds=wait_seconds,
                visibility_seconds=visibility_seconds,
                database_port=to_database.port if to_database else self.database.port,
                account=name,
                permits=PERMITS,
                drain_seconds=drain_seconds,
                features=self.features,
            )
        )
        async with serving(config, port) as daemon:
            yield daemon

    @asynccontextmanager
    async def proxy_to_aws(self) -> AsyncIterator[FaultProxy]:
        """A proxy in front of the AWS API; what the queue hands out through it is noted."""
        async with proxied(self.emulator_port, self.receipts.tap) as proxy:
            yield proxy

    @asynccontextmanager
    async def proxy_to_database(self) -> AsyncIterator[FaultProxy]:
        """A proxy in front of the database."""
        async with proxied(self.database.port) as proxy:
            yield proxy

    async def all_done(
        self, runs: dict[str, str], at: Daemon, within_seconds: float = PATIENCE_SECONDS
    ) -> Odd:
        """See every run asked for end well, be announced, and leave nothing behind.

        Gives those that did not end at their first claim.
        """
        await self.announced.all_of(runs.values(), within_seconds)
        odd: Odd = {}
        for entity_id, run_id in runs.items():
            body = await at.look_up(entity_id)
            assert (body["status"], body["run_id"]) == ("done", run_id), body
            record = await self.aws.store.get(entity_id)
            assert record is not None
            if (took := Took(record.attempts, record.deaths)) != Took(1, 0):
                odd[entity_id] = took
        assert self.announced.runs == dict.fromkeys(runs.values(), "fraudd.prediction.done")
        await self.nothing_queued()
        return odd

    async def ended_before(self, at: float) -> set[str]:
        """Give the entities whose newest run ended before a time (epoch seconds)."""
        pages = self.aws.clients.dynamodb.get_paginator("scan").paginate(
            TableName=self.aws.names.table
        )
        return {
            item["entity_id"]["S"]
            async for page in pages
            for item in page["Items"]
            if int(item.get("finished_at", {"N": "0"})["N"]) in range(1, int(at * 1000))
        }

    async def waiting(self) -> list[str]:
        """Give the entities of the messages that could be received now; none is hidden by that."""
        entity_ids: dict[str, str] = {}
        depth = await self.aws.queue.depth()
        while len(entity_ids) < depth.visible:
            answer = await self.aws.clients.sqs.receive_message(
                QueueUrl=self.aws.names.queue_url, MaxNumberOfMessages=10, VisibilityTimeout=0
            )
            for message in answer["Messages"]:
                entity_ids[message["MessageId"]] = json.loads(message["Body"])["entity_id"]
        assert (depth.in_flight, depth.delayed, depth.dead_lettered) == (0, 0, 0)
        return sorted(entity_ids.values())

    async def nothing_queued(self) -> None:
        """Wait until no message is left; none may be in the dead-letter queue."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                depth = await self.aws.queue.depth()
                assert depth.dead_lettered == 0
                if depth.visible + depth.in_flight + depth.delayed == 0:
                    return
                await asyncio.sleep(0.1)


class Announced:
    """A queue subscribed to the topic of completions: which runs were announced, and as what."""

    def __init__(self, aws: Aws, url: str) -> None:
        self.runs: dict[str, str] = {}
        self._aws = aws
        self._url = url

    async def all_of(self, run_ids: Iterable[str], within_seconds: float = 60) -> None:
        """Wait until all of these runs were announced."""
        missing = set(run_ids) - self.runs.keys()
        try:
            async with asyncio.timeout(within_seconds):
                while missing:
                    missing -= await self._take()
        except TimeoutError:
            raise AssertionError(f"{len(missing)} runs never ended: {sorted(missing)}") from None

    async def at_least(self, count: int, within_seconds: float = 60) -> None:
        """Wait until so many runs were announced."""
        async with asyncio.timeout(within_seconds):
            while len(self.runs) < count:
                await self._take()

    async def _take(self) -> set[str]:
        answer = await self._aws.clients.polls.receive_message(
            QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=1
        )
        messages = answer.get("Messages", [])
        events: list[Any] = [json.loads(message["Body"]) for message in messages]
        self.runs |= {event["id"]: event["type"] for event in events}
        if messages:
            await self._aws.clients.sqs.delete_message_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                    for number, message in enumerate(messages)
                ],
            )
        return {event["id"] for event in events}


@pytest.fixture
async def announced(aws: Aws) -> Announced:
    """What is announced, from now on."""
    url = (await aws.clients.sqs.create_queue(QueueName=f"{aws.names.table}-inbox"))["QueueUrl"]
    attributes = await aws.clients.sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["QueueArn"]
    )
    await aws.clients.sns.subscribe(
        TopicArn=aws.names.completions_arn,
        Protocol="sqs",
        Endpoint=attributes["Attributes"]["QueueArn"],
        Attributes={"RawMessageDelivery": "true"},
    )
    return Announced(aws, url)


@pytest.fixture
async def stage(
    aws: Aws,
    aws_server: Server,
    platform_database: Database,
    emulator_port: int,
    features: Path,
    tmp_path: Path,
    announced: Announced,
) -> AsyncIterator[Stage]:
    """Everything that a test here acts on."""
    async with AsyncExitStack() as stack:
        yield Stage(
            aws=aws,
            aws_server=aws_server,
            database=platform_database,
            emulator_port=emulator_port,
            features=features,
            folder=tmp_path,
            announced=announced,
            connections=await stack.enter_async_context(platform_database.counted()),
        )
