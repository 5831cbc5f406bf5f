"""The daemon under a service manager: its socket, its watchdog, and what each tells the other."""

import asyncio
import json
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraudd.local.settings import DatabaseServer
from tests.acceptance.callers import Callers
from tests.acceptance.manager import Manager, manager
from tests.stack.aws import Aws
from tests.stack.configuration import as_toml, sections
from tests.stack.http import http
from tests.stack.model import ignorant_model

FEATURES = {
    "known": """\
-- exists
-- feature known: whether the entity is known | known
SELECT 1 AS known FROM DUAL WHERE %(entity_id)s LIKE 'shop-%%'""",
    "size": """\
-- feature size: characters of the name | {value:.0f} characters
SELECT CHAR_LENGTH(%(entity_id)s) AS size""",
}
STALLING = (sys.executable, str(Path(__file__).with_name("stalling.py")))


@pytest.fixture
def config(tmp_path: Path, aws: Aws, aws_endpoint: str, database: DatabaseServer) -> Path:
    """A configuration whose feature SQL reads no table."""
    for name, content in FEATURES.items():
        (tmp_path / f"{name}.sql").write_text(content)
    (tmp_path / "password").write_text(database.password)
    path = tmp_path / "fraudd.toml"
    values = sections(
        aws.names,
        database,
        http={"listen": "127.0.0.1:0"},
        aws={"endpoint_url": aws_endpoint},
        queue={"wait_seconds": 1},
        features={"directory": tmp_path},
        model={"path": ignorant_model(tmp_path)},
    )
    values["database"] |= {
        "name": "information_schema",
        "password_credential": str(tmp_path / "password"),
    }
    path.write_text(as_toml(values))
    return path


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Manager]:
    with manager(tmp_path) as playing:
        yield playing


def base(systemd: Manager) -> str:
    host, port = systemd.address
    return f"http://{host}:{port}"


async def test_a_restart_under_load_loses_no_request(systemd: Manager, config: Path) -> None:
    """Two hundred look-ups a second over connections that are kept, some of them called seldom."""
    callers = [
        Callers(address=systemd.address, path=path, per_second=rate, connections=connections)
        for path, rate, connections in [
            ("/v1/predictions/shop-1", 160.0, 16),
            ("/v1/predictions/shop-2", 40.0, 40),
        ]
    ]
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        with systemd.service(config) as first:
            await asyncio.to_thread(first.wait_for, "daemon.ready")
            calling = [group.create_task(some.call(over)) for some in callers]
            while any(some.outcomes.total() < 5 * some.connections for some in callers):
                await asyncio.sleep(0.05)
            first.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(first.process.wait, 60) == 0
        before = [some.outcomes.total() for some in callers]
        with systemd.service(config) as second:
            await asyncio.to_thread(second.wait_for, "daemon.ready")
            while any(
                some.outcomes.total() < so_far + 5 * some.connections
                for some, so_far in zip(callers, before, strict=True)
            ):
                await asyncio.sleep(0.05)
            over.set()
            await asyncio.wait(calling)
            assert second.end() == 0
    for some in callers:
        assert set(some.outcomes) == {"404"}, some.outcomes
        assert some.reconnected >= 2 * some.connections
        print(some)


def request(connection: socket.socket) -> str:
    """Ask whether the process is alive; gives the answer's head, and reads to its end."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = connection.recv(10_000)
        assert part, "closed without an answer"
        answer += part
    return answer.partition(b"\r\n\r\n")[0].decode()


async def test_who_has_connected_is_answered_while_it_stops_and_who_connects_then_by_the_next(
    systemd: Manager, config: Path
) -> None:
    with systemd.service(config) as first:
        first.wait_for("daemon.ready")
        with (
            socket.create_connection(systemd.address, 30) as kept,
            socket.create_connection(systemd.address, 30) as silent,
        ):
            assert "Connection: close" not in request(kept)
            first.process.send_signal(signal.SIGTERM)
            systemd.wait_for("STOPPING")
            for connection in (kept, silent):
                assert "Connection: close" in request(connection)
                assert connection.recv(1) == b""
        assert first.process.wait(60) == 0
    with socket.create_connection(systemd.address, 60) as early, systemd.service(config) as second:
        assert "200 OK" in await asyncio.to_thread(request, early)
        early.close()
        second.wait_for("daemon.ready")
        assert second.end() == 0


async def test_the_managers_address_counts_and_is_told(systemd: Manager, config: Path) -> None:
    host, port = systemd.address
    with systemd.service(config) as daemon:
        daemon.wait_for("daemon.ready")
        assert http("GET", f"{base(systemd)}/readyz")[0] == 200
        assert daemon.end() == 0
    lines = {line["event"]: line for line in map(json.loads, daemon.printed().splitlines())}
    assert lines["daemon.ready"]["address"] == f"{host}:{port}"
    assert lines["daemon.address_mismatch"]["listen"] == "127.0.0.1:0"


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_without_tokens_no_socket_is_served_that_others_reach(
    host: str, tmp_path: Path, config: Path
) -> None:
    with manager(tmp_path, host) as systemd, systemd.service(config) as daemon:
        assert daemon.process.wait(60) == 78
        [line] = daemon.printed().splitlines()
        assert "set ListenStream= in the socket unit to a loopback address" in line


async def test_the_manager_hears_what_becomes_of_the_service(
    systemd: Manager, config: Path, tmp_path: Path
) -> None:
    with systemd.service(config) as daemon:
        assert systemd.wait_for("STATUS")["STATUS"].startswith("starting: ")
        ready = systemd.wait_for("READY", "1")
        assert ready["STATUS"].startswith(f"serving at {base(systemd).removeprefix('http://')}")
        assert http("GET", f"{base(systemd)}/readyz")[0] == 200

        before = http("GET", f"{base(systemd)}/v1/status")[1]
        heard = len(systemd.told())
        ignorant_model(tmp_path, seed=2)
        clock = int(time.monotonic() * 1e6)
        daemon.process.send_signal(signal.SIGHUP)
        begun = systemd.wait_for("RELOADING", "1", after=heard)
        assert int(begun["MONOTONIC_USEC"]) >= clock
        assert begun["STATUS"].startswith("reloading, still serving at ")
        done = systemd.wait_for("READY", "1", after=heard)
        after = http("GET", f"{base(systemd)}/v1/status")[1]
        assert (after["reload"]["outcome"], after["reload"]["problems"]) == ("done", [])
        assert after["model"] != before["model"]
        assert f"model {after['model']}" in done["STATUS"]

        heard = len(systemd.told())
        content = (tmp_path / "model.ubj").read_bytes()
        (tmp_path / "model.ubj").write_bytes(content[: len(content) // 40])
        daemon.process.send_signal(signal.SIGHUP)
        refused = systemd.wait_for("READY", "1", after=heard)
        assert "refused the reload of " in refused["STATUS"]
        told = http("GET", f"{base(systemd)}/v1/status")[1]
        assert (told["model"], told["reload"]["outcome"]) == (after["model"], "refused")

        heard = len(systemd.told())
        daemon.process.send_signal(signal.SIGTERM)
        stopping = systemd.wait_for("STOPPING", "1", after=heard)
        assert stopping["STATUS"].startswith("draining: 0 runs left")
        # A poll of 1 s and its margin, 30 s for what is in hand.
        assert int(stopping["EXTEND_TIMEOUT_USEC"]) > 41e6
        daemon.process.send_signal(signal.SIGHUP)
        assert daemon.process.wait(60) == 0
        assert not [one for one in systemd.told()[heard:] if {"RELOADING", "READY"} & one.keys()]
    events = [json.loads(line)["event"] for line in daemon.printed().splitlines()]
    assert events.count("reload.done") == events.count("reload.refused") == 1
    assert "reload.dropped" in events


WATCHDOG_SECONDS = 3.0


async def test_a_loop_that_stands_still_starves_the_watchdog(
    systemd: Manager, config: Path
) -> None:
    """Until then it is fed: while it reloads, too, and as long as it drains."""
    usec = str(int(WATCHDOG_SECONDS * 1e6))
    with systemd.service(config, program=STALLING, WATCHDOG_USEC=usec) as daemon:
        systemd.wait_for("READY", "1")
        daemon.process.send_signal(signal.SIGHUP)
        systemd.wait_for("RELOADING", "1")
        systemd.wait_for("WATCHDOG", "1", after=len(systemd.told()))
        daemon.process.send_signal(signal.SIGUSR1)
        await asyncio.to_thread(systemd.starved, WATCHDOG_SECONDS)
        # As the manager does by its WatchdogSignal=.
        assert daemon.end(signal.SIGABRT) == -signal.SIGABRT
        assert "stand_still" in daemon.printed()


async def test_the_watchdog_is_fed_to_the_end_of_a_long_drain(
    systemd: Manager, config: Path
) -> None:
    config.write_text(config.read_text().replace("wait_seconds = 1", "wait_seconds = 4"))
    with systemd.service(config, WATCHDOG_USEC=str(int(WATCHDOG_SECONDS * 1e6))) as daemon:
        systemd.wait_for("READY", "1")
        daemon.process.send_signal(signal.SIGTERM)
        systemd.wait_for("STOPPING", "1")
        heard = len(systemd.told())
        assert daemon.process.wait(60) == 0
        assert [one for one in systemd.told()[heard:] if "WATCHDOG" in one]
