"""``fraudd status``, as a process that looks at a real daemon."""

import asyncio
import fcntl
import json
import os
import signal
import struct
import termios
from collections.abc import AsyncIterator, Iterator

import pytest

from fraudd.config import Config
from tests.stack.commands import ran, started
from tests.stack.daemon import Fraudd, Start
from tests.stack.observer import Observer
from tests.stack.paths import FRAUDD
from tests.stack.workers import free_port

HOME = "\x1b[H"


@pytest.fixture
async def fraudd(start: Start, config: Config) -> AsyncIterator[Fraudd]:
    async with start(config) as fraudd:
        yield fraudd


class Terminal:
    """A terminal of 80 columns and 8 lines, and what was written to it."""

    def __init__(self, ours: int, theirs: int) -> None:
        self._ours = ours
        self.theirs = theirs
        self.written = ""

    async def until(self, text: str, times: int = 1) -> None:
        """Wait until a text was written so often."""
        async with asyncio.timeout(20):
            while self.written.count(text) < times:
                self.written += (await asyncio.to_thread(os.read, self._ours, 65_536)).decode()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 8, 80, 0, 0))
    yield Terminal(ours, theirs)
    os.close(theirs)
    os.close(ours)


async def watching(url: str, terminal: Terminal) -> asyncio.subprocess.Process:
    """Watch a daemon in a terminal."""
    return await asyncio.create_subprocess_exec(
        *(FRAUDD, "status", "--url", url, "--watch"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=terminal.theirs,
        stderr=terminal.theirs,
        # pytest's readline sets LINES and COLUMNS, and its workers inherit them. They describe
        # another terminal.
        env={k: v for k, v in os.environ.items() if k not in ("LINES", "COLUMNS")},
    )


async def test_a_daemon_in_work_is_shown(fraudd: Fraudd, observer: Observer) -> None:
    await observer.hold_up("shop-1")
    _, asked = await fraudd.ask("shop-1")
    await observer.busy("User lock")
    status, out, err = await ran("status", "--url", fraudd.url)
    assert (status, err) == (0, "")
    assert f"at {fraudd.url}\n" in out
    assert "\nconsumers   [#..] 1 of 3 busy\n" in out
    assert f"{asked['run_id']} database" in out
    status, out, _ = await ran("status", "--url", fraudd.url, "--json")
    [job] = json.loads(out)["runs"]
    assert (status, job["entity_id"], job["run_id"]) == (0, "shop-1", asked["run_id"])
    await observer.let_go("shop-1")
    await fraudd.ended("shop-1")


async def test_a_daemon_out_of_reach_is_status_1() -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    process = await started("status", "--url", nowhere)
    out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert b"fraudd: unreachable: " in err


async def test_watching_renews_the_terminal_in_place_until_ctrl_c(
    fraudd: Fraudd, terminal: Terminal
) -> None:
    process = await watching(fraudd.url, terminal)
    await terminal.until(" more", times=2)
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 0
    _, *renewed = terminal.written.split(HOME)
    assert len(renewed) >= 2
    for screen in renewed[:-1]:
        assert "\x1b[2J" not in screen, "what is cleared flickers"
        assert screen.count("\n") == 7
    assert "Traceback" not in terminal.written


async def test_watching_goes_on_while_the_daemon_is_away(terminal: Terminal) -> None:
    process = await watching(f"http://127.0.0.1:{free_port()}", terminal)
    await terminal.until("retrying every second", times=2)
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 0


async def test_where_there_is_no_terminal_watching_is_refused_but_as_json(fraudd: Fraudd) -> None:
    status, out, err = await ran("status", "--url", fraudd.url, "--watch")
    assert (status, out) == (2, "")
    assert "run: fraudd status --watch --json" in err
    process = await started("status", "--url", fraudd.url, "--watch", "--json")
    assert process.stdout is not None
    told = [json.loads(await process.stdout.readline()) for _ in range(2)]
    assert [one["state"] for one in told] == ["serving", "serving"]
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert process.returncode == 0
