"""Commands as processes: what they print, and how they end."""

import os
import select
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Long enough for a slow machine; nothing waits for it but a failure.
PATIENCE_SECONDS = 60.0


class Process:
    """A running command and what it has printed so far."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self._lines: list[str] = []
        self._ended = False
        self._printed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def printed(self) -> str:
        """Everything so far; all of it once the process has ended."""
        if self.process.poll() is not None:
            self._reader.join(PATIENCE_SECONDS)
        with self._printed:
            return "".join(self._lines)

    def wait_for(self, text: str) -> str:
        """Wait until a text is printed; gives everything so far."""

        def found() -> bool:
            return self._ended or any(text in line for line in self._lines)

        with self._printed:
            self._printed.wait_for(found, PATIENCE_SECONDS)
        assert text in self.printed()
        return self.printed()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; gives the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._printed:
                self._lines.append(line)
                self._printed.notify_all()
        with self._printed:
            self._ended = True
            self._printed.notify_all()


@contextmanager
def supervised(process: "subprocess.Popen[str]") -> Iterator[Process]:
    """Read what a process prints; it is gone when the block ends."""
    running = Process(process)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        running.printed()
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def command(folder: Path, *arguments: str, **environment: str) -> Iterator[Process]:
    """Run a command in a folder; it is gone when the block ends."""
    process = subprocess.Popen(
        arguments,
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    with supervised(process) as running:
        yield running


def nothing_left(folder: Path) -> bool:
    """Wait until every process that names a folder in its command line has ended."""
    poll = select.poll()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes():
                poll.register(os.pidfd_open(int(path.parent.name)), select.POLLIN)
                left = poll.poll(PATIENCE_SECONDS * 1000)
                if not left:
                    return False
                poll.unregister(left[0][0])
                os.close(left[0][0])
        except OSError:
            continue  # it has ended meanwhile
    return True
