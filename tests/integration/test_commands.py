"""``fraudd request``, ``result`` and ``backfill``, as processes that call a real daemon."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fraudd.config import Config
from fraudd.local.process import free_port
from tests.integration.conftest import Fraudd, Observer, Start

FRAUDD = str(Path(sys.executable).with_name("fraudd"))


@pytest.fixture
async def fraudd(start: Start, config: Config) -> AsyncIterator[Fraudd]:
    async with start(config) as fraudd:
        yield fraudd


async def started(*arguments: str) -> asyncio.subprocess.Process:
    """Start a subcommand."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        FRAUDD, *arguments, stdin=pipe, stdout=pipe, stderr=pipe
    )


async def ran(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """Run a subcommand; gives its exit status, and what it printed as answer and besides."""
    process = await started(*arguments)
    out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return process.returncode, out.decode(), err.decode()


async def test_a_score_is_asked_for_waited_for_and_looked_up(fraudd: Fraudd) -> None:
    at = ("--url", fraudd.url)
    status, out, err = await ran("result", "shop-1", *at)
    assert (status, out) == (1, "")
    assert "no score was ever asked for shop-1" in err
    status, out, _ = await ran("request", "shop-1", *at)
    assert status == 0
    assert out.startswith("shop-1  started, about ")
    status, out, _ = await ran("request", "shop-1", *at, "--wait", "30")
    assert status == 0
    first, *reasons = out.splitlines()
    assert first.startswith("shop-1  done  0.")
    assert len(reasons) == 5
    status, out, _ = await ran("result", "shop-1", *at, "--json")
    looked_up = json.loads(out)
    assert (status, looked_up) == (0, (await fraudd.look_up("shop-1"))[1])
    status, out, _ = await ran("request", "shop-1", *at, "--force", "--wait", "30", "--json")
    assert (status, json.loads(out)["status"]) == (0, "done")
    assert json.loads(out)["run_id"] > looked_up["run_id"]


async def test_a_score_too_old_is_computed_anew(fraudd: Fraudd) -> None:
    await fraudd.ask("shop-1")
    await fraudd.ended("shop-1")
    at = ("--url", fraudd.url)
    assert "done" in (await ran("request", "shop-1", *at, "--max-age", "3600"))[1]
    assert "started" in (await ran("request", "shop-1", *at, "--max-age", "0"))[1]


async def test_a_run_that_failed_or_does_not_end_is_status_1(
    fraudd: Fraudd, observer: Observer
) -> None:
    at = ("--url", fraudd.url)
    status, out, _ = await ran("request", "nobody", *at, "--wait", "30")
    assert status == 1
    assert out.startswith("nobody  failed  entity_unknown: ")
    assert (await ran("result", "nobody", *at))[:2] == (status, out)
    await observer.hold_up("shop-1")
    status, out, err = await ran("request", "shop-1", *at, "--wait", "0.5")
    assert status == 1
    assert "has not ended after 0.5 s; it goes on" in err
    assert out.startswith("shop-1  calculating")
    await observer.let_go("shop-1")


async def test_a_daemon_that_is_not_there_is_told_in_a_line() -> None:
    status, out, err = await ran("backfill", "-", "--url", f"http://127.0.0.1:{free_port()}")
    assert (status, out, err) == (0, "0 done, 0 failed, 0 pending, 0 refused\n", "")
    status, out, err = await ran("result", "shop-1", "--url", f"http://127.0.0.1:{free_port()}")
    assert (status, out) == (1, "")
    [line] = err.splitlines()
    assert line.startswith("fraudd: unreachable: http://127.0.0.1:")
    assert line.endswith("; is fraudd up there?")


async def test_all_ids_of_a_file_are_scored_a_few_at_a_time(
    fraudd: Fraudd, tmp_path: Path, observer: Observer
) -> None:
    ids = [f"shop-{number}" for number in range(8)]
    await observer.hold_up("shop-0")
    file = tmp_path / "ids"
    file.write_text("\n".join(ids) + "\n\n  shop-1\r\n")
    process = await started("backfill", str(file), "--url", fraudd.url, "--concurrency", "2")
    await fraudd.jobs("done", 7)
    # One of the two is held up: the other asked for all the rest.
    assert (await fraudd.look_up("shop-0"))[1]["status"] == "calculating"
    await observer.let_go("shop-0")
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert out.decode() == "9 done, 0 failed, 0 pending, 0 refused\n"


async def test_no_more_runs_are_pending_than_it_may_have(
    fraudd: Fraudd, observer: Observer
) -> None:
    for number in (0, 1):
        await observer.hold_up(f"shop-{number}")
    process = await started("backfill", "-", "--url", fraudd.url, "--concurrency", "2")
    assert process.stdin is not None
    process.stdin.write("\n".join(f"shop-{number}" for number in range(9)).encode())
    process.stdin.write_eof()
    async with asyncio.timeout(20):
        while len((await fraudd.status())["jobs"]) < 2:
            pass
    assert (await fraudd.look_up("shop-2"))[0] == 404
    for number in (0, 1):
        await observer.let_go(f"shop-{number}")
    assert await process.wait() == 0


async def test_what_fails_or_is_no_id_is_told_and_the_rest_goes_through(fraudd: Fraudd) -> None:
    status, out, err = await ran(
        "backfill", "-", "--url", fraudd.url, "--json", stdin="shop-1\na b\nnobody\nshop-2\n"
    )
    assert status == 1
    told = {body["entity_id"]: body["status"] for body in map(json.loads, out.splitlines())}
    assert told == {"shop-1": "done", "nobody": "failed", "shop-2": "done"}
    assert "fraudd: line 2: 'a b': must be 1 to 128 characters" in err
    assert "fraudd: nobody  failed  entity_unknown: " in err
    assert err.endswith("2 done, 1 failed, 0 pending, 1 refused\n")


async def test_cut_off_it_goes_on_where_it_was(fraudd: Fraudd, observer: Observer) -> None:
    """What is stored is answered from the store: nothing is computed twice."""
    ids = "\n".join(f"shop-{number}" for number in range(6))
    await observer.hold_up("shop-3")
    process = await started("backfill", "-", "--url", fraudd.url, "--concurrency", "1")
    assert process.stdin is not None
    process.stdin.write(ids.encode())
    process.stdin.write_eof()
    await observer.busy("User lock")
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")
    assert out.decode() == "3 done, 0 failed, 0 pending, 0 refused\n"
    await observer.let_go("shop-3")
    assert (await ran("backfill", "-", "--url", fraudd.url, stdin=ids))[0] == 0
    assert fraudd.sample("fraudd_jobs_total", outcome="done") == 6


async def test_ids_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    status, _, err = await ran("backfill", str(tmp_path / "gone"))
    assert status == 1
    assert err == f"fraudd: cannot read {tmp_path / 'gone'}: No such file or directory\n"
