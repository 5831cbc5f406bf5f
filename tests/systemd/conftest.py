"""A booted machine with the package on it, and daemons for it to run."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fraudd.aws.session import Clients
from fraudd.local.settings import DatabaseServer
from tests.stack.aws import Aws, provisioned
from tests.stack.configuration import as_toml, sections
from tests.stack.database import run_sql
from tests.stack.features import write_features
from tests.stack.http import http
from tests.stack.mariadb import private_mariadb
from tests.stack.model import ignorant_model
from tests.stack.paths import ROOT
from tests.stack.workers import free_port
from tests.systemd.machine import Machine, booted, why_not

PASSWORD = "correct horse"

_numbers = count(1)


@pytest.fixture(scope="session", autouse=True)
def a_machine_can_be_booted() -> None:
    """Skip all tests here, with the reason, where none can."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)


def make(*arguments: str) -> str:
    """Run a command of the checkout; gives what it prints."""
    done = subprocess.run(
        arguments, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="session")
def tree() -> Path:
    """What the package installs; the virtual environment is built where that is not done yet."""
    folder = ROOT / "build" / "test-tree"
    make("rm", "-rf", str(folder))
    make("make", "-s", "install", f"DESTDIR={folder}", "PREFIX=/usr")
    return folder


@pytest.fixture(scope="session")
def package(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The Debian package; not compressed, which takes a minute."""
    folder = tmp_path_factory.mktemp("package")
    yield Path(make("packaging/build-deb", str(tree), str(folder), "-Znone"))
    shutil.rmtree(folder)  # 300 MB


@pytest.fixture(scope="session")
def machine(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the package on it."""
    with booted(tmp_path_factory.mktemp("machine")) as machine:
        install(machine, package)
        yield machine


def install(machine: Machine, package: Path) -> str:
    """Install a package; gives what that prints."""
    file = machine.root / "var" / "tmp" / package.name
    shutil.copy(package, file)
    try:
        done = machine.run("dpkg", "--force-unsafe-io", "-i", f"/var/tmp/{package.name}")
    finally:
        file.unlink()
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    """A MariaDB with an account that has a password."""
    with private_mariadb(tmp_path_factory.mktemp("mariadb")) as server:
        run_sql(
            server,
            "CREATE DATABASE plain",
            f"CREATE USER fraudd@HOST IDENTIFIED BY '{PASSWORD}'",
            "GRANT SELECT ON plain.* TO fraudd@HOST",
        )
        yield server


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A feature file, and a model beside it that knows it, and nothing about fraud."""
    folder = tmp_path_factory.mktemp("features")
    folder.chmod(0o755)  # the daemon's account is nobody's
    write_features(folder, "known")
    ignorant_model(folder)
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A kind of entity on a machine: configured, not started."""

    machine: Machine
    kind: str
    port: int

    @property
    def unit(self) -> str:
        """The daemon's unit."""
        return f"fraudd@{self.kind}.service"

    @property
    def socket(self) -> str:
        """The unit of its address."""
        return f"fraudd@{self.kind}.socket"

    @property
    def folder(self) -> str:
        """Its configuration, inside."""
        return f"/etc/fraudd/{self.kind}"

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.port}"

    def http(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request; gives status and parsed body."""
        return http(method, f"{self.url}{path}", body)

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.machine.systemctl("start", self.unit)

    def stop(self) -> None:
        """Stop it for good."""
        self.machine.systemctl("stop", self.socket, self.unit)

    def show(self, name: str) -> str:
        """Read a property of the daemon's unit."""
        return self.machine.show(self.unit, name)

    def journal(self) -> str:
        """Read what the daemon logged, and what systemd says about it."""
        return self.machine.journal(f"--unit={self.unit}")

    def drop_in(self, content: str) -> None:
        """Change the daemon's unit."""
        self.machine.write(f"/etc/systemd/system/{self.unit}.d/test.conf", content)
        self.machine.systemctl("daemon-reload")


@pytest.fixture
def instance(
    machine: Machine, aws: Aws, aws_endpoint: str, database: DatabaseServer, features: Path
) -> Iterator[Instance]:
    """A kind of entity that no other test uses."""
    made = configured(machine, aws, aws_endpoint, database, features)
    yield made
    made.stop()


@pytest.fixture
async def other_instance(
    machine: Machine,
    aws_clients: Clients,
    aws_endpoint: str,
    database: DatabaseServer,
    features: Path,
) -> AsyncIterator[Instance]:
    """Another one, with a queue and a table of its own."""
    aws = await provisioned(aws_clients)
    made = configured(machine, aws, aws_endpoint, database, features)
    yield made
    made.stop()


def configured(
    machine: Machine, aws: Aws, aws_endpoint: str, database: DatabaseServer, features: Path
) -> Instance:
    """Configure a kind of entity as an operator does."""
    made = Instance(machine=machine, kind=f"kind{next(_numbers)}", port=free_port())
    machine.write(f"{made.folder}/fraudd.toml", configured_as(aws, aws_endpoint, database))
    shutil.copytree(features, machine.root / made.folder.lstrip("/") / "features")
    machine.write(f"{made.folder}/database-password", f"{PASSWORD}\n", mode=0o600)
    listen = f"[Socket]\nListenStream=\nListenStream=127.0.0.1:{made.port}\n"
    machine.write(f"/etc/systemd/system/{made.socket}.d/listen.conf", listen)
    machine.systemctl("daemon-reload")
    return made


def configured_as(aws: Aws, aws_endpoint: str, database: DatabaseServer) -> str:
    """Write a configuration file."""
    values = sections(
        aws.names,
        database,
        http={"max_pending": 1000},
        aws={"endpoint_url": aws_endpoint, "connect_timeout_seconds": 1, "read_timeout_seconds": 1},
        queue={"wait_seconds": 1},
        consumers={"drain_seconds": 5},
        features={"directory": "features"},
        model={"path": "features/model.ubj"},
    )
    values["database"] |= {
        "user": "fraudd",
        "name": "plain",
        "password_credential": "database-password",
    }
    return as_toml(values)
