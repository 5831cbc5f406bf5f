"""The demo platform for tests: made once for each version of its sources, then copied.

Ten seconds of rows, LOAD DATA and training depend on nothing but the sources. So one MariaDB data
folder, its labels and a trained model stay below ``.tools/platform``, under the sources' digest::

    kept = kept_platform()                     # makes it if need be
    kept.copy_data(folder)                     # mariadb.command(..., folder) then has DEMO
    kept.copy_state(root / ".local")           # demo.json, labels.csv, labels-now.csv
    kept.model                                 # a model trained on these labels

The fixtures ``database`` and ``platform`` use it unless FRAUDD_TEST_MYSQL names another server.
``seeded`` and ``trained`` make platform and model from nothing, on any server.
"""

import asyncio
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fraudd.clock import SystemClock
from fraudd.config import Config
from fraudd.local import mariadb
from fraudd.local.platform.seed import seed
from fraudd.local.process import running
from fraudd.local.progress import Progress
from fraudd.local.settings import DatabaseServer, Settings
from tests.stack.database import DEMO
from tests.stack.paths import ROOT
from tests.stack.workers import free_port

#: Everything that the rows or the model depend on.
_SOURCES = (
    "config/features/*.sql",
    "config/schema.sql",
    "constraints.txt",
    "fraudd/commands/train.py",
    "fraudd/database/*.py",
    "fraudd/local/**/*.py",
    "fraudd/scoring/**/*.py",
    "tests/stack/platform.py",
)
#: The demo's data end 14 days after they were made. No test looks further ahead than this leaves.
_FRESH = timedelta(days=7)
_STATE = ("demo.json", "labels.csv", "labels-now.csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPlatform:
    """A folder with a data folder, labels and a model."""

    folder: Path

    @property
    def model(self) -> Path:
        """The model file; a test that changes it copies it first."""
        return self.folder / "model.ubj"

    def copy_data(self, folder: Path) -> None:
        """Give ``folder`` a data folder of its own, for a MariaDB that is not running yet."""
        folder.mkdir(parents=True, exist_ok=True)
        source = self.folder / "mariadb" / "data"
        subprocess.run(
            ["cp", "-r", "--reflink=auto", "--sparse=always", source, folder], check=True
        )

    def copy_state(self, state: Path) -> None:
        """Copy what the local stack notes about the platform, its labels among them."""
        state.mkdir(parents=True, exist_ok=True)
        for name in _STATE:
            shutil.copy(self.folder / ".local" / name, state)


def kept_platform() -> KeptPlatform:
    """Give the platform of these sources, made now if it is missing or more than a week old."""
    home = ROOT / ".tools" / "platform"
    home.mkdir(parents=True, exist_ok=True)
    kept = KeptPlatform(folder=home / _digest())
    # Workers of one test run start together: the first makes it, the others wait here.
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_fresh(kept):
            shutil.rmtree(kept.folder, ignore_errors=True)
            for other in home.iterdir():
                # Another test run may be copying a younger one.
                if other.is_dir() and _age(other) > timedelta(hours=1):
                    shutil.rmtree(other)
            # In a process of its own: pytest's event loop stays as it is.
            command = [sys.executable, "-m", "tests.stack.platform"]
            # One thread: others would spin while they wait for a core that a worker has.
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return kept


async def seeded(database: DatabaseServer, root: Path, *, now: datetime) -> Settings:
    """Make a small demo platform on a server; its labels are in the state folder."""
    settings = settings_in(root, database)
    await seed(settings, database, now=now, progress=Progress(SystemClock()))
    return settings


def settings_in(root: Path, database: DatabaseServer) -> Settings:
    """Make ``root`` a checkout for a small demo platform."""
    (root / "config").symlink_to(ROOT / "config")
    (root / ".local").mkdir()
    return Settings(
        root=root,
        http_port=free_port(),
        aws_port=free_port(),
        mysql_port=database.port,
        database=database,
        scale=0.1,
        seed=1,
    )


async def trained(settings: Settings, folder: Path) -> Path:
    """Train a model on the labels of a platform, from nothing; gives its file in ``folder``."""
    # Only here: every test run imports this module, and xgboost takes half a second.
    from fraudd.commands.train import train_model  # noqa: PLC0415

    assert settings.database is not None
    config = training_config(settings.database, folder)
    labels = settings.state / "labels.csv"
    await train_model(config, labels, label_delay_days=21.0, kinds={}, progress=lambda *_: None)
    return config.model.path


def training_config(database: DatabaseServer, folder: Path) -> Config:
    """Give what training needs: the database, the shipped SQL, and ``folder`` for the model."""
    password = folder / "password"
    password.write_text(database.password)
    return Config.model_validate(
        {
            "aws": {"region": "x"},
            "queue": {"url": "x"},
            "topics": {"requests_arn": "x", "completions_arn": "x"},
            "results": {"table": "x"},
            "database": {
                "host": database.host,
                "port": database.port,
                "user": database.user,
                "name": database.name,
                "password_credential": str(password),
            },
            "features": {"directory": ROOT / "config" / "features"},
            "model": {"path": folder / "model.ubj"},
        }
    )


def _digest() -> str:
    sha = hashlib.sha256(DEMO.encode())
    for pattern in _SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            sha.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    # Another MariaDB may not read this one's data folder.
    server = mariadb.find(ROOT / ".tools").server
    sha.update(f"{server} {server.stat().st_size}".encode())
    return sha.hexdigest()[:16]


def _is_fresh(kept: KeptPlatform) -> bool:
    return kept.folder.exists() and _age(kept.folder) < _FRESH


def _age(folder: Path) -> timedelta:
    return datetime.now(UTC) - datetime.fromtimestamp(folder.stat().st_mtime, UTC)


async def _make(database: DatabaseServer, folder: Path) -> None:
    await trained(await seeded(database, folder, now=datetime.now(UTC)), folder)


def _main() -> None:
    folder = ROOT / ".tools" / "platform" / _digest()
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)  # an earlier one may have been interrupted
    part.mkdir(parents=True)
    port = free_port()
    installation = mariadb.find(ROOT / ".tools")
    database = DatabaseServer(host="127.0.0.1", port=port, user="root", password="", name=DEMO)
    with running(mariadb.command(installation, part / "mariadb", port=port)):
        asyncio.run(_make(database, part))
    part.rename(folder)


if __name__ == "__main__":
    _main()
