"""A machine to install on: a real systemd, process 1 of its own namespaces, thrown away at the end.

Its files are a copy of this machine's, its network is this machine's.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Nothing waits for it but a failure.
PATIENCE_SECONDS = 60.0
_BOOT = Path(__file__).with_name("boot")
_NEEDS = ("unshare", "nsenter", "systemctl", "dpkg", "dpkg-deb")


def why_not() -> str | None:
    """Say why no machine can be booted here; None where it can."""
    if os.geteuid() != 0:
        return "needs root: a systemd of its own is booted"
    missing = [name for name in _NEEDS if shutil.which(name) is None]
    if missing or not Path("/lib/systemd/systemd").exists():
        return f"needs systemd and Debian's tools; missing: {' '.join(missing) or 'systemd'}"
    tried = ("unshare", "--mount", "--pid", "--fork", "mount", "-tcgroup2", "cgroup2", "/mnt")
    if subprocess.run(tried, capture_output=True, check=False).returncode != 0:
        return "needs namespaces and control groups of its own, which this machine denies"
    return None


class Machine:
    """A booted machine."""

    def __init__(self, init: int) -> None:
        self._init = init

    @property
    def root(self) -> Path:
        """Its files, as seen from outside."""
        return Path(f"/proc/{self._init}/root")

    def run(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run a program inside, to its end."""
        done = subprocess.run(
            self._inside(*arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_SECONDS,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}{self.journal()}"
        return done

    def systemctl(self, *arguments: str) -> str:
        """Tell systemd to do something, and see it done."""
        return self.run("systemctl", *arguments).stdout

    def show(self, unit: str, name: str) -> str:
        """Read a property of a unit."""
        return self.systemctl("show", "--value", f"--property={name}", unit).strip()

    def journal(self, *arguments: str) -> str:
        """Read the journal."""
        return self.run("journalctl", "--no-pager", "--output=cat", *arguments, check=False).stdout

    def write(self, path: str, content: str, mode: int = 0o644) -> None:
        """Write a file inside, whose folder is made where need be."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode)
        file.write_text(content)

    def _inside(self, *arguments: str) -> list[str]:
        enter = ["nsenter", f"--target={self._init}", "--mount", "--pid", "--cgroup", "--ipc"]
        clean = ["env", "--chdir=/", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_PAGER="]
        return [*enter, "--uts", "--", *clean, *arguments]


@contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """Boot a machine that lives as long as the block; the folder is where it is mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    # Abstract, because it has no file: those inside are others.
    name = f"fraudd-test-{os.getpid()}-{folder.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(f"\0{name}")
        process = subprocess.Popen(
            ["unshare", "--mount", str(_BOOT), str(folder)],
            env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": f"@{name}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # Ctrl-C reaches us alone: it ends when we close its standard input.
            start_new_session=True,
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            machine = Machine(int(process.stdout.readline()))
            told.settimeout(PATIENCE_SECONDS)
            while b"READY=1" not in told.recv(4096).split(b"\n"):
                pass
            # It goes on telling, and would wait for somebody who listens no more.
            told.close()
            yield machine
        finally:
            process.stdin.close()
            process.wait(PATIENCE_SECONDS)
            process.stdout.close()
