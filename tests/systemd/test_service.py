"""The daemon as a service: used, reloaded, restarted under load, hung, misconfigured."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import monotonic, sleep

import pytest

from fraudd.aws.session import Clients
from fraudd.local.settings import DatabaseServer
from tests.stack.aws import provisioned
from tests.stack.http import ended
from tests.stack.model import ignorant_model
from tests.stack.paths import ROOT
from tests.systemd.callers import PER_SECOND, calling
from tests.systemd.conftest import PASSWORD, Instance, configured
from tests.systemd.machine import PATIENCE_SECONDS, Machine

#: Blocks the event loop at SIGUSR1, as a bug would.
BLOCKING = """\
import signal, time

def a_bug_that_blocks(*_):
    time.sleep(1000)

signal.signal(signal.SIGUSR1, a_bug_that_blocks)
"""


def scored(instance: Instance, entity_id: str = "shop-1") -> None:
    """Have an entity's score computed."""
    status, body = instance.http("POST", "/v1/predictions", {"entity_id": entity_id})
    assert (status, body["status"]) == (202, "started")
    assert ended(instance.url, entity_id)["status"] == "done"


def until(true: Callable[[], bool], instance: Instance) -> None:
    """Wait for something that systemd does by itself."""
    end = monotonic() + PATIENCE_SECONDS
    while not true():
        assert monotonic() < end, instance.journal()
        sleep(0.1)


@pytest.fixture(scope="module")
async def running(
    machine: Machine,
    aws_clients: Clients,
    aws_endpoint: str,
    database: DatabaseServer,
    features: Path,
) -> AsyncIterator[Instance]:
    """A daemon that is only looked at."""
    aws = await provisioned(aws_clients)
    instance = configured(machine, aws, aws_endpoint, database, features)
    instance.start()
    yield instance
    instance.stop()


def test_a_score_is_computed_under_the_sandbox(running: Instance) -> None:
    scored(running)
    assert running.show("StatusText").startswith("serving")


def test_the_metrics_of_the_process_are_there_under_the_sandbox(running: Instance) -> None:
    with urllib.request.urlopen(f"{running.url}/metrics", timeout=10) as answer:
        told = answer.read().decode()
    for name in ("resident_memory_bytes", "cpu_seconds_total", "open_fds", "start_time_seconds"):
        assert f"\nprocess_{name} " in told


def test_passwords_are_read_by_the_service_alone(running: Instance) -> None:
    """And they are not in its environment, where its children and crash reports would see them."""
    machine, pid = running.machine, running.show("MainPID")
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    passed_on = f"/run/credentials/{running.unit}/database-password"
    assert machine.run("cat", passed_on).stdout.strip() == PASSWORD
    for file in (passed_on, f"{running.folder}/database-password"):
        done = machine.run(*nobody, "cat", file, check=False)
        assert (done.returncode, done.stdout) == (1, ""), file
    assert PASSWORD not in machine.run("cat", f"/proc/{pid}/environ").stdout
    assert PASSWORD not in machine.systemctl("show", running.unit) + running.journal()


def test_whoever_breaks_in_finds_no_shell_and_nothing_to_change(running: Instance) -> None:
    """Tried by the daemon's account, with its view of the files."""
    pid, user = running.show("MainPID"), running.show("UID")
    enter = ("nsenter", f"--target={pid}", "--mount", f"--setuid={user}", f"--setgid={user}")

    def inside(code: str) -> str:
        """Run some Python; gives the last line of its traceback."""
        python = ("/opt/fraudd/bin/python3", "-c", f"import os, shutil, subprocess; {code}")
        done = running.machine.run(*enter, *python, check=False)
        return done.stderr.strip().rpartition("\n")[2]

    assert inside("import numpy") == ""
    for program in ("/bin/sh", "/usr/bin/env", "/usr/sbin/ip"):
        assert inside(f"subprocess.run('{program}')").startswith("PermissionError"), program
    for folder in ("/tmp", "/var/tmp", "/dev/shm"):
        brought = f"shutil.copy('/usr/bin/true', '{folder}/x'); subprocess.run('{folder}/x')"
        assert inside(brought).startswith("PermissionError"), folder
    for folder in ("/opt/fraudd", "/etc/fraudd", "/var/lib", "/"):
        assert "Read-only file system" in inside(f"open('{folder}/x', 'w')"), folder
    for folder in ("/home", "/root", "/usr/bin"):
        assert "Permission denied" in inside(f"open('{folder}/x', 'w')"), folder


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("fraudd.toml", "[http]\nport = 1\n", "unknown key"),
        ("database-password", None, "credential database-password: empty"),
        ("features/model.ubj", None, "model.ubj: No such file"),
    ],
)
def test_a_wrong_configuration_is_told_and_not_tried_again(
    instance: Instance, file: str, content: str | None, says: str
) -> None:
    path = instance.machine.root / instance.folder.lstrip("/") / file
    path.unlink()
    if content is not None:
        instance.machine.write(f"{instance.folder}/{file}", content)
    assert instance.machine.run("systemctl", "start", instance.unit, check=False).returncode == 1
    told = [instance.show(name) for name in ("ActiveState", "ExecMainStatus", "NRestarts")]
    assert told == ["failed", "78", "0"]
    assert says in instance.journal()


def test_callers_are_refused_once_it_is_clear_that_no_daemon_comes(instance: Instance) -> None:
    """Each caller starts a daemon that is not there, so a wrong configuration would be tried on."""
    instance.machine.write(f"{instance.folder}/fraudd.toml", "[http]\nport = 1\n")
    instance.drop_in("[Unit]\nStartLimitBurst=2\n")
    instance.machine.systemctl("start", instance.socket)
    with pytest.raises(OSError, match=r"reset|refused|closed"):
        instance.http("GET", "/healthz")
    until(lambda: instance.machine.show(instance.socket, "ActiveState") == "failed", instance)
    assert instance.machine.show(instance.socket, "Result") == "service-start-limit-hit"
    with pytest.raises(OSError, match="refused"):
        instance.http("GET", "/healthz")


async def test_a_restart_under_load_fails_no_request(instance: Instance) -> None:
    await asyncio.to_thread(instance.start)
    await asyncio.to_thread(scored, instance)
    before = instance.show("MainPID")
    async with calling(f"{instance.url}/v1/predictions/shop-1") as outcome:
        await asyncio.sleep(1)  # a second of undisturbed calls
        await asyncio.to_thread(instance.machine.systemctl, "restart", instance.unit)
        await asyncio.sleep(1)
    print(f"{len(outcome.statuses)} requests, the slowest {outcome.slowest_seconds:.2f} s")
    assert instance.show("MainPID") != before
    assert outcome.failures == []
    assert set(outcome.statuses) == {200}
    assert len(outcome.statuses) > 2 * PER_SECOND


def test_reload_returns_when_the_new_model_is_served(instance: Instance) -> None:
    instance.start()
    pid, before = instance.show("MainPID"), instance.http("GET", "/v1/status")[1]["model"]
    features = instance.machine.root / instance.folder.lstrip("/") / "features"
    ignorant_model(features, seed=2)
    instance.machine.systemctl("reload", instance.unit)
    assert instance.http("GET", "/v1/status")[1]["model"] != before, instance.journal()
    assert (instance.show("MainPID"), instance.show("ActiveState")) == (pid, "active")


def test_a_bad_model_at_a_reload_is_told_and_the_old_one_stays(instance: Instance) -> None:
    instance.start()
    before = instance.http("GET", "/v1/status")[1]["model"]
    instance.machine.write(f"{instance.folder}/features/model.ubj", "no model")
    instance.machine.systemctl("reload", instance.unit)
    until(lambda: "refused" in instance.show("StatusText"), instance)
    assert instance.http("GET", "/v1/status")[1]["model"] == before
    scored(instance)


def test_a_daemon_that_hangs_says_where_and_is_started_again(instance: Instance) -> None:
    instance.machine.write("/usr/local/lib/block/sitecustomize.py", BLOCKING)
    instance.drop_in(
        "[Service]\nEnvironment=PYTHONPATH=/usr/local/lib/block\nWatchdogSec=2\nRestartSec=0\n"
    )
    instance.start()
    before = instance.show("MainPID")
    instance.machine.systemctl("kill", "--signal=SIGUSR1", instance.unit)
    until(lambda: instance.show("NRestarts") == "1", instance)
    told = instance.journal()
    assert "Watchdog timeout" in told
    assert "Failed with result 'watchdog'" in told
    assert "in a_bug_that_blocks" in told
    until(lambda: instance.show("ActiveState") == "active", instance)
    assert instance.show("MainPID") != before
    scored(instance)


def test_a_healthy_daemon_outlives_its_watchdog(instance: Instance) -> None:
    instance.drop_in("[Service]\nWatchdogSec=1\n")
    instance.start()
    fed: set[str] = set()
    while len(fed) < 4:
        until(lambda: instance.show("WatchdogTimestampMonotonic") not in fed, instance)
        fed.add(instance.show("WatchdogTimestampMonotonic"))
    assert (instance.show("NRestarts"), instance.show("ActiveState")) == ("0", "active")


def test_it_works_with_the_shipped_list_of_addresses(instance: Instance) -> None:
    shipped = ROOT / "systemd" / "drop-ins" / "addresses.conf"
    instance.drop_in(shipped.read_text())
    instance.start()
    scored(instance)


def test_an_address_that_is_not_on_the_list_is_out_of_reach(instance: Instance) -> None:
    """As soon as systemd has read the list, for the daemon that runs, too."""
    instance.start()
    instance.drop_in("[Service]\nIPAddressDeny=any\nIPAddressAllow=127.0.0.2\n")
    assert instance.http("POST", "/v1/predictions", {"entity_id": "shop-1"})[0] == 503
    instance.drop_in("")


def test_two_kinds_run_beside_each_other(instance: Instance, other_instance: Instance) -> None:
    instance.start()
    other_instance.start()
    scored(instance)
    assert other_instance.http("GET", "/v1/predictions/shop-1")[0] == 404


def test_to_stop_the_socket_stops_the_daemon(instance: Instance) -> None:
    instance.start()
    instance.machine.systemctl("stop", instance.socket)
    assert instance.show("ActiveState") == "inactive"
    with pytest.raises(OSError, match="refused"):
        instance.http("GET", "/healthz")
