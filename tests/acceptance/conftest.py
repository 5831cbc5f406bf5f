"""The shipped command, as a process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fraudd.aws.session import Clients
from fraudd.local.settings import DatabaseServer, Settings
from tests.acceptance.installation import Installation, installed
from tests.stack.paths import ROOT


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose state nobody else uses."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("config", ".tools"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture
async def installation(
    tmp_path: Path,
    aws_clients: Clients,
    aws_endpoint: str,
    database: DatabaseServer,
    platform: Settings,
) -> AsyncIterator[Installation]:
    """An installation that works, of which nobody else knows but the database server."""
    async with installed(tmp_path, aws_clients, aws_endpoint, database) as one:
        yield one
