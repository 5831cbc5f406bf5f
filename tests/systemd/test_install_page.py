"""docs/install.md: its commands, run in their order on a machine with nothing but the package."""

import re
import shutil
from pathlib import Path

from fraudd.local.settings import DatabaseServer
from tests.stack.aws import Aws
from tests.stack.paths import ROOT
from tests.stack.workers import free_port
from tests.systemd.conftest import PASSWORD, configured_as, install
from tests.systemd.machine import Machine, booted

PAGE = ROOT / "docs" / "install.md"


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_page_is_right(
    package: Path,
    tmp_path: Path,
    aws: Aws,
    aws_endpoint: str,
    database: DatabaseServer,
    features: Path,
) -> None:
    """What an operator does between the commands is done here, as the page says."""
    with booted(tmp_path / "machine") as machine:
        install(machine, package)
        ran = 0
        for block in blocks():
            machine.run("sh", "-eu", "-c", block)
            ran += 1
            if block.startswith("cp -r /usr/share/fraudd/example"):
                edited(machine, configured_as(aws, aws_endpoint, database), features)
            if "touch" in block:
                machine.write("/etc/fraudd/shop/database-password", PASSWORD)
            if "enable --now" in block:
                assert machine.show("fraudd@shop", "StatusText").startswith("serving")
        assert ran == len(blocks()) >= 7
        assert not (machine.root / "opt" / "fraudd").exists()
        assert (machine.root / "etc" / "fraudd" / "shop" / "fraudd.toml").exists()


def edited(machine: Machine, configuration: str, features: Path) -> None:
    """Edit the example, and take an address that nobody else has: the network is this machine's."""
    folder = machine.root / "etc" / "fraudd" / "shop"
    assert (folder / "features" / "orders.sql").exists()
    shutil.rmtree(folder / "features")
    shutil.copytree(features, folder / "features")
    (folder / "fraudd.toml").write_text(configuration)
    listen = f"[Socket]\nListenStream=\nListenStream=127.0.0.1:{free_port()}\n"
    machine.write("/etc/systemd/system/fraudd@shop.socket.d/listen.conf", listen)
    machine.systemctl("daemon-reload")
