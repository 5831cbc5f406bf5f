"""config/cloudformation.yaml before its linter; and what its instances do at their start."""

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from fraudd.aws.provisioning.resources import Place
from tests.documents.template import PATH, Template
from tests.stack.paths import ROOT

PLACE = Place(partition="aws", region="eu-central-1", account="123456789012")
#: Stands for every program that changes the machine, or asks AWS.
_STUB = """\
#!/bin/bash
echo "${0##*/} $*" >> "$FOLDER/called"
case "${0##*/} $*" in
  "$REFUSED"*) exit 1 ;;
  "aws s3 cp "*.tar.gz*) cp "$FOLDER/configuration.tar.gz" "$4" ;;
  "aws ssm "*) echo secret ;;
  "cloud-init query instance_id") echo i-1 ;;
esac
"""


def test_the_linter_has_nothing_to_say() -> None:
    told = subprocess.run(
        [ROOT / ".tools/cfn-lint/bin/cfn-lint", "--include-checks", "I", "--", PATH],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def start(
    folder: Path, *, refused: str = "nothing", **given: str
) -> tuple["subprocess.CompletedProcess[str]", str, Path]:
    """Run an instance's user data below a folder; gives how it ended, what it called, and etc."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("aws", "apt-get", "systemctl", "cloud-init"):
        (programs / name).write_text(_STUB)
        (programs / name).chmod(0o755)
    for name in ("etc/systemd/system", "root"):
        (folder / name).mkdir(parents=True)
    with tarfile.open(folder / "configuration.tar.gz", "w:gz") as archive:
        for name in ("fraudd.toml", "features/shop.sql", "tokens"):
            path = folder / "made" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
            path.chmod(0o640)
            archive.add(path, name)
    [(_, launch)] = Template(PLACE, **given).of_type("AWS::EC2::LaunchTemplate")
    script = launch["LaunchTemplateData"]["UserData"]
    for name in ("/etc/", "/root/"):
        script = script.replace(name, f"{folder}{name}")
    ended = subprocess.run(
        ["/bin/bash", "-c", script],
        env={"PATH": f"{programs}:{os.environ['PATH']}", "FOLDER": str(folder), "REFUSED": refused},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return ended, (folder / "called").read_text(), folder / "etc"


def test_an_instance_installs_is_configured_starts_and_says_so(tmp_path: Path) -> None:
    ended, called, etc = start(tmp_path)
    assert ended.returncode == 0, ended.stderr
    ours = etc / "fraudd" / "shop"
    assert (ours / "features" / "shop.sql").read_text() == "features/shop.sql"
    modes = {name: (ours / name).stat().st_mode & 0o777 for name in ("fraudd.toml", "tokens")}
    assert modes == {"fraudd.toml": 0o644, "tokens": 0o600}
    assert (ours / "database-password").read_text() == "secret\n"
    assert (ours / "database-password").stat().st_mode & 0o777 == 0o600
    listen = etc / "systemd/system/fraudd@shop.socket.d/listen.conf"
    assert listen.read_text().splitlines()[-1] == "ListenStream=0.0.0.0:8080"
    for call in (
        "aws s3 cp s3://releases.example/releases/fraudd_0.1.0_amd64.deb ",
        "apt-get install -qy ",
        "systemctl enable fraudd@shop.socket fraudd@shop.service",
        "systemctl is-active --quiet fraudd@shop.service",
    ):
        assert call in called
    assert "secret" not in called + ended.stdout + ended.stderr
    assert called.splitlines()[-1].endswith("--unique-id i-1 --status SUCCESS")


def test_with_a_token_for_the_database_there_is_no_password_file(tmp_path: Path) -> None:
    given = {"DatabasePasswordParameter": "", "DatabaseUserResource": "db-ABC/fraudd"}
    ended, called, etc = start(tmp_path, **given)
    assert ended.returncode == 0, ended.stderr
    assert "aws ssm" not in called
    assert not (etc / "fraudd/shop/database-password").exists()


@pytest.mark.parametrize("refused", ["aws s3", "apt-get install -qy /", "aws ssm"])
def test_what_fails_at_the_start_is_told_to_the_stack(tmp_path: Path, refused: str) -> None:
    ended, called, _ = start(tmp_path, refused=refused)
    assert ended.returncode != 0
    assert called.splitlines()[-1].endswith("--status FAILURE")
    assert "systemctl" not in called
