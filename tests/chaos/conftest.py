"""One AWS API and one database for all tests here, which can be stopped, and paused."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fraudd.local import emulator, mariadb
from tests.chaos.servers import Database
from tests.chaos.stage import Announced, Stage
from tests.stack.aws import Aws
from tests.stack.features import write_features
from tests.stack.model import ignorant_model
from tests.stack.paths import ROOT
from tests.stack.servers import Server, served
from tests.stack.subscriber import subscribed
from tests.stack.workers import free_port

#: The features that a test here can hold up.
FEATURES = ("known", "gate", "pace")


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
    write_features(folder, *FEATURES)
    ignorant_model(folder)
    return folder


@pytest.fixture
async def announced(aws: Aws) -> Announced:
    """What is announced, from now on."""
    return Announced(await subscribed(aws, aws.names.completions_arn))


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
    async with platform_database.counted() as connections:
        yield Stage(
            aws=aws,
            aws_server=aws_server,
            database=platform_database,
            emulator_port=emulator_port,
            features=features,
            folder=tmp_path,
            announced=announced,
            connections=connections,
        )
