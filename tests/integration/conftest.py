"""A daemon in this process, on real components, with feature SQL that tests can hold up."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import aiomysql
import pytest
from pymysql.err import MySQLError

from fraudd.aws.session import Clients
from fraudd.config import Config
from fraudd.daemon.daemon import Daemon
from fraudd.daemon.scorers import load
from fraudd.database.server import Server
from fraudd.local.settings import DatabaseServer
from fraudd.telemetry.metrics import Metrics
from tests.conftest import REGION, Aws
from tests.database import PLAIN, READER, Pool, given, server_of
from tests.model import ignorant_model

FEATURES = {
    "known": """\
-- exists
-- feature known: whether the entity is known | known
SELECT 1 AS known FROM DUAL WHERE %(entity_id)s LIKE 'shop-%%'""",
    # Whoever holds the lock of the entity's name holds up its run.
    "gate": """\
-- feature gate: whether the gate was open | the gate was open
SELECT GET_LOCK(%(entity_id)s, 30) * RELEASE_LOCK(%(entity_id)s) AS gate""",
    "pace": """\
-- feature pace: seconds that the statement sleeps | {value:.0f} seconds asleep
SELECT SUM(SLEEP(seconds)) AS pace FROM pace WHERE entity_id = %(entity_id)s""",
    "size": """\
-- feature size: characters of the name | {value:.0f} characters
SELECT CHAR_LENGTH(%(entity_id)s) AS size""",
    "things": """\
-- feature things: things there are | {value:.0f} things
-- feature nothing: what nobody knows | {value}
SELECT COUNT(*) AS things, MAX(n) AS nothing FROM things WHERE %(entity_id)s <> ''""",
}


class Observer:
    """Looks at the database server, and holds runs up, from a connection of its own."""

    def __init__(self, connection: Any, account: str) -> None:
        self._connection = connection
        #: The account under test, as SQL names it.
        self.account = account

    async def rows(self, sql: str) -> Sequence[Any]:
        """Run a statement."""
        async with self._connection.cursor() as cursor:
            await cursor.execute(sql)
            rows: Sequence[Any] = await cursor.fetchall()
            return rows

    async def theirs(self) -> list[int]:
        """Ids of the connections of the account under test, those being torn down aside."""
        return [
            number
            for number, user, _, _, command, *_ in await self.rows("SHOW FULL PROCESSLIST")
            if user == READER and command not in ("Killed", "Busy")
        ]

    async def at(self, state: str) -> list[int]:
        """Ids of the connections of the account under test that are in a statement's state."""
        rows = await self.rows("SHOW FULL PROCESSLIST")
        return [row[0] for row in rows if (row[1], row[6]) == (READER, state)]

    async def busy(self, state: str) -> int:
        """Wait until the account under test is in a statement's state; gives its connection."""
        async with asyncio.timeout(10):
            while not (connections := await self.at(state)):
                pass
        return connections[0]

    async def hang_up(self) -> None:
        """End the connections of the account under test, whatever they do."""
        for connection in await self.theirs():
            # It may have ended by itself meanwhile.
            with suppress(MySQLError):
                await self.rows(f"KILL {connection}")

    async def slow_down(self, entity_id: str) -> None:
        """Let runs of the entity take longer than any deadline."""
        await self.rows(f"INSERT INTO pace VALUES ('{entity_id}', 30)")

    async def speed_up(self) -> None:
        """Let all runs be quick again."""
        await self.rows("DELETE FROM pace")

    async def hold_up(self, entity_id: str) -> None:
        """Let a run of the entity wait in the database."""
        await self.rows(f"SELECT GET_LOCK('{entity_id}', 10)")

    async def let_go(self, entity_id: str) -> None:
        """Let the run of the entity go on."""
        await self.rows(f"SELECT RELEASE_LOCK('{entity_id}')")


@pytest.fixture
async def observer(database: DatabaseServer) -> AsyncIterator[Observer]:
    """An observer; before and after, the account under test has its rights and no connection."""
    connection = await aiomysql.connect(
        host=database.host,
        port=database.port,
        user=database.user,
        password=database.password,
        autocommit=True,
        # The driver makes exceptions of warnings; MySQL warns of a process list in the old way.
        init_command="SET SESSION sql_notes = 0, max_error_count = 0",
    )
    observer = Observer(connection, "")
    # The tests come from where the observer comes from, whatever the server calls that.
    [[host]] = await observer.rows("SELECT SUBSTRING_INDEX(USER(), '@', -1)")
    observer.account = f"'{READER}'@'{host}'"
    await observer.hang_up()
    for statement in (
        f"DROP DATABASE IF EXISTS {PLAIN}",
        f"CREATE DATABASE {PLAIN}",
        f"USE {PLAIN}",
        "CREATE TABLE t (id INT PRIMARY KEY, n INT)",
        "INSERT INTO t VALUES (1, 10)",
        "CREATE TABLE things (n INT)",
        "CREATE TABLE numbers (n INT PRIMARY KEY)",
        f"INSERT INTO numbers VALUES {', '.join(f'({n})' for n in range(1000))}",
        "CREATE TABLE pace (entity_id VARCHAR(128), seconds INT)",
        f"DROP USER IF EXISTS {observer.account}",
        f"CREATE USER {observer.account} IDENTIFIED BY 'secret'",
        f"GRANT SELECT ON {PLAIN}.* TO {observer.account}",
    ):
        await observer.rows(statement)
    yield observer
    # A statement whose client is gone runs on until its deadline.
    await observer.hang_up()
    await connection.ensure_closed()


@pytest.fixture
def server(database: DatabaseServer) -> Server:
    """The server as the account under test sees it."""
    return replace(server_of(database), user=READER, name=PLAIN, password=given("secret"))


@pytest.fixture
async def pool(server: Server, observer: Observer) -> AsyncIterator[Pool]:
    """A pool of the account under test."""
    pool = Pool(server)
    yield pool
    await pool.connections.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fraudd:
    """A running daemon, and how to talk to it."""

    daemon: Daemon
    metrics: Metrics
    port: int
    http: aiohttp.ClientSession
    task: "asyncio.Task[None]"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def ask(self, entity_id: str, **more: Any) -> tuple[int, Any]:
        """POST; gives status and body."""
        body = {"entity_id": entity_id, **more}
        async with self.http.post("/v1/predictions", json=body) as answer:
            return answer.status, await answer.json()

    async def look_up(self, entity_id: str) -> tuple[int, Any]:
        """GET; gives status and body."""
        async with self.http.get(f"/v1/predictions/{entity_id}") as answer:
            return answer.status, await answer.json(content_type=None)

    async def ended(self, entity_id: str) -> Any:
        """Wait until no run of the entity is pending; gives the body."""
        async with asyncio.timeout(20):
            while True:
                _, body = await self.look_up(entity_id)
                if body["status"] not in ("calculating", 404):
                    return body

    async def status(self) -> Any:
        """GET /v1/status."""
        async with self.http.get("/v1/status") as answer:
            return await answer.json()

    async def jobs(self, outcome: str, count: int = 1) -> None:
        """Wait until so many messages came to an outcome."""
        async with asyncio.timeout(20):
            while self.sample("fraudd_messages_total", outcome=outcome) < count:
                await self.status()

    async def breaker(self, state: str) -> None:
        """Wait until the breaker is in a state."""
        async with asyncio.timeout(20):
            while (await self.status())["breaker"] != state:
                pass

    def sample(self, name: str, **labels: str) -> float:
        """The value of a metric; 0 where there is none yet."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


Start = Callable[..., AbstractAsyncContextManager[Fraudd]]


@pytest.fixture(scope="session")
def feature_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The feature files of the daemons under test."""
    folder = tmp_path_factory.mktemp("features")
    for name, content in FEATURES.items():
        (folder / f"{name}.sql").write_text(content)
    return folder


@pytest.fixture(scope="session")
def model_file(feature_folder: Path) -> Path:
    """A model that knows the features, and nothing about fraud."""
    return ignorant_model(feature_folder)


@pytest.fixture
def config(aws: Aws, observer: Observer, database: DatabaseServer, model_file: Path) -> Config:
    """The configuration of a daemon with a queue and a table of its own."""
    password = model_file.with_name("password")
    password.write_text("secret")
    return Config.model_validate(
        {
            "http": {"listen": "127.0.0.1:0"},
            "aws": {"region": REGION, "read_timeout_seconds": 4},
            "queue": {
                "url": aws.names.queue_url,
                "wait_seconds": 1,
                "visibility_timeout_seconds": 30,
            },
            "topics": {
                "requests_arn": aws.names.requests_arn,
                "completions_arn": aws.names.completions_arn,
            },
            "results": {"table": aws.names.table},
            "database": {
                "host": database.host,
                "port": database.port,
                "user": READER,
                "name": PLAIN,
                "password_credential": str(password),
            },
            "runs": {"backoff_base_seconds": 0.1, "backoff_max_seconds": 0.2},
            "features": {"directory": model_file.parent},
            "model": {"path": model_file},
        }
    )


@pytest.fixture
def start(aws_clients: Clients) -> Start:
    """Start a daemon; at the end it is stopped, and must have stopped cleanly."""

    @asynccontextmanager
    async def started(config: Config) -> AsyncIterator[Fraudd]:
        metrics = Metrics()
        daemon = Daemon(config, aws_clients, metrics)
        await daemon.check(load(config))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            async with (
                asyncio.TaskGroup() as group,
                aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
            ):
                task = group.create_task(daemon.run(listener))
                yield Fraudd(daemon=daemon, metrics=metrics, port=port, http=http, task=task)
                if not task.done():
                    # Twice is at once: no test has to wait for an outstanding poll.
                    daemon.stop()
                    daemon.stop()

    return started


def changed(config: Config, **sections: dict[str, Any]) -> Config:
    """Give the configuration with some keys changed."""
    values = config.model_dump()
    for section, keys in sections.items():
        values[section] |= keys
    return Config.model_validate(values)


class Inbox:
    """A queue subscribed to a topic: what a subscriber sees."""

    def __init__(self, aws: Aws, url: str) -> None:
        self._aws = aws
        self._url = url

    async def take(self, count: int) -> list[Any]:
        """Wait for so many messages; gives their bodies."""
        bodies: list[Any] = []
        async with asyncio.timeout(20):
            while len(bodies) < count:
                bodies += await self.rest(wait_seconds=1)
        return bodies

    async def attributes(self, count: int) -> list[dict[str, str]]:
        """Wait for so many messages; gives their attributes."""
        found: list[dict[str, str]] = []
        async with asyncio.timeout(20):
            while len(found) < count:
                found += [
                    {name: of["StringValue"] for name, of in one["MessageAttributes"].items()}
                    for one in await self._received(wait_seconds=1)
                ]
        return found

    async def rest(self, wait_seconds: int = 0) -> list[Any]:
        """Give the bodies of what is there."""
        return [json.loads(message["Body"]) for message in await self._received(wait_seconds)]

    async def _received(self, wait_seconds: int) -> list[Any]:
        answer = await self._aws.clients.polls.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait_seconds,
            MessageAttributeNames=["All"],
        )
        messages: list[Any] = list(answer.get("Messages", []))
        for message in messages:
            await self._aws.clients.sqs.delete_message(
                QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"]
            )
        return messages


async def subscribed(aws: Aws, topic_arn: str) -> Inbox:
    """Subscribe an inbox to a topic."""
    name = f"{topic_arn.rpartition(':')[2]}-inbox"
    url = (await aws.clients.sqs.create_queue(QueueName=name))["QueueUrl"]
    attributes = await aws.clients.sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["QueueArn"]
    )
    await aws.clients.sns.subscribe(
        TopicArn=topic_arn,
        Protocol="sqs",
        Endpoint=attributes["Attributes"]["QueueArn"],
        Attributes={"RawMessageDelivery": "true"},
    )
    return Inbox(aws, url)


@pytest.fixture
async def completions(aws: Aws) -> Inbox:
    """What is announced."""
    return await subscribed(aws, aws.names.completions_arn)


@pytest.fixture
async def requests(aws: Aws) -> Inbox:
    """What is published to the topic of requests."""
    return await subscribed(aws, aws.names.requests_arn)
