"""``fraudd request`` and ``result``, as processes that call a real daemon."""

import json
from collections.abc import AsyncIterator

import pytest

from fraudd.config import Config
from tests.stack.commands import ran
from tests.stack.daemon import Fraudd, Start
from tests.stack.observer import Observer
from tests.stack.workers import free_port


@pytest.fixture
async def fraudd(start: Start, config: Config) -> AsyncIterator[Fraudd]:
    async with start(config) as fraudd:
        yield fraudd


async def test_a_score_is_asked_for_waited_for_and_looked_up(fraudd: Fraudd) -> None:
    at = ("--url", fraudd.url)
    status, out, err = await ran("result", "shop-1", *at)
    assert (status, out) == (1, "")
    assert "shop-1 has no prediction, or it has expired. Run: fraudd request shop-1" in err
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
    assert "has not ended within 0.5 s; it continues" in err
    assert out.startswith("shop-1  calculating")
    await observer.let_go("shop-1")


async def test_a_daemon_that_is_not_there_is_told_in_a_line() -> None:
    status, out, err = await ran("result", "shop-1", "--url", f"http://127.0.0.1:{free_port()}")
    assert (status, out) == (1, "")
    [line] = err.splitlines()
    assert line.startswith("fraudd: unreachable: cannot reach fraudd at http://127.0.0.1:")
    assert line.endswith(": Connection refused")
    assert "ssl" not in line  # a setting of the HTTP library's, and no cause
