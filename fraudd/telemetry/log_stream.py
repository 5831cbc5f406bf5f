"""Writes the log in a thread, so that a reader that stops reading stops nothing else."""

import os
import select
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

#: A few seconds of a busy daemon, and less than 5 MB.
MAX_LINES = 10_000
#: Lines that are written at once.
_BATCH = 100
#: How long the end of the process waits for the reader.
_CLOSE_SECONDS = 2.0


class LogStream:
    """A text stream for log lines on a file descriptor. If the queue is full, lines are dropped.

    ``report`` logs the number of lines that were dropped, as soon as there is room again.
    """

    def __init__(self, descriptor: int, *, report: Callable[[int], None]) -> None:
        self._descriptor = descriptor
        self._report = report
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        #: The number of lines that were dropped so far.
        self.dropped = 0
        self._reported = 0
        # If the reader has stopped, the thread never ends, and must not keep the process.
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Queue a line. This never waits."""
        if self._lines.qsize() >= MAX_LINES:
            self.dropped += 1
        else:
            self._lines.put(line)

    def flush(self) -> None:
        """Do nothing: the thread writes as soon as it can."""

    def close(self) -> None:
        """Write what is queued, for a short time."""
        self._lines.put(None)
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        ended = False
        while not ended:
            lines, ended = self._next_lines()
            try:
                self._write("".join(lines).encode("utf-8", "backslashreplace"))
            except OSError:
                self.dropped += len(lines)  # the pipe is closed, or the disk is full
            else:
                self._report_dropped()

    def _next_lines(self) -> tuple[list[str], bool]:
        """Wait for a line, and take those behind it. The second value: the stream is closed."""
        lines: list[str] = []
        line = self._lines.get()
        while line is not None:
            lines.append(line)
            if len(lines) == _BATCH:
                return lines, False
            try:
                line = self._lines.get_nowait()
            except Empty:
                return lines, False
        return lines, True

    def _write(self, data: bytes) -> None:
        # Not through sys.stdout: Python cannot exit while a thread waits inside its buffer.
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])

    def _report_dropped(self) -> None:
        dropped = self.dropped
        if dropped > self._reported:
            count, self._reported = dropped - self._reported, dropped
            self._report(count)
