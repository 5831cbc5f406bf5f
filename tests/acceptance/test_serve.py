"""``fraudd serve`` as a process: a score over HTTP, signals, and what it says when it cannot."""

import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fraudd.local.settings import DatabaseServer, Settings
from tests.stack.aws import Aws
from tests.stack.configuration import as_toml, sections
from tests.stack.database import DEMO
from tests.stack.http import at_rest, ended, http
from tests.stack.paths import FRAUDD, ROOT
from tests.stack.platform import kept_platform, trained
from tests.stack.process import command
from tests.stack.workers import free_port


@pytest.fixture(scope="session")
def password(database: DatabaseServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that holds the password of the database."""
    path = tmp_path_factory.mktemp("credentials") / "password"
    path.write_text(database.password)
    return path


@pytest.fixture(scope="session")
async def model_file(
    platform: Settings, database_url: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model trained on the demo platform."""
    if database_url is None:
        return kept_platform().model
    return await trained(platform, tmp_path_factory.mktemp("trained"))


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def config(
    tmp_path: Path,
    port: int,
    aws: Aws,
    aws_endpoint: str,
    database: DatabaseServer,
    password: Path,
    model_file: Path,
) -> Path:
    """A configuration that works."""
    path = tmp_path / "fraudd.toml"
    values = sections(
        aws.names,
        database,
        http={"listen": f"127.0.0.1:{port}"},
        aws={"endpoint_url": aws_endpoint},
        queue={"wait_seconds": 1},
        features={"directory": ROOT / "config" / "features"},
        model={"path": model_file},
    )
    values["database"]["password_credential"] = str(password)
    path.write_text(as_toml(values))
    return path


async def test_a_shop_is_scored_from_its_rows_by_the_trained_model(
    tmp_path: Path, config: Path, port: int
) -> None:
    base = f"http://127.0.0.1:{port}"
    with command(tmp_path, FRAUDD, "serve", "--config", str(config)) as daemon:
        daemon.wait_for("daemon.ready")
        status, started = http("POST", f"{base}/v1/predictions", {"entity_id": "shop-1"})
        assert (status, started["status"]) == (202, "started")
        done = ended(base, "shop-1")
        assert (done["status"], done["run_id"]) == ("done", started["run_id"])
        assert 0 <= done["result"]["score"] <= 1
        assert len(done["result"]["reasons"]) >= 3
        assert http("POST", f"{base}/v1/predictions", {"entity_id": "shop-1"}) == (200, done)
        http("POST", f"{base}/v1/predictions", {"entity_id": "shop-999999"})
        failed = ended(base, "shop-999999")
        assert (failed["status"], failed["error"]["type"]) == ("failed", "entity_unknown")
        told = at_rest(base)
        assert (told["state"], told["runs"]) == ("serving", [])
        assert daemon.end(signal.SIGTERM) == 0
    events = [json.loads(line)["event"] for line in daemon.printed().splitlines()]
    assert events[0] == "daemon.ready"
    assert events[-2:] == ["daemon.stopping", "daemon.stopped"]
    assert {"run.opened", "run.computed", "run.failed"} <= set(events)


async def test_ctrl_c_stops_it_as_cleanly(tmp_path: Path, config: Path) -> None:
    with command(tmp_path, FRAUDD, "serve", "--config", str(config)) as daemon:
        daemon.wait_for("daemon.ready")
        assert daemon.end(signal.SIGINT) == 0
    assert "Traceback" not in daemon.printed()


async def test_tokens_are_read_again_at_sighup(tmp_path: Path, config: Path, port: int) -> None:
    """And any address may be listened on."""
    made = {}
    for name in ("first", "second"):
        with command(tmp_path, FRAUDD, "token", "new", name, "--scope", "read", "--json") as new:
            assert new.process.wait(30) == 0
            made[name] = json.loads(new.printed())
    file = tmp_path / "tokens"
    file.write_text(made["first"]["line"] + "\n")
    listen = 'listen = "127.0.0.1'
    text = config.read_text()
    assert listen in text
    config.write_text(text.replace(listen, 'tokens_credential = "./tokens"\nlisten = "0.0.0.0', 1))

    def status(name: str | None) -> int:
        headers = {} if name is None else {"Authorization": f"Bearer {made[name]['token']}"}
        return http("GET", f"http://127.0.0.1:{port}/v1/status", headers=headers)[0]

    with command(tmp_path, FRAUDD, "serve", "--config", str(config)) as daemon:
        daemon.wait_for("daemon.ready")
        assert [status(name) for name in (None, "first", "second")] == [401, 200, 401]
        file.write_text(made["second"]["line"] + "\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("tokens.reloaded")
        assert [status(name) for name in (None, "first", "second")] == [401, 401, 200]
        file.write_text("second read\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("tokens.reload_refused")
        assert status("second") == 200
        assert daemon.end() == 0
    assert not [name for name in made if made[name]["token"] in daemon.printed()]


@pytest.mark.parametrize(
    ("old", "new", "status", "says"),
    [
        ("endpoint_url = ", 'endpoint_url = "http://127.0.0.1:1" # ', 1, "fraudd: store: "),
        ("table = ", 'table = "elsewhere" # ', 1, "no table elsewhere at http://127.0.0.1:"),
        ("path = ", 'path = "gone.ubj" # ', 78, "gone.ubj: No such file or directory. Train one"),
        ("directory = ", 'directory = "gone" # ', 78, "no feature files (*.sql) in"),
        ("region = ", 'regoin = "x"\nregion = ', 78, "regoin: unknown key; did you mean region?"),
        ("password_credential = ", 'password_credential = "db" # ', 78, "$CREDENTIALS_DIRECTORY"),
        ('listen = "127.0.0.1', 'listen = "0.0.0.0', 78, "must be a loopback address, because"),
        ("listen = ", 'tokens_credential = "./none"\nlisten = ', 78, "none: No such file"),
    ],
)
async def test_what_is_missing_at_start_is_told_in_one_line(
    tmp_path: Path, config: Path, old: str, new: str, status: int, says: str
) -> None:
    text = config.read_text()
    before, _, after = (
        text.rpartition(old) if old in ("port = ", "path = ") else text.partition(old)
    )
    config.write_text(before + new + after)
    with command(tmp_path, FRAUDD, "serve", "--config", str(config)) as daemon:
        assert daemon.process.wait(30) == status
    lines = daemon.printed().splitlines()
    assert len(lines) == 1, lines
    assert says in lines[0]


async def test_a_feature_file_that_the_database_refuses_is_one_line(
    tmp_path: Path, config: Path
) -> None:
    directory = tmp_path / "files"
    text = config.read_text()
    old = next(line for line in text.splitlines() if line.startswith("directory = "))
    shutil.copytree(config.parent / old.split('"')[1], directory)
    file = next(iter(sorted(directory.glob("*.sql"))))
    file.write_text(file.read_text().replace("SELECT ", "SELECT 1 AS nonsense, ", 1))
    config.write_text(text.replace(old, f'directory = "{directory}"'))
    with command(tmp_path, FRAUDD, "serve", "--config", str(config)) as daemon:
        assert daemon.process.wait(30) == 78
    lines = daemon.printed().splitlines()
    assert len(lines) == 1, lines
    assert file.name in lines[0]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("port = ", "port = 1 # ", "Can't connect to MySQL server on"),
        (f'name = "{DEMO}"', 'name = "elsewhere"', "Unknown database"),
    ],
)
async def test_a_daemon_serves_before_the_database_answers(
    tmp_path: Path, config: Path, port: int, old: str, new: str, says: str
) -> None:
    before, _, after = config.read_text().rpartition(old)
    config.write_text(before + new + after)
    base = f"http://127.0.0.1:{port}"
    with command(tmp_path, FRAUDD, "serve", "--config", str(config)) as daemon:
        daemon.wait_for("daemon.ready")
        assert http("GET", f"{base}/readyz")[0] == 200
        assert http("GET", f"{base}/v1/predictions/shop-1")[0] == 404
        assert says in http("GET", f"{base}/v1/status")[1]["blocked_by"]
        assert daemon.end() == 0
    assert "Traceback" not in daemon.printed()


@contextmanager
def unread(config: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a daemon whose log is read up to its first byte, and no further."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4_096)
    process = subprocess.Popen([FRAUDD, "serve", "--config", str(config)], stdout=writer)
    os.close(writer)
    try:
        assert select.select([reader], [], [], 30)[0]
        assert os.read(reader, 1)
        yield process
    finally:
        process.kill()
        process.wait()
        os.close(reader)


async def test_a_log_that_nobody_reads_stops_nothing(config: Path, port: int) -> None:
    base = f"http://127.0.0.1:{port}"
    with unread(config) as process:
        assert {http("GET", f"{base}/v1/predictions/shop-{n}")[0] for n in range(100)} == {404}
        assert http("GET", f"{base}/healthz")[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


async def test_a_taken_port_is_told_with_its_key(tmp_path: Path, config: Path, port: int) -> None:
    with (
        socket.create_server(("127.0.0.1", port)),
        command(tmp_path, FRAUDD, "serve", "--config", str(config)) as daemon,
    ):
        assert daemon.process.wait(30) == 78
    assert daemon.printed() == (
        f"fraudd: cannot listen on 127.0.0.1:{port}: Address already in use; see [http] listen\n"
    )
