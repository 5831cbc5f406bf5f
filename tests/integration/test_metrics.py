"""The metrics of a daemon at work, at rest, and in an outage."""

import asyncio

from fraudd.config import Config
from fraudd.prediction.formats import new_ulid
from fraudd.prediction.transitions import opened
from tests.stack.aws import Aws
from tests.stack.daemon import Fraudd, Start, changed
from tests.stack.observer import Observer


async def until(fraudd: Fraudd, name: str, least: float, most: float, **labels: str) -> None:
    """Wait until a metric is between two numbers."""
    async with asyncio.timeout(20):
        while not least <= fraudd.sample(name, **labels) <= most:
            await fraudd.status()


async def test_a_daemon_in_work_tells_who_works_and_who_waits(
    start: Start, config: Config, observer: Observer
) -> None:
    await observer.hold_up("shop-1")
    async with start(config) as fraudd, asyncio.TaskGroup() as group:
        await fraudd.status()
        assert fraudd.sample("fraudd_ready") == 1
        assert fraudd.sample("fraudd_poll_loop_stalled") == 0
        assert abs(fraudd.sample("fraudd_clock_skew_seconds")) < 2
        assert fraudd.sample("fraudd_consumers", kind="count") == 3
        group.create_task(_wait_for(fraudd, "shop-1"))
        await until(fraudd, "fraudd_consumers", 1, 1, kind="busy")
        await until(fraudd, "fraudd_waiters", 1, 1)
        await observer.let_go("shop-1")
        await until(fraudd, "fraudd_consumers", 0, 0, kind="busy")
        await until(fraudd, "fraudd_waiters", 0, 0)


async def test_the_oldest_pending_run_shows_until_it_has_ended(
    start: Start, config: Config, aws: Aws, observer: Observer
) -> None:
    """Its wake-up is lost: the queue knows nothing of it."""
    await observer.hold_up("shop-1")
    await aws.store.apply(opened("shop-1", None, run_id=new_ulid(1, 1), now=1))
    swept = {"interval_seconds": 0.05, "grace_seconds": 0.1, "requeue_after_seconds": 0.5}
    async with start(changed(config, sweeper=swept)) as fraudd:
        oldest = "fraudd_oldest_pending_seconds"
        await until(fraudd, oldest, 3600, float("inf"), lane="interactive")
        await observer.let_go("shop-1")
        await fraudd.ended("shop-1")
        await until(fraudd, oldest, 0, 0, lane="interactive")


async def test_a_daemon_that_stops_is_not_ready(
    start: Start, config: Config, observer: Observer
) -> None:
    await observer.hold_up("shop-1")
    async with start(config) as fraudd:
        await fraudd.ask("shop-1")
        await until(fraudd, "fraudd_consumers", 1, 1, kind="busy")
        fraudd.daemon.stop()
        assert fraudd.sample("fraudd_ready") == 0
        await observer.let_go("shop-1")
        await fraudd.task


async def _wait_for(fraudd: Fraudd, entity_id: str) -> None:
    async with fraudd.http.post(
        "/v1/predictions", json={"entity_id": entity_id}, headers={"Prefer": "wait=20"}
    ) as answer:
        assert answer.status == 200
