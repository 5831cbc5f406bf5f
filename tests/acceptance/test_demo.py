"""``fraudd demo``: everything on one machine, and nothing of it left behind."""

import json
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.stack.http import ended, http
from tests.stack.paths import FRAUDD
from tests.stack.process import PATIENCE_SECONDS, command, nothing_left
from tests.stack.workers import free_port


@pytest.fixture
def ports() -> dict[str, str]:
    return {name: str(free_port()) for name in ("HTTP_PORT", "AWS_PORT", "MYSQL_PORT")}


def test_it_comes_up_from_nothing_works_as_printed_and_stops_without_a_trace(
    checkout: Path, ports: dict[str, str]
) -> None:
    base = f"http://127.0.0.1:{ports['HTTP_PORT']}"
    with command(checkout, FRAUDD, "demo", "--scale", "0.05", **ports) as demo:
        printed = demo.wait_for("Ctrl-C stops everything.")
        assert f"ready: {base}" in printed
        assert "average precision" in printed
        example = printed[printed.index("  curl") : printed.index("The first answer")]
        if shutil.which("curl"):
            answer = subprocess.run(
                ["bash", "-c", example], capture_output=True, text=True, check=True
            )
            assert json.loads(answer.stdout)["status"] == "started"
        else:
            http("POST", f"{base}/v1/predictions", {"entity_id": "shop-42"})
        assert ended(base, "shop-42")["status"] == "done"
        for port in ports.values():
            with socket.socket() as probe:
                address = socket.gethostbyname(socket.gethostname())
                if not address.startswith("127."):
                    assert probe.connect_ex((address, int(port))) != 0, "loopback only"
        assert demo.end(signal.SIGINT) == 0
    assert nothing_left(checkout)


def test_a_second_start_makes_nothing_anew_and_finds_the_results(
    checkout: Path, ports: dict[str, str]
) -> None:
    base = f"http://127.0.0.1:{ports['HTTP_PORT']}"
    with command(checkout, FRAUDD, "demo", "--scale", "0.05", **ports) as demo:
        printed = demo.wait_for("Ctrl-C stops everything.")
        assert "loaded" not in printed
        assert "average precision" not in printed
        status, body = http("GET", f"{base}/v1/predictions/shop-42")
        assert (status, body["status"]) == (200, "done")
        assert demo.end(signal.SIGTERM) == 0
    assert nothing_left(checkout)


def test_nothing_survives_even_if_it_is_killed(checkout: Path, ports: dict[str, str]) -> None:
    with command(checkout, FRAUDD, "demo", "--scale", "0.05", **ports) as demo:
        demo.wait_for("Ctrl-C stops everything.")
        demo.end(signal.SIGKILL)
    assert nothing_left(checkout)


def test_with_the_stack_alone_daemons_are_started_by_hand(
    checkout: Path, ports: dict[str, str], tmp_path: Path
) -> None:
    base = f"http://127.0.0.1:{ports['HTTP_PORT']}"
    with command(checkout, FRAUDD, "demo", "--scale", "0.05", "--stack-only", **ports) as stack:
        printed = stack.wait_for("Ctrl-C stops the stack.")
        [line] = [line for line in printed.splitlines() if "serve --config" in line]
        assert line.endswith("serve --config .local/fraudd.toml")
        (tmp_path / "config").mkdir()
        with command(
            tmp_path, FRAUDD, "serve", "--config", str(checkout / ".local" / "fraudd.toml")
        ) as daemon:
            daemon.wait_for("daemon.ready")
            http("POST", f"{base}/v1/predictions", {"entity_id": "shop-7", "force": True})
            assert ended(base, "shop-7")["status"] == "done"
            assert daemon.end() == 0
        assert stack.end(signal.SIGINT) == 0
    assert nothing_left(checkout)


@pytest.mark.parametrize("name", ["HTTP_PORT", "AWS_PORT", "MYSQL_PORT"])
def test_a_taken_port_is_told_with_the_variable_that_changes_it(
    checkout: Path, ports: dict[str, str], name: str
) -> None:
    with (
        socket.create_server(("127.0.0.1", int(ports[name]))),
        command(checkout, FRAUDD, "demo", **ports) as demo,
    ):
        assert demo.process.wait(PATIENCE_SECONDS) == 78
    port = int(ports[name])
    assert demo.printed() == (
        f"fraudd: port {port} is in use. Choose another one, for example {name}={port + 1}.\n"
    )


@pytest.mark.parametrize("url", ["nonsense", "http://u:hunter2@h/", "mysql://:hunter2@/x"])
def test_a_wrong_server_of_ones_own_is_told_without_its_password(
    checkout: Path, ports: dict[str, str], url: str
) -> None:
    with command(checkout, FRAUDD, "demo", FRAUDD_MYSQL=url, **ports) as demo:
        assert demo.process.wait(PATIENCE_SECONDS) == 78
    assert "must be mysql://user:password@host:port/database" in demo.printed()
    assert "hunter2" not in demo.printed()
