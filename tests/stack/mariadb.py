"""A MariaDB of the tests' own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fraudd.local import mariadb
from fraudd.local.process import running
from fraudd.local.settings import DatabaseServer
from tests.stack.database import DEMO
from tests.stack.paths import ROOT
from tests.stack.workers import free_port


@contextmanager
def private_mariadb(folder: Path) -> Iterator[DatabaseServer]:
    """A real MariaDB, empty."""
    port = free_port()
    with running(mariadb.command(mariadb.find(ROOT / ".tools"), folder, port=port)):
        yield DatabaseServer(host="127.0.0.1", port=port, user="root", password="", name=DEMO)
