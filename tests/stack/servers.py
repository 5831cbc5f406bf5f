"""A server that can be stopped, paused, and started again."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from fraudd.local.process import Command, running


class Server:
    """A server process that can be stopped, paused, and started again on the same data."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._stack = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it is up."""
        self._process = self._stack.enter_context(running(self._command))

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal that ends it, and wait until it is gone."""
        self._signal(number)
        if self._process is not None:
            self._process.wait()
        self._stack.close()

    @property
    def running(self) -> bool:
        """Whether it has been started and not ended."""
        return self._process is not None and self._process.poll() is None

    def pause(self) -> None:
        """Let it hear nothing and say nothing; its port still accepts connections."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on where it was."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None, "it is running"
        self._process.send_signal(number)


@contextmanager
def served(server: Server) -> Iterator[Server]:
    """Run a server as long as the block does, whatever happens to it meanwhile."""
    server.start()
    try:
        yield server
    finally:
        server.resume()
        server.stop()
