"""A backfill killed in the middle: nobody is forgotten, nobody waits for it."""

import asyncio
import csv
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.chaos.daemon import Daemon
from tests.chaos.stage import Stage
from tests.stack.paths import FRAUDD

#: How long a run takes in the database, in seconds.
PACE = 0.4
#: Between two requests of those who are not to wait.
_EVERY_SECONDS = 1.0


class CountingProxy:
    """Stands before a daemon, and counts how often each id is asked for in a batch."""

    def __init__(self, http: aiohttp.ClientSession, on_batch: Callable[[Counter[str]], None]):
        self.asked: Counter[str] = Counter()
        self._http = http
        self._on_batch = on_batch

    async def pass_on(self, request: web.Request) -> web.Response:
        """Have the daemon answer; what it is asked for is counted before."""
        if request.path == "/v1/batches":
            body = await request.json()
            self.asked.update(one["entity_id"] for one in body["predictions"])
            self._on_batch(self.asked)
        async with self._http.request(
            request.method,
            request.path_qs,
            data=await request.read(),
            headers={
                name: value
                for name, value in request.headers.items()
                if name in ("Content-Type", "Prefer")
            },
        ) as answer:
            return web.Response(
                status=answer.status,
                body=await answer.read(),
                content_type=answer.content_type,
                headers={
                    name: value for name, value in answer.headers.items() if name == "Retry-After"
                },
            )


@asynccontextmanager
async def counting_proxy(
    daemon: Daemon, on_batch: Callable[[Counter[str]], None]
) -> AsyncIterator[tuple[CountingProxy, str]]:
    """A proxy in front of a daemon, and its URL."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(daemon.url, connector=connector) as http:
        counting = CountingProxy(http, on_batch)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", counting.pass_on)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert runner.addresses
        try:
            yield counting, f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def others(daemon: Daemon, until: asyncio.Event) -> list[float]:
    """Ask in the interactive lane, one after the other; gives how long each waited to begin."""
    waited = []
    number = 0
    while not until.is_set():
        number += 1
        entity_id = f"shop-other-{number}"
        await daemon.ask(entity_id)
        while (body := await daemon.look_up(entity_id))["status"] == "calculating":
            await asyncio.sleep(PACE / 4)
        assert body["status"] == "done", body
        waited.append(body["result"]["timing_ms"]["waited"] / 1000)
        await asyncio.sleep(_EVERY_SECONDS)
    return waited


async def filled(
    stage: Stage, *, ids: list[str], permits: int, rate: int, within_seconds: float
) -> None:
    """Backfill, killed when half of the ids were asked for, with others who ask meanwhile."""
    await stage.database.rows(
        "DELETE FROM plain.pace",
        "INSERT INTO plain.pace VALUES " + ", ".join(f"('{one}', {PACE})" for one in ids),
        "INSERT INTO plain.pace VALUES "
        + ", ".join(f"('shop-other-{number}', {PACE})" for number in range(1, 2000)),
        "COMMIT",
    )
    file, output = stage.folder / "ids", stage.folder / "results.csv"
    file.write_text("\n".join(ids))
    processes: list[asyncio.subprocess.Process] = []

    def kill_in_the_middle(asked: Counter[str]) -> None:
        # The batch was asked for, and its answer is never seen.
        if len(processes) == 1 and len(asked) > len(ids) / 2:
            processes[0].kill()

    bulk_url = stage.aws.names.bulk_url
    async with stage.daemon(
        "one", bulk_url=bulk_url, permits=permits, wait_seconds=20, visibility_seconds=30
    ) as daemon:
        await daemon.ready()
        async with (
            counting_proxy(daemon, kill_in_the_middle) as (counting, url),
            asyncio.TaskGroup() as group,
        ):
            ended = asyncio.Event()
            asking = group.create_task(others(daemon, ended))
            command = ("backfill", str(file), "--url", url, "--rate", str(rate))
            began = time.monotonic()
            for _ in range(2):
                processes.append(
                    await asyncio.create_subprocess_exec(
                        FRAUDD, *command, "--output", str(output),
                        stdout=asyncio.subprocess.PIPE,
                    )
                )  # fmt: skip
                async with asyncio.timeout(within_seconds):
                    printed, _ = await processes[-1].communicate()
            seconds = time.monotonic() - began
            ended.set()
        runs = await daemon.sample("fraudd_messages_total", outcome="done")
        in_database = await daemon.sample("fraudd_run_seconds_sum", phase="database")
    waited = asking.result()
    mean = in_database / runs
    print(
        f"{len(ids)} ids in {seconds:.0f} s, {runs / seconds:.1f} runs/s, mean run {mean:.2f} s;"
        f" {len(waited)} interactive runs began after {statistics.median(waited):.3f} s"
        f" (median), {max(waited):.3f} s (most);"
        f" asked twice: {sum(1 for one in counting.asked.values() if one > 1)}"
    )
    killed, resumed = processes
    assert (killed.returncode, resumed.returncode) == (-9, 0)
    assert printed.decode() == f"{len(ids)} done, 0 failed, 0 pending, 0 refused\n"
    # Asked for once, or once more where the answer was not seen; none missing.
    assert counting.asked.keys() == set(ids)
    twice = [entity_id for entity_id, times in counting.asked.items() if times > 1]
    assert 0 < len(twice) <= 100
    assert max(counting.asked.values()) == 2
    assert scored(output) == ids
    # A run for each, at its first claim: asking once more started none.
    assert runs == len(ids) + len(waited)
    assert stage.connections["one"] <= permits
    # Nobody waits for the backfill.
    assert statistics.quantiles(waited, n=10)[-1] <= mean


def scored(output: Path) -> list[str]:
    """The ids of a result file that have a score, in its order."""
    with output.open(newline="") as lines:
        return [row["entity_id"] for row in csv.DictReader(lines) if float(row["score"]) >= 0]


async def test_a_backfill_killed_in_the_middle_is_gone_on_with(stage: Stage) -> None:
    ids = [f"shop-{number}" for number in range(300)]
    await filled(stage, ids=ids, permits=12, rate=100, within_seconds=120)


@pytest.mark.slow
async def test_a_backfill_of_20000_killed_in_the_middle_is_gone_on_with(stage: Stage) -> None:
    ids = [f"shop-{number}" for number in range(20_000)]
    await filled(stage, ids=ids, permits=24, rate=1000, within_seconds=3000)
