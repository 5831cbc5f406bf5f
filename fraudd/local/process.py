"""A server of our own: started in the background, waited for, and stopped whatever happens."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fraudd.errors import Misconfigured

#: A server that is not up by then will not come up.
_START_SECONDS = 30.0
#: A server that has not stopped by then is asked again, and killed soon after.
_STOP_SECONDS, _HURRY_SECONDS = 60.0, 5.0
#: Has the kernel send SIGTERM to a server should we be killed (util-linux).
_DIES_WITH_US = ("setpriv", "--pdeathsig", "TERM", "--") if shutil.which("setpriv") else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How to start a server, and how to see that it is up."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] | None
    log: Path
    is_up: Callable[[], bool]


@contextmanager
def running(command: Command) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server as long as the block does. Raises ``Misconfigured`` where it does not come up.

    It gets a session of its own, so that Ctrl-C reaches us alone and we stop all in order.
    """
    command.log.parent.mkdir(parents=True, exist_ok=True)
    with command.log.open("wb") as log:
        process = subprocess.Popen(
            [*_DIES_WITH_US, *command.arguments],
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
    """End a server: SIGTERM, once more where somebody is impatient, SIGKILL at last."""
    for patience in (_STOP_SECONDS, _HURRY_SECONDS):
        process.terminate()
        try:
            process.wait(patience)
        except (KeyboardInterrupt, subprocess.TimeoutExpired):
            continue
        return
    process.kill()
    process.wait()


def tail(log: Path, lines: int = 5) -> str:
    """Give the last lines of a log."""
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:])


def taken(port: int) -> bool:
    """Tell whether somebody listens on a port of 127.0.0.1 already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def answers(port: int) -> bool:
    """Tell whether something accepts connections on a port of 127.0.0.1."""
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
        f"{command.name} did not come up; its log {command.log} ends:\n{tail(command.log)}"
    )
