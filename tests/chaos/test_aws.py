"""The AWS API paused, and cut off, under load."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.chaos.conftest import VISIBILITY_SECONDS, Stage
from tests.chaos.daemon import Daemon
from tests.chaos.proxy import FaultProxy

_LOAD = [f"shop-{n}" for n in range(30)]
_EARLY = 8


@asynccontextmanager
async def under_load(
    stage: Stage,
) -> AsyncIterator[tuple[list[Daemon], list[FaultProxy], dict[str, str]]]:
    """Two daemons at work, each behind a proxy; gives them and the runs asked for."""
    await stage.database.set_paces(dict.fromkeys(_LOAD, 0.2))
    async with (
        stage.proxy_to_aws() as proxy,
        stage.proxy_to_aws() as other_proxy,
        stage.daemon("one", to_aws=proxy) as one,
        stage.daemon("other", to_aws=other_proxy) as other,
    ):
        runs = await one.ask_for_all(_LOAD)
        await stage.announced.at_least(_EARLY)
        yield [one, other], [proxy, other_proxy], runs


async def received(daemons: list[Daemon]) -> float:
    """Count the messages that reached the daemons."""
    return sum([await daemon.sample("fraudd_receives_total") for daemon in daemons])


async def no_receive_wasted(stage: Stage, daemons: list[Daemon]) -> None:
    """See that a message was handed out again only where the answer with it was lost."""
    counts = stage.receipts.by_message()
    lost = counts.total() - await received(daemons)
    assert counts.total() - len(counts) <= lost


async def test_an_aws_api_that_hangs_longer_than_the_time_outs_costs_no_attempt(
    stage: Stage,
) -> None:
    async with under_load(stage) as (daemons, _, runs):
        stage.aws_server.pause()
        try:
            async with asyncio.TaskGroup() as group:
                for daemon in daemons:
                    group.create_task(daemon.notices_outage())
            # Asking again is safe, and this is what a caller is told.
            status, problem = await daemons[0].post("shop-late")
            assert (status, problem["type"]) == (503, "urn:fraudd:problem:unavailable")
        finally:
            stage.aws_server.resume()
        runs["shop-late"] = await daemons[0].ask("shop-late")
        assert await stage.all_done(runs, daemons[0]) == {}


@pytest.mark.slow
async def test_an_aws_api_that_hangs_longer_than_any_lease_costs_no_attempt(stage: Stage) -> None:
    async with under_load(stage) as (daemons, _, runs):
        stage.aws_server.pause()
        try:
            await asyncio.sleep(VISIBILITY_SECONDS * 1.5)
        finally:
            stage.aws_server.resume()
        assert await stage.all_done(runs, daemons[0]) == {}


async def test_connections_to_aws_cut_again_and_again_lose_nothing(stage: Stage) -> None:
    async with under_load(stage) as (daemons, proxies, runs):
        for done in range(_EARLY, len(_LOAD) - 4, 2):
            await stage.announced.at_least(done)
            for proxy in proxies:
                proxy.cut()
        assert await stage.all_done(runs, daemons[0]) == {}
        await no_receive_wasted(stage, daemons)


async def test_half_closed_connections_to_aws_lose_nothing(stage: Stage) -> None:
    """What was asked for has happened, and nobody was told."""
    async with under_load(stage) as (daemons, proxies, runs):
        for done in range(_EARLY, len(_LOAD) - 4, 2):
            await stage.announced.at_least(done)
            for proxy in proxies:
                proxy.half_close()
        assert await stage.all_done(runs, daemons[0]) == {}
        await no_receive_wasted(stage, daemons)


async def test_answers_of_aws_that_never_come_cost_no_attempt(stage: Stage) -> None:
    async with under_load(stage) as (daemons, proxies, runs):
        for proxy in proxies:
            proxy.stall(requests=False)
        for daemon in daemons:
            await daemon.notices_outage()
        for proxy in proxies:
            await proxy.recover()
        assert await stage.all_done(runs, daemons[0]) == {}
        await no_receive_wasted(stage, daemons)


async def test_a_daemon_cut_off_from_aws_is_told_from_one_that_died(stage: Stage) -> None:
    """Its runs are not stolen while it holds them, and complete where they are."""
    async with under_load(stage) as (daemons, proxies, runs):
        proxies[1].refuse()
        proxies[1].cut()
        await daemons[1].notices_outage()
        await proxies[1].recover()
        assert await stage.all_done(runs, daemons[0]) == {}
        await no_receive_wasted(stage, daemons)


async def test_a_slow_way_to_aws_costs_time_and_nothing_else(stage: Stage) -> None:
    async with under_load(stage) as (daemons, proxies, runs):
        for proxy in proxies:
            proxy.delay(0.05)
        assert await stage.all_done(runs, daemons[0]) == {}
        assert await received(daemons) == len(_LOAD)
        assert set(stage.receipts.by_message().values()) == {1}
