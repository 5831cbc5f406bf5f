"""A second emulator of AWS, so that no adapter depends on one interpretation of AWS alone."""

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
