"""Fixtures of a daemon in this process, on real components."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import aiomysql
import pytest

from fraudd.aws.session import Clients
from fraudd.config import Config
from fraudd.daemon.daemon import Daemon
from fraudd.daemon.scorers import load
from fraudd.database.server import Server
from fraudd.local.settings import DatabaseServer
from fraudd.telemetry.metrics import Metrics
from tests.stack.aws import Aws
from tests.stack.configuration import sections
from tests.stack.daemon import Fraudd, Start
from tests.stack.database import PLAIN, READER, Pool, given, server_of
from tests.stack.features import write_features
from tests.stack.model import ignorant_model
from tests.stack.observer import Observer
from tests.stack.subscriber import Inbox, subscribed


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


@pytest.fixture(scope="session")
def feature_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The feature files of the daemons under test."""
    folder = tmp_path_factory.mktemp("features")
    write_features(folder)
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
    values = sections(
        aws.names,
        database,
        http={"listen": "127.0.0.1:0"},
        aws={"read_timeout_seconds": 4},
        queue={"wait_seconds": 1, "visibility_timeout_seconds": 30},
        runs={"backoff_base_seconds": 0.1, "backoff_max_seconds": 0.2},
        features={"directory": model_file.parent},
        model={"path": model_file},
    )
    values["database"] |= {"user": READER, "name": PLAIN, "password_credential": str(password)}
    return Config.model_validate(values)


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
            serves = False
            try:
                async with (
                    asyncio.TaskGroup() as group,
                    aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
                ):
                    task = group.create_task(daemon.run(listener))
                    while not daemon.address:
                        await asyncio.sleep(0.005)
                    serves = True
                    yield Fraudd(daemon=daemon, metrics=metrics, port=port, http=http, task=task)
                    if not task.done():
                        # Twice is at once: no test has to wait for an outstanding poll.
                        daemon.stop()
                        daemon.stop()
            except ExceptionGroup as errors:
                if serves:
                    raise
                raise errors.exceptions[0] from None  # why it did not start

    return started


@pytest.fixture
async def completions(aws: Aws) -> Inbox:
    """What is announced."""
    return await subscribed(aws, aws.names.completions_arn)


@pytest.fixture
async def requests(aws: Aws) -> Inbox:
    """What is published to the topic of requests."""
    return await subscribed(aws, aws.names.requests_arn)
