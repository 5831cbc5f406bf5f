"""Many who wait, and parts of AWS that are out while somebody asks."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from fraudd.web.openapi.problem_types import PROBLEMS_URL
from tests.chaos.daemon import Daemon
from tests.chaos.stage import Stage

_UNAVAILABLE = f"{PROBLEMS_URL}unavailable"
#: What one who waits may cost, with what it took to read for all of them at once.
_MAX_KB_EACH = 60.0


def resident_kb(pid: int) -> int:
    """How much memory a process has."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


@pytest.mark.parametrize(
    ("waiters", "entities"), [(500, 50), pytest.param(2000, 200, marks=pytest.mark.slow)]
)
async def test_all_who_wait_are_answered_at_little_cost(
    waiters: int, entities: int, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    held = ["shop-held", "shop-held-too"]
    everybody = [f"shop-{n % entities}" for n in range(waiters)]
    connector = aiohttp.TCPConnector(limit=0)
    async with stage.daemon("one") as daemon:
        await daemon.ready()
        async with (
            aiohttp.ClientSession(daemon.url, connector=connector) as http,
            asyncio.TaskGroup() as group,
            # Both permits are busy, so that all come to wait at the same time.
            stage.database.held_up(*held) as reached,
        ):
            await daemon.ask_for_all(held)
            await reached()
            await daemon.ask_for_all(everybody[:entities])
            before = resident_kb(daemon.pid)
            waiting = [group.create_task(wait(http, one)) for one in everybody]
            async with asyncio.timeout(60):
                while (await daemon.status())["waiters"] < waiters:
                    await asyncio.sleep(0.1)
            each = (resident_kb(daemon.pid) - before) / waiters
            began, reads = time.monotonic(), await reads_of(daemon)
            await asyncio.sleep(5)
            rate = (await reads_of(daemon) - reads) / (time.monotonic() - began)
        answers = [task.result() for task in waiting]
    assert Counter(answers) == {
        (200, "done", f"shop-{n}"): waiters // entities for n in range(entities)
    }
    with capsys.disabled():
        print(f"\n{each:.1f} KB a waiter, {rate:.1f} reads a second for {entities} entities")
    assert each < _MAX_KB_EACH
    # A look takes one call for each hundred, and there are two a second at most.
    assert rate <= 4 * max(1, entities / 100)


async def wait(http: aiohttp.ClientSession, entity_id: str) -> tuple[int, str, str]:
    """Look up, ready to wait for a minute; gives status code, status and entity."""
    headers = {"Prefer": "wait=60"}
    async with http.get(f"/v1/predictions/{entity_id}", headers=headers) as answer:
        body = await answer.json()
        return answer.status, body["status"], body["entity_id"]


async def reads_of(daemon: Daemon) -> float:
    """Count the calls that read many records at once: what the sweeper reads it reads alone."""
    return await daemon.sample("fraudd_aws_calls_total", operation="BatchGetItem")


async def test_while_the_store_is_out_nobody_starts_a_run_and_asking_again_starts_one(
    stage: Stage,
) -> None:
    async with stage.proxy_to_aws() as proxy, stage.daemon("one", to_aws=proxy) as daemon:
        await daemon.ready()
        proxy.refuse()
        proxy.cut()
        for _ in range(3):
            status, problem = await daemon.post("shop-1")
            assert (status, problem["type"]) == (503, _UNAVAILABLE)
        proxy.recover()
        assert await stage.aws.store.get("shop-1") is None
        run_id = await daemon.ask("shop-1")
        assert await stage.all_done({"shop-1": run_id}, daemon) == {}


async def test_a_write_whose_answer_is_lost_starts_one_run_however_often_it_is_asked_for(
    stage: Stage,
) -> None:
    """What was asked for happened, and the caller was told 503: asking again joins it."""
    async with stage.proxy_to_aws() as proxy, stage.daemon("one", to_aws=proxy) as daemon:
        await daemon.ready()
        proxy.stall(requests=False)
        status, problem = await daemon.post("shop-1")
        assert (status, problem["type"]) == (503, _UNAVAILABLE)
        proxy.recover()
        runs = {await daemon.ask("shop-1") for _ in range(3)}
        [run_id] = runs
        assert await stage.all_done({"shop-1": run_id}, daemon) == {}


async def test_while_the_topic_is_out_runs_are_accepted_and_computed_once_it_is_back(
    stage: Stage,
) -> None:
    """The topic alone: what is said to the others arrives."""
    async with (
        stage.proxy_to_aws() as proxy,
        stage.daemon("one", to_aws=proxy) as daemon,
    ):
        await daemon.ready()
        proxy.drop(b"Action=Publish")
        runs = await daemon.ask_for_all([f"shop-{n}" for n in range(3)])
        # Whoever asks meanwhile joins, and nothing is computed.
        assert await daemon.ask("shop-0") == runs["shop-0"]
        record = await stage.aws.store.get("shop-0")
        assert record is not None
        assert (record.state, record.published_at) == ("queued", None)
        proxy.recover()
        assert await stage.all_done(runs, daemon) == {}
