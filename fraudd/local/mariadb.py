"""A private MariaDB: an installed one, or one unpacked from Debian packages without root."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fraudd.local import debian
from fraudd.local.process import Command, answers

#: Names in Debian and Ubuntu. Libraries got new names when time became 64 bits wide.
_PACKAGES = (
    ("mariadb-server-core", "mariadb-server-core-10.6"),
    ("mariadb-client-core", "mariadb-client-core-10.6"),
    ("mariadb-common",),
    ("libaio1t64", "libaio1"),
    ("libnuma1",),
    ("liburing2",),
    ("libpcre2-8-0",),
    ("libssl3t64", "libssl3"),
    ("libmariadb3",),
)
_OTHERWISE = (
    "Install MariaDB 10.6 or newer,"
    " or name a server with FRAUDD_MYSQL=mysql://user:password@host:port/database."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The paths of MariaDB's programs."""

    server: Path
    install_db: Path
    #: The ``usr`` folder of an unpacked installation, or None if MariaDB is installed.
    base: Path | None

    @property
    def environment(self) -> Mapping[str, str] | None:
        """The environment in which the programs find unpacked libraries."""
        if self.base is None:
            return None
        folders = sorted(str(path) for path in (self.base / "lib").glob("*-linux-gnu*"))
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LD_LIBRARY_PATH": ":".join(folders)}


def find(tools: Path) -> Installation:
    """Find MariaDB on this machine, or unpack it below ``tools``. Raises ``Misconfigured``."""
    path = f"{os.defpath}:/usr/local/sbin:/usr/sbin:/sbin"
    server = shutil.which("mariadbd") or shutil.which("mariadbd", path=path)
    install_db = shutil.which("mariadb-install-db") or shutil.which("mariadb-install-db", path=path)
    if server and install_db:
        return Installation(server=Path(server), install_db=Path(install_db), base=None)
    base = debian.unpacked(tools, "mariadb", _PACKAGES, otherwise=_OTHERWISE) / "usr"
    return Installation(
        server=base / "sbin" / "mariadbd", install_db=base / "bin" / "mariadb-install-db", base=base
    )


def command(installation: Installation, folder: Path, *, port: int) -> Command:
    """Return the command that starts MariaDB on 127.0.0.1. Creates its data folder if needed."""
    data = folder / "data"
    if not (data / "mysql").exists():
        _install_db(installation, data)
    return Command(
        name="MariaDB",
        arguments=[
            str(installation.server),
            *_base(installation),
            f"--datadir={data}",
            f"--tmpdir={_tmp(folder)}",
            f"--socket={folder / 'mysql.sock'}",
            f"--pid-file={folder / 'mysql.pid'}",
            "--bind-address=127.0.0.1",
            f"--port={port}",
            "--local-infile=1",
            "--skip-log-bin",
            "--innodb-buffer-pool-size=512M",
            # A power cut may lose the last second. The demo data can be generated again.
            "--innodb-flush-log-at-trx-commit=2",
        ],
        environment=installation.environment,
        log=folder / "mariadb.log",
        is_up=lambda: answers(port),
    )


def _tmp(folder: Path) -> Path:
    """Return a folder for temporary tables. A starting server deletes all tables it finds there."""
    tmp = folder / "tmp"
    tmp.mkdir(parents=True, exist_ok=True)
    return tmp


def _base(installation: Installation) -> list[str]:
    arguments = ["--no-defaults"]
    if installation.base is not None:
        arguments += [
            f"--basedir={installation.base}",
            f"--plugin-dir={installation.base / 'lib' / 'mysql' / 'plugin'}",
        ]
    if os.geteuid() == 0:
        arguments.append("--user=root")
    return arguments


def _install_db(installation: Installation, data: Path) -> None:
    part = data.with_name("data.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    debian.checked(
        [
            str(installation.install_db),
            *_base(installation),
            f"--datadir={part}",
            f"--tmpdir={_tmp(data.parent)}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ],
        "cannot create MariaDB's data folder",
        environment=installation.environment,
    )
    part.rename(data)
