"""Programs from Debian's packages, unpacked into a folder: nothing is installed, nobody is root."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from fraudd.errors import Misconfigured


def unpacked(tools: Path, name: str, packages: Sequence[Sequence[str]], *, otherwise: str) -> Path:
    """Give the folder ``tools/name`` with the packages in it, fetched the first time.

    Of each package the first name that this machine's archive knows is taken. Raises
    ``Misconfigured`` where there is no way to fetch them, ``otherwise`` being the remedy.
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
    """Run a program to its end. Raises ``Misconfigured`` with its last lines where it fails."""
    done = subprocess.run(
        arguments,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise Misconfigured(f"{problem}: {' / '.join(last)}")


def _fetch(tools: Path, name: str, packages: Sequence[Sequence[str]], otherwise: str) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise Misconfigured(f"no {name} on PATH, and no apt-get to fetch one: {otherwise}")
    part, apt = tools / f"{name}.part", tools / f"{name}.apt"
    for folder in (part, apt):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (part, apt / "lists" / "partial", apt / "cache" / "archives" / "partial"):
        folder.mkdir(parents=True)
    # Lists and cache of our own, so that neither root nor a recent `apt update` is needed.
    options = [
        f"-oDir::State::Lists={apt / 'lists'}",
        f"-oDir::Cache={apt / 'cache'}",
        "-oDebug::NoLocking=1",
        "-oAPT::Sandbox::User=root",
    ]
    problem = f"cannot fetch {name} with apt-get; {otherwise}"
    checked(["apt-get", *options, "-qq", "update"], problem)
    names = [_first_known(options, candidates) for candidates in packages]
    checked(["apt-get", *options, "-qq", "download", *names], problem, folder=apt)
    for package in apt.glob("*.deb"):
        checked(["dpkg", "-x", str(package), str(part)], f"cannot unpack {package.name}")
    shutil.rmtree(apt)
    part.rename(tools / name)


def _first_known(options: Sequence[str], candidates: Sequence[str]) -> str:
    """Choose the name that this machine's archive has."""
    for name in candidates:
        shown = subprocess.run(
            ["apt-cache", *options, "show", name], capture_output=True, check=False
        )
        if shown.returncode == 0 and shown.stdout:
            return name
    return candidates[-1]
