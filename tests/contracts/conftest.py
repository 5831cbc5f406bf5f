"""Other emulators of AWS, so that no adapter depends on one interpretation of AWS alone."""

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from fraudd.aws.session import Clients
from fraudd.local.process import Command, answers, running
from tests.stack.aws import clients_of
from tests.stack.paths import ROOT
from tests.stack.workers import free_port


@pytest.fixture(scope="session")
async def moto(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Clients]:
    """Clients of a second emulator, which interprets AWS's documentation differently."""
    program = str(ROOT / ".tools/moto/bin/moto_server")
    arguments = [program, "-H", "127.0.0.1", "-p"]
    async with _clients_of("moto", arguments, tmp_path_factory) as clients:
        yield clients


@pytest.fixture(scope="session")
async def dynamodb_local(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Clients]:
    """Clients of Amazon's own DynamoDB Local. Only the one of DynamoDB has a server."""
    folder = ROOT / ".tools/dynamodb-local/package/emulator"
    if not folder.exists():
        pytest.skip("no DynamoDB Local: it needs npm and Java, then make .tools/dynamodb-local")
    java = shutil.which("java")
    assert java is not None, "DynamoDB Local is installed only if Java is"
    # It writes a file into the current folder.
    command = ["env", f"--chdir={folder}", java, f"-Djava.library.path={folder}/DynamoDBLocal_lib"]
    options = ["-jar", str(folder / "DynamoDBLocal.jar"), "-inMemory", "-disableTelemetry", "-port"]
    async with _clients_of("dynamodb-local", command + options, tmp_path_factory) as clients:
        yield clients


@asynccontextmanager
async def _clients_of(
    name: str, arguments: Sequence[str], folders: pytest.TempPathFactory
) -> AsyncIterator[Clients]:
    """Start an emulator, whose last argument is its port, and give its clients."""
    port = free_port()
    server = Command(
        name=name,
        arguments=[*arguments, str(port)],
        environment=None,
        log=folders.mktemp(name) / f"{name}.log",
        is_up=lambda: answers(port),
    )
    with running(server):
        async with clients_of(f"http://127.0.0.1:{port}") as clients:
            yield clients
