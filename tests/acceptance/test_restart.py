"""One daemon after the other on a socket that systemd holds: nobody who calls is refused."""

import asyncio
import signal
from pathlib import Path

from tests.acceptance.callers import Callers
from tests.acceptance.manager import Manager, manager

pytest_plugins = ("tests.acceptance.test_serve",)


def address_of(playing: Manager) -> tuple[str, int]:
    host, port = playing.listening.getsockname()[:2]
    return host, port


async def test_a_restart_under_load_loses_no_request(tmp_path: Path, config: Path) -> None:
    """Two hundred look-ups a second over connections that are kept; and a few that come seldom."""
    with manager(tmp_path) as playing:
        address = address_of(playing)
        callers = [
            Callers(address=address, path=path, per_second=rate, connections=connections)
            for path, rate, connections in [
                ("/v1/predictions/shop-1", 160.0, 16),
                ("/v1/predictions/shop-2", 40.0, 40),
            ]
        ]
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            with playing.service(config) as first:
                first.wait_for("daemon.ready")
                calling = [group.create_task(some.call(over)) for some in callers]
                await asyncio.sleep(1.0)
                first.process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(first.process.wait, 60) == 0
            with playing.service(config) as second:
                await asyncio.to_thread(second.wait_for, "daemon.ready")
                await asyncio.sleep(1.0)
                over.set()
                await asyncio.wait(calling)
                assert second.end() == 0
        for some in callers:
            assert set(some.outcomes) == {"404"}, some.outcomes
            assert some.outcomes["404"] > 3 * some.connections
            assert some.reconnected > some.connections
