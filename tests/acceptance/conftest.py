"""The shipped command, as a process."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FRAUDD = str(Path(sys.executable).with_name("fraudd"))
#: Long enough for a slow machine; nothing waits for it but a failure.
PATIENCE_SECONDS = 60.0


@dataclass(kw_only=True)
class Process:
    """A running command and what it has printed so far."""

    process: "subprocess.Popen[bytes]"
    output: Path

    def printed(self) -> str:
        """Everything so far."""
        return self.output.read_text()

    def wait_for(self, text: str) -> str:
        """Wait until a text is printed; gives everything so far."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            if text in self.printed():
                return self.printed()
            if self.process.poll() is not None:
                break
            time.sleep(0.02)  # another process has no event to wait on
        raise AssertionError(f"{text!r} was not printed, but:\n{self.printed()}")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; gives the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def command(folder: Path, *arguments: str, **environment: str) -> Iterator[Process]:
    """Run a command in a folder; it is gone when the block ends."""
    output = folder / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            env=os.environ | environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        yield Process(process=process, output=output)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def http(method: str, url: str, body: Any = None) -> tuple[int, Any]:
    """Send a request; gives status and parsed body."""
    request = urllib.request.Request(
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def ended(base: str, entity_id: str) -> Any:
    """Wait until no run of an entity is pending; gives the body."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        _, body = http("GET", f"{base}/v1/predictions/{entity_id}")
        if body["status"] != "calculating":
            return body
        time.sleep(0.02)
    raise AssertionError(f"{entity_id} is still {body}")


def processes_of(folder: Path) -> list[str]:
    """The command lines of all processes that name a folder in theirs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in words:
            found.append(words)
    return found


@pytest.fixture
def fraudd() -> str:
    """The path of the command."""
    return FRAUDD
