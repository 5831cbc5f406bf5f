"""Unpacks programs from Debian packages into a folder, without root and without installing."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from fraudd.errors import Misconfigured


def unpacked(tools: Path, name: str, packages: Sequence[Sequence[str]], *, otherwise: str) -> Path:
    """Return the folder ``tools/name`` with the unpacked packages, and fetch them if needed.

    Each package has a list of names: the first one in this machine's archive is used. Raises
    ``Misconfigured`` if they cannot be fetched. ``otherwise`` then tells the user what to do.
    """
    folder = tools / name
    if not folder.exists():
        _fetch(tools, name, packages, otherwise)
    return folder


def checked(
    arguments: Sequence[str],
    problem: str,
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a program to its end. Raises ``Misconfigured`` with its last lines if it fails."""
    process = subprocess.run(
        arguments,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if process.returncode != 0:
        last_lines = (process.stderr or process.stdout).strip().splitlines()[-3:]
        raise Misconfigured(f"{problem}: {' / '.join(last_lines)}")


def _fetch(tools: Path, name: str, packages: Sequence[Sequence[str]], otherwise: str) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise Misconfigured(
            f"{name} is not installed, and there is no apt-get to fetch it. {otherwise}"
        )
    part, apt = tools / f"{name}.part", tools / f"{name}.apt"
    for folder in (part, apt):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (part, apt / "lists" / "partial", apt / "cache" / "archives" / "partial"):
        folder.mkdir(parents=True)
    # With package lists of our own, this needs neither root access nor a recent `apt update`.
    options = [
        f"-oDir::State::Lists={apt / 'lists'}",
        f"-oDir::Cache={apt / 'cache'}",
        "-oDebug::NoLocking=1",
        "-oAPT::Sandbox::User=root",
    ]
    problem = f"cannot fetch {name} with apt-get. {otherwise} apt-get said"
    checked(["apt-get", *options, "-qq", "update"], problem)
    names = [_first_known(options, candidates) for candidates in packages]
    checked(["apt-get", *options, "-qq", "download", *names], problem, folder=apt)
    for package in apt.glob("*.deb"):
        checked(["dpkg", "-x", str(package), str(part)], f"cannot unpack {package.name}")
    shutil.rmtree(apt)
    part.rename(tools / name)


def _first_known(options: Sequence[str], candidates: Sequence[str]) -> str:
    """Return the first name that is in this machine's archive."""
    for name in candidates:
        package = subprocess.run(
            ["apt-cache", *options, "show", name], capture_output=True, check=False
        )
        if package.returncode == 0 and package.stdout:
            return name
    return candidates[-1]
