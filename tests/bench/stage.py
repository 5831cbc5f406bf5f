"""What a bench needs around it: a stack and a daemon of its own, and looks at both."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from fraudd.local.process import Command, running
from fraudd.local.settings import Settings
from tests.stack.paths import FRAUDD, ROOT
from tests.stack.workers import free_port


def settings(folder: Path, *, scale: float, seed: int) -> Settings:
    """Settings of a local stack in a folder of its own."""
    for name in ("config", ".tools"):
        (folder / name).symlink_to(ROOT / name)
    return Settings(
        root=folder,
        http_port=free_port(),
        aws_port=free_port(),
        mysql_port=free_port(),
        database=None,
        scale=scale,
        seed=seed,
    )


@contextmanager
def daemon(settings: Settings, config: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Run the daemon as its users do."""
    log = settings.state / "fraudd.log"
    command = Command(
        name="the daemon",
        arguments=[
            FRAUDD,
            "serve",
            "--config",
            str(config),
        ],
        environment=None,
        log=log,
        is_up=lambda: "daemon.ready" in log.read_text(),
    )
    with running(command) as process:
        yield process


async def counters(http: aiohttp.ClientSession) -> dict[str, float]:
    """Read the daemon's metrics."""
    async with http.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in pairs}
