"""Real components for tests: each server on a free port, stopped by its process id at the end."""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from xdist.remote import Producer

from fraudd.aws.session import Clients
from fraudd.local import emulator
from fraudd.local.process import running
from fraudd.local.settings import DatabaseServer, Settings, server_at
from fraudd.telemetry import log
from tests.stack.aws import Aws, clients_of, provisioned
from tests.stack.database import DEMO, clear
from tests.stack.mariadb import private_mariadb
from tests.stack.paths import ROOT
from tests.stack.platform import kept_platform, seeded, settings_in
from tests.stack.schedule import Schedule, longest_first
from tests.stack.workers import free_port


def pytest_configure(config: pytest.Config) -> None:
    """Let pytest-xdist hand out the tests in the order that they are in."""
    if config.getoption("numprocesses", None):
        config.option.loadscopereorder = False


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Schedule:
    """Hand out whole files, and single tests of a few."""
    return Schedule(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files that take longest if several workers share them."""
    if hasattr(config, "workerinput"):
        longest_first(items)


@pytest.fixture
def own_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a test configure the log, and leave it as it was."""
    root, own = logging.getLogger(), logging.getLogger("fraudd")
    levels = root.level, own.level
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(log, "_write", None)
    yield
    root.setLevel(levels[0])
    own.setLevel(levels[1])


@pytest.fixture(scope="session")
def aws_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real AWS API over HTTP."""
    port = free_port()
    folder = tmp_path_factory.mktemp("emulator")
    with running(emulator.command(ROOT / ".tools", folder, port=port)):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
async def aws_clients(aws_endpoint: str) -> AsyncIterator[Clients]:
    """Clients of the emulator."""
    async with clients_of(aws_endpoint) as clients:
        yield clients


@pytest.fixture
async def aws(aws_clients: Clients) -> Aws:
    """Topics, queue and table that no other test uses."""
    return await provisioned(aws_clients)


@pytest.fixture(scope="session")
def database_url() -> str | None:
    """The server that the tests shall use; none for a MariaDB of their own."""
    return os.environ.get("FRAUDD_TEST_MYSQL")


@pytest.fixture(scope="session")
def database(
    database_url: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DatabaseServer]:
    """A real server, left as it was found. One of our own has the demo platform already."""
    if database_url is None:
        folder = tmp_path_factory.mktemp("mariadb")
        kept_platform().copy_data(folder)
        with private_mariadb(folder) as server:
            yield server
    else:
        server = replace(server_at(database_url, variable="FRAUDD_TEST_MYSQL"), name=DEMO)
        clear(server)  # an earlier run may have been killed
        yield server
        clear(server)


@pytest.fixture(scope="session")
async def platform(
    database: DatabaseServer, database_url: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """A small demo platform in the database; its labels are in the state folder."""
    root = tmp_path_factory.mktemp("checkout")
    if database_url is not None:
        return await seeded(database, root, now=datetime.now(UTC))
    settings = settings_in(root, database)
    kept_platform().copy_state(settings.state)
    return settings
