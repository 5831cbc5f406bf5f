"""The systemd unit, as systemd reads it."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fraudd.cli import EX_CONFIG
from fraudd.config import Consumers, Queue
from tests.conftest import ROOT

UNIT = ROOT / "systemd" / "fraudd@.service"


def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return parser["Service"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "fraudd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "fraudd@.service"
    unit.write_text(UNIT.read_text().replace("/opt/fraudd/bin/fraudd", str(program)))
    checked = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "fraudd@shop.service")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_stopping_is_given_the_time_that_draining_takes() -> None:
    wait, drain = Queue(url="x").wait_seconds, Consumers().drain_seconds
    assert int(service()["TimeoutStopSec"]) > wait + drain


def test_a_wrong_configuration_is_not_started_again() -> None:
    assert int(service()["RestartPreventExitStatus"]) == EX_CONFIG


def test_the_password_comes_as_the_credential_that_the_shipped_file_names() -> None:
    shipped = (ROOT / "config" / "fraudd.toml").read_text()
    [name] = re.findall(r'password_credential = "([\w-]+)"', shipped)
    assert service()["LoadCredential"].startswith(f"{name}:/etc/fraudd/%i/")
