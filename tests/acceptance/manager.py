"""Plays systemd: opens the socket, starts daemons on it one by one, and hears what they say."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stack.paths import FRAUDD
from tests.stack.process import PATIENCE_SECONDS, Process, supervised

#: What the manager does between fork and exec: the socket gets number 3, and the child's own id
#: goes into the environment.
_HAND_OVER = """\
import os, sys
number, *command = sys.argv[1:]
os.dup2(int(number), 3, inheritable=True)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "http", "LISTEN_PID": str(os.getpid())}
if "WATCHDOG_USEC" in os.environ:
    os.environ["WATCHDOG_PID"] = str(os.getpid())
os.execv(command[0], command)
"""


class Manager:
    """A service manager with one socket unit and its service."""

    def __init__(self, folder: Path, listening: socket.socket) -> None:
        self._folder = folder
        self.listening = listening
        self._told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._told.bind(str(folder / "notify"))
        self._datagrams: list[dict[str, str]] = []
        self._came = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def address(self) -> tuple[str, int]:
        """Where callers connect."""
        host, port = self.listening.getsockname()[:2]
        return host, port

    @contextmanager
    def service(
        self, config: Path, *, program: tuple[str, ...] = (FRAUDD,), **environment: str
    ) -> Iterator[Process]:
        """Start the service; it is gone when the block ends."""
        number = self.listening.fileno()
        command = [
            *(sys.executable, "-c", _HAND_OVER, str(number)),
            *(*program, "serve", "--config", str(config)),
        ]
        process = subprocess.Popen(
            command,
            env=os.environ | {"NOTIFY_SOCKET": str(self._folder / "notify")} | environment,
            pass_fds=[number],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        try:
            with supervised(process) as running:
                yield running
        finally:
            print(running.printed())  # shown where the test fails

    def told(self) -> list[dict[str, str]]:
        """Every datagram so far, as assignments."""
        with self._came:
            return list(self._datagrams)

    def wait_for(self, name: str, text: str = "", *, after: int = 0) -> dict[str, str]:
        """Wait for an assignment that has a text in it; gives its datagram."""

        def found() -> dict[str, str] | None:
            for datagram in self._datagrams[after:]:
                if text in datagram.get(name, "") and name in datagram:
                    return datagram
            return None

        with self._came:
            assert self._came.wait_for(found, PATIENCE_SECONDS), self._datagrams[after:]
            datagram = found()
        assert datagram is not None
        return datagram

    def starved(self, seconds: float) -> None:
        """Wait until the watchdog was not fed for so long."""

        so_far = 0

        def fed() -> bool:
            return sum("WATCHDOG" in one for one in self._datagrams) > so_far

        with self._came:
            while self._came.wait_for(fed, seconds):
                so_far = sum("WATCHDOG" in one for one in self._datagrams)

    def close(self) -> None:
        """Hear no more."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self._folder / "notify"))
        self._reader.join(PATIENCE_SECONDS)
        self._told.close()

    def _read(self) -> None:
        while datagram := self._told.recv(10_000):
            pairs = (line.partition("=") for line in datagram.decode().split("\n"))
            with self._came:
                self._datagrams.append({name: value for name, _, value in pairs})
                self._came.notify_all()


@contextmanager
def manager(folder: Path, host: str = "127.0.0.1") -> Iterator[Manager]:
    """Play systemd in a folder, with a socket at a free port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, backlog=1024) as listening:
        playing = Manager(folder, listening)
        try:
            yield playing
        finally:
            playing.close()
