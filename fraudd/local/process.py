"""Starts a server in the background, waits until it is up, and always stops it."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fraudd.errors import Misconfigured

#: A server that is not up after this time has failed.
_START_SECONDS = 30.0
#: A server gets SIGTERM twice, with these times to stop, then SIGKILL.
_STOP_SECONDS, _HURRY_SECONDS = 60.0, 5.0
#: The kernel sends SIGTERM to a server if its parent is killed (setpriv is in util-linux).
_DIES_WITH_PARENT = ("setpriv", "--pdeathsig", "TERM", "--") if shutil.which("setpriv") else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How to start a server, and how to check that it is up."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] | None
    log: Path
    is_up: Callable[[], bool]


@contextmanager
def running(command: Command) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server during the block. Raises ``Misconfigured`` if it does not start.

    The server gets a session of its own. So Ctrl-C reaches only this process, which stops all
    servers in order.
    """
    command.log.parent.mkdir(parents=True, exist_ok=True)
    with command.log.open("wb") as log:
        process = subprocess.Popen(
            [*_DIES_WITH_PARENT, *command.arguments],
            env=command.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_up(command, process)
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a server: SIGTERM, SIGTERM again on a second Ctrl-C, then SIGKILL."""
    for seconds in (_STOP_SECONDS, _HURRY_SECONDS):
        process.terminate()
        try:
            process.wait(seconds)
        except (KeyboardInterrupt, subprocess.TimeoutExpired):
            continue
        return
    process.kill()
    process.wait()


def tail(log: Path, lines: int = 5) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:])


def in_use(port: int) -> bool:
    """Return whether a port of 127.0.0.1 is in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def answers(port: int) -> bool:
    """Return whether a server accepts connections on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait_until_up(command: Command, process: subprocess.Popen[bytes]) -> None:
    for _ in range(round(_START_SECONDS / 0.05)):
        if process.poll() is not None:
            break
        if command.is_up():
            return
        time.sleep(0.05)
    raise Misconfigured(
        f"{command.name} did not start. Its log {command.log} ends:\n{tail(command.log)}"
    )
