"""The systemd units and drop-ins, as systemd reads them; tests/systemd runs them."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fraudd.cli import EX_CONFIG
from fraudd.config.schema import ConsumersSection, HttpSection, QueueSection
from tests.stack.paths import ROOT

UNITS = ROOT / "systemd"

needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="no systemd-analyze here"
)


def section(unit: str, name: str) -> configparser.SectionProxy:
    """Read a section; of a key that stands there more than once the last value."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNITS / unit)
    return parser[name]


def analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units beside a program that is there."""
    for unit in UNITS.glob("fraudd@.*"):
        content = unit.read_text().replace("/opt/fraudd/bin/fraudd", "/bin/true")
        (tmp_path / unit.name).write_text(content)
    return tmp_path


def drop_in(folder: Path, name: str, instance: str) -> None:
    """Copy a drop-in to where its comment says."""
    content = (UNITS / "drop-ins" / name).read_text()
    assert f"/etc/systemd/system/{instance}.d/{name}" in content
    (folder / f"{instance}.d").mkdir()
    (folder / f"{instance}.d" / name).write_text(content)


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_units(installed: Path) -> None:
    drop_in(installed, "addresses.conf", "fraudd@.service")
    drop_in(installed, "listen.conf", "fraudd@user.socket")
    for kind in ("shop", "user"):
        checked = analyze(
            "verify", *(f"{installed}/fraudd@{kind}.{suffix}" for suffix in ("service", "socket"))
        )
        assert (checked.returncode, checked.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize(("addresses", "exposure"), [(False, 1.1), (True, 1.0)])
def test_the_daemon_may_do_little_that_it_does_not_need(
    installed: Path, addresses: bool, exposure: float
) -> None:
    """By systemd's own marks, from 10 for no sandbox to 0; what serves a network has 0.8 for it."""
    if addresses:
        drop_in(installed, "addresses.conf", "fraudd@.service")
    checked = analyze(
        "security",
        "--offline=true",
        f"--threshold={exposure * 10:.0f}",
        "--no-pager",
        f"{installed}/fraudd@.service",
    )
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout


def test_stopping_is_given_the_time_that_draining_takes() -> None:
    wait, drain = QueueSection(url="x").wait_seconds, ConsumersSection().drain_seconds
    assert int(section("fraudd@.service", "Service")["TimeoutStopSec"]) > wait + drain


def test_a_wrong_configuration_is_not_started_again() -> None:
    assert int(section("fraudd@.service", "Service")["RestartPreventExitStatus"]) == EX_CONFIG


def test_a_daemon_whose_database_is_away_is_tried_again_for_ever() -> None:
    unit, service = section("fraudd@.service", "Unit"), section("fraudd@.service", "Service")
    starts = int(unit["StartLimitIntervalSec"]) / int(service["RestartSec"])
    assert starts < int(unit["StartLimitBurst"])


def test_secrets_come_as_the_credentials_that_the_shipped_file_names() -> None:
    shipped = (ROOT / "config" / "fraudd.toml").read_text()
    unit = (UNITS / "fraudd@.service").read_text()
    names = re.findall(r'_credential = "([\w-]+)"', shipped)
    assert sorted(names) == ["database-password", "tokens"]
    for name in names:
        assert f"\nLoadCredential={name}:/etc/fraudd/%i/{name}\n" in unit
        # What is not there is empty: no drop-in is needed to do without.
        assert f"\nSetCredential={name}:\\n\n" in unit


def test_both_ways_to_listen_have_the_same_default() -> None:
    assert section("fraudd@.socket", "Socket")["ListenStream"] == HttpSection().listen
