"""Profiles the running daemon under load: `make profile` (one minute).

Starts a stack and a daemon, reads results in a loop and requests new runs, while py-spy records
the daemon into `.local/profile.svg`. py-spy must be allowed to trace processes: run it as root, or
set `kernel.yama.ptrace_scope=0`.
"""

import asyncio
import itertools
import sys
import tempfile
from pathlib import Path

import aiohttp

from fraudd.local import stack
from tests.bench import stage
from tests.stack.paths import ROOT

SECONDS, READERS, SHOPS = 20, 32, 20
PROFILE = ROOT / ".local" / "profile.svg"


def main() -> None:
    """Record a profile, and print where it is."""
    PROFILE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fraudd-profile-") as name:
        settings = stage.settings(Path(name), scale=0.05, seed=1)
        with stack.up(settings) as config, stage.daemon(settings, config) as process:
            rows = (settings.state / "labels-now.csv").read_text().split()[1 : SHOPS + 1]
            shops = [row.partition(",")[0] for row in rows]
            asyncio.run(_record(process.pid, f"http://127.0.0.1:{settings.http_port}", shops))
    print(f"profile: {PROFILE}")


async def _record(pid: int, url: str, shops: list[str]) -> None:
    async with aiohttp.ClientSession(url) as http, asyncio.TaskGroup() as group:
        load = [group.create_task(_read(http, shops)) for _ in range(READERS)]
        load.append(group.create_task(_request(http, shops)))
        recorder = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("py-spy")),
            *("record", "--pid", str(pid), "--duration", str(SECONDS), "--output", str(PROFILE)),
        )
        status = await recorder.wait()
        for task in load:
            task.cancel()
    if status != 0:
        sys.exit(f"py-spy ended with status {status}")


async def _read(http: aiohttp.ClientSession, shops: list[str]) -> None:
    for shop in itertools.cycle(shops):
        (await http.get(f"/v1/predictions/{shop}")).release()


async def _request(http: aiohttp.ClientSession, shops: list[str]) -> None:
    for shop in itertools.cycle(shops):
        body = {"entity_id": shop, "max_age_seconds": 0}
        (await http.post("/v1/predictions", json=body, headers={"Prefer": "wait=10"})).release()


if __name__ == "__main__":
    main()
