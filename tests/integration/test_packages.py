"""What a command loads: each runs in a process of its own, in which packages may be blocked."""

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from fraudd.cli import COMMANDS
from tests.stack.workers import free_port

#: Packages that only the daemon and its tools need: the extra ``daemon``.
DAEMON_PACKAGES = frozenset(
    {
        "aiobotocore", "aiomysql", "botocore", "cryptography", "numpy", "prometheus_client",
        "pydantic", "pydantic_core", "pymysql", "scipy", "xgboost",
    }
)  # fmt: skip
CLIENT_COMMANDS = ("request", "result", "status", "backfill", "token")


@dataclass(frozen=True)
class Child:
    """What a process that ran a command has loaded and used."""

    status: int
    stderr: str
    modules: frozenset[str]
    cpu_seconds: float
    resident_bytes: int


_IN_CHILD = """\
import sys
from pathlib import Path

blocked = set(sys.argv[1].split(","))

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in blocked:
            return self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Without, sys.meta_path)
try:
    from fraudd.cli import main
    status = main(sys.argv[2:])
except SystemExit as left:
    status = left.code or 0
import time
# Not getrusage(): its maximum has the size of the parent that forked us in it.
[peak] = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
print()
print(status, time.process_time(), peak.split()[1], *sys.modules)
"""


def in_child(*words: str, blocked: Iterable[str] = ()) -> Child:
    """Run a command in a process of its own, in which packages may be blocked."""
    ended = subprocess.run(
        [sys.executable, "-c", _IN_CHILD, ",".join(blocked), *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    status, seconds, kilobytes, *modules = ended.stdout.splitlines()[-1].split()
    return Child(
        status=int(status),
        stderr=ended.stderr,
        modules=frozenset(modules),
        cpu_seconds=float(seconds),
        resident_bytes=int(kilobytes) * 1024,
    )


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in CLIENT_COMMANDS)])
def test_a_client_command_loads_nothing_of_the_daemon(words: list[str]) -> None:
    child = in_child(*words)
    assert child.status == 0
    assert not DAEMON_PACKAGES & child.modules
    if words[0] in ("--help", "token"):
        assert not {"aiohttp", "asyncio"} & child.modules


def test_a_command_is_quick_and_small() -> None:
    child = in_child("token", "--help")
    assert child.cpu_seconds <= 0.25
    assert child.resident_bytes <= 40 * 2**20


def test_the_client_and_its_commands_run_without_the_packages_of_the_daemon() -> None:
    assert in_child("token", "new", "shop", "--scope", "read", blocked=DAEMON_PACKAGES).status == 0
    for words in (["request", "shop-1"], ["result", "shop-1"], ["status"]):
        url = f"http://127.0.0.1:{free_port()}"
        child = in_child(*words, "--url", url, "--token-file", "/gone", blocked=DAEMON_PACKAGES)
        assert child.status == 2
        assert "--token-file: cannot read /gone" in child.stderr


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - set(CLIENT_COMMANDS)))
def test_a_command_of_the_daemon_says_which_packages_to_install(name: str) -> None:
    child = in_child(name, "--help", blocked=DAEMON_PACKAGES)
    assert child.status == 78
    [line] = child.stderr.splitlines()
    assert line.endswith(f"'fraudd {name}' needs it. Run: pip install 'fraudd[daemon]'")
