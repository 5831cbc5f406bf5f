"""Which tests run in which worker of pytest-xdist, and in which order."""

from collections.abc import Sequence

import pytest
from xdist.scheduler import LoadFileScheduling

#: Files whose tests share nothing that takes long to make: any worker may take any of them.
SPREAD = frozenset(
    {
        "tests/acceptance/test_check_plants.py",
        "tests/contracts/test_contracts.py",
        "tests/simulation/test_estimates.py",
        "tests/simulation/test_priority.py",
        "tests/simulation/test_simulation.py",
    }
)
#: The slowest files, the slowest first: if one of them began last, the others would wait for it.
LONGEST = (
    "tests/contracts/test_provision.py",
    "tests/integration/test_backfill.py",
    "tests/acceptance/test_systemd.py",
    "tests/integration/test_daemon.py",
    "tests/acceptance/test_demo.py",
    "tests/acceptance/test_serve.py",
    "tests/acceptance/test_provision.py",
    "tests/acceptance/test_own_server.py",
    "tests/docs/test_operations.py",
    "tests/acceptance/test_check.py",
    "tests/acceptance/test_dlq.py",
    "tests/integration/test_reload.py",
    "tests/integration/test_dlq.py",
    "tests/acceptance/test_check_credentials.py",
    "tests/integration/test_calls.py",
    "tests/integration/test_training.py",
    "tests/integration/test_demo_sql.py",
    "tests/integration/test_commands.py",
    "tests/integration/test_status.py",
    "tests/integration/test_fuzz.py",
)


class Schedule(LoadFileScheduling):  # type: ignore[misc]
    """Hands out whole files, and single tests of the files that are spread."""

    def _split_scope(self, nodeid: str) -> str:
        """Give what belongs together: a file, or one test."""
        file = file_of(nodeid)
        return nodeid if file in SPREAD else file


def longest_first(items: list[pytest.Item]) -> None:
    """Order tests by their files: the longest first, what is spread at the end."""
    items.sort(key=lambda item: _rank(file_of(item.nodeid)))


def file_of(nodeid: str) -> str:
    """Give the file of a test."""
    return nodeid.partition("::")[0]


def _rank(file: str, longest: Sequence[str] = LONGEST) -> int:
    if file in SPREAD:
        return len(longest) + 1
    return longest.index(file) if file in longest else len(longest)
