"""The package's life on a machine: installed, upgraded under load, removed, purged."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraudd import __version__
from fraudd.local.settings import DatabaseServer
from tests.stack.aws import Aws
from tests.stack.paths import ROOT
from tests.systemd.callers import calling
from tests.systemd.conftest import Instance, configured, install, make
from tests.systemd.machine import Machine, booted

NEWER = "99.0.0"


@pytest.fixture(scope="module")
def newer_package(
    package: Path, tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The same with a higher version."""
    folder = tmp_path_factory.mktemp("newer")
    # Links, which take no time and no room; what is changed is a file of its own.
    make("cp", "-al", str(tree), str(folder / "tree"))
    make("rm", "-r", str(folder / "tree" / "DEBIAN"))
    [module] = folder.glob("tree/opt/fraudd/lib/python3*/site-packages/fraudd/__init__.py")
    content = module.read_text()
    module.unlink()
    module.write_text(content.replace(__version__, NEWER))
    yield Path(make("packaging/build-deb", str(folder / "tree"), str(folder), "-Znone"))
    shutil.rmtree(folder)  # 300 MB


def files(machine: Machine, *folders: str) -> set[str]:
    """List the files below folders that are there."""
    there = [folder for folder in folders if (machine.root / folder.lstrip("/")).exists()]
    return set(machine.run("find", *there, "!", "-type", "d").stdout.split()) if there else set()


def documents() -> list[Path]:
    """Every page, decision, and image."""
    return [path for path in (ROOT / "docs").rglob("*") if path.is_file()]


async def test_the_life_of_an_installation(
    package: Path,
    newer_package: Path,
    tmp_path: Path,
    aws: Aws,
    aws_endpoint: str,
    database: DatabaseServer,
    features: Path,
) -> None:
    with booted(tmp_path / "machine") as machine:
        await asyncio.to_thread(install, machine, package)
        assert machine.run("fraudd", "--version").stdout == f"fraudd {__version__}\n"
        assert machine.run("dpkg", "--verify", "fraudd").stdout == ""
        pages = {str(page.relative_to(ROOT / "docs")) for page in documents()}
        assert files(machine, "/usr/share/doc/fraudd") == {
            f"/usr/share/doc/fraudd/{page}"
            for page in {*pages, "README.md", "CHANGELOG.md", "copyright"}
        }
        shared = {"alerts.yaml", "grafana.json", "cloudformation.yaml", "schema.sql"}
        assert {f"/usr/share/fraudd/{name}" for name in shared} <= files(
            machine, "/usr/share/fraudd"
        )

        instance = configured(machine, aws, aws_endpoint, database, features)
        configuration = files(machine, "/etc/fraudd")
        assert len(configuration) == 4
        machine.systemctl("enable", "--now", instance.unit)
        assert instance.http("GET", "/v1/status")[1]["version"] == __version__
        assert machine.systemctl("is-enabled", instance.socket) == "enabled\n"

        await upgraded_under_load(instance, newer_package)
        assert files(machine, "/etc/fraudd") == configuration

        await asyncio.to_thread(machine.run, "dpkg", "--remove", "fraudd")
        with pytest.raises(OSError, match="refused"):
            instance.http("GET", "/healthz")
        assert files(machine, "/opt/fraudd", "/usr/share/fraudd", "/usr/bin/fraudd") == set()
        assert files(machine, "/etc/fraudd") == configuration

        # Installed again it is as it was: configured, and enabled.
        await asyncio.to_thread(install, machine, package)
        assert machine.systemctl("is-enabled", instance.unit) == "enabled\n"

        purged = await asyncio.to_thread(machine.run, "dpkg", "--purge", "fraudd")
        assert "/etc/fraudd still exists" in purged.stderr
        assert files(machine, "/etc/fraudd") == configuration
        assert not [name for name in files(machine, "/etc/systemd/system") if ".wants/" in name]
        assert machine.run("dpkg", "--status", "fraudd", check=False).returncode == 1
        assert instance.show("LoadState") == "not-found"


async def upgraded_under_load(instance: Instance, newer_package: Path) -> None:
    """Install a newer version while callers go on."""
    instance.http("POST", "/v1/predictions", {"entity_id": "shop-1"})
    async with calling(f"{instance.url}/v1/predictions/shop-1") as outcome:
        said = await asyncio.to_thread(install, instance.machine, newer_package)
        await asyncio.sleep(0.5)
    assert "Setting up fraudd (99.0.0)" in said
    print(f"{len(outcome.statuses)} requests, the slowest {outcome.slowest_seconds:.2f} s")
    assert (outcome.failures, set(outcome.statuses)) == ([], {200})
    assert instance.http("GET", "/v1/status")[1]["version"] == NEWER


async def test_a_daemon_that_does_not_come_up_again_fails_no_upgrade(
    machine: Machine, instance: Instance, package: Path
) -> None:
    """What is wrong is said; another daemon on the machine would not be mended by a failure."""
    instance.start()
    machine.write(f"{instance.folder}/fraudd.toml", "[http]\nport = 1\n")
    said = await asyncio.to_thread(install, machine, package)
    assert "fraudd: a daemon failed to restart" in said
    assert "install ok installed" in machine.run("dpkg", "--status", "fraudd").stdout


def test_nothing_in_the_package_names_where_it_was_built(tree: Path) -> None:
    found = subprocess.run(
        ["grep", "--recursive", "--files-with-matches", "--fixed-strings", str(ROOT), str(tree)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""


def test_the_package_depends_on_what_its_libraries_need(package: Path, tree: Path) -> None:
    """Of what is not in it; and it belongs to root, and nobody else may write to it."""
    control = subprocess.run(
        ["dpkg-deb", "--field", str(package)], capture_output=True, text=True, check=True
    ).stdout
    names = re.search(r"^Depends: (.*)$", control, re.MULTILINE)
    assert names is not None
    declared = set(names[1].split(", "))
    assert {_owner(path) for path in _linked(tree)} <= declared
    listed = subprocess.run(
        ["dpkg-deb", "--contents", str(package)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert {line.split()[1] for line in listed} == {"root/root"}
    assert [line for line in listed if line[0] != "l" and "w" in (line[5], line[8])] == []


def _linked(tree: Path) -> set[Path]:
    """Give this machine's libraries that those in the package are linked with."""
    libraries = [str(path) for path in tree.rglob("*.so*") if path.is_file()]
    done = subprocess.run(["ldd", *libraries], capture_output=True, text=True, check=False)
    absent = re.findall(r"(\S+) => not found", done.stdout)
    assert [name for name in absent if not any(tree.rglob(name))] == []
    found = {Path(path) for path in re.findall(r" => (/\S+)", done.stdout)}
    return {path for path in found if not path.is_relative_to(tree)}


def _owner(library: Path) -> str:
    """Name the package that a library came with; its list may have the path before the merge."""
    for path in (library, Path("/usr") / str(library).lstrip("/"), library.resolve()):
        done = subprocess.run(
            ["dpkg-query", "--search", str(path)], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return done.stdout.partition(":")[0]
    raise AssertionError(f"no package owns {library}")


def test_make_uninstall_removes_what_make_install_installed(tmp_path: Path) -> None:
    """And nothing else."""
    root = tmp_path / "root"
    (root / "etc" / "fraudd" / "shop").mkdir(parents=True)
    (root / "etc" / "fraudd" / "shop" / "fraudd.toml").write_text("mine")
    make("make", "-s", "install", f"DESTDIR={root}")
    make("make", "-s", "install", f"DESTDIR={root}")
    assert (root / "usr/local/lib/systemd/system/fraudd@.service").exists()
    assert (root / "usr/local/share/fraudd/example/features/orders.sql").exists()
    assert (root / "usr/local/bin/fraudd").readlink() == Path("/opt/fraudd/bin/fraudd")
    make("make", "-s", "uninstall", f"DESTDIR={root}")
    assert [path for path in root.rglob("*") if not path.is_dir()] == [
        root / "etc" / "fraudd" / "shop" / "fraudd.toml"
    ]
