"""The AWS API paused, and cut off, under load."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fraudd.web.openapi.problem_types import PROBLEMS_URL
from tests.chaos.daemon import Daemon
from tests.chaos.proxy import FaultProxy
from tests.chaos.stage import VISIBILITY_SECONDS, Stage

_LOAD = [f"shop-{n}" for n in range(24)]
_EARLY = 5
_UNAVAILABLE = f"{PROBLEMS_URL}unavailable"


@asynccontextmanager
async def under_load(
    stage: Stage,
) -> AsyncIterator[tuple[tuple[Daemon, Daemon], tuple[FaultProxy, FaultProxy], dict[str, str]]]:
    """Two daemons at work, each behind a proxy; gives them and the runs asked for."""
    await stage.database.set_paces(dict.fromkeys(_LOAD, 0.2))
    async with (
        stage.proxy_to_aws() as proxy,
        stage.proxy_to_aws() as other_proxy,
        stage.two_daemons((proxy, other_proxy)) as daemons,
    ):
        runs = await daemons[0].ask_for_all(_LOAD)
        await stage.announced.at_least(_EARLY)
        yield daemons, (proxy, other_proxy), runs


async def received(daemons: tuple[Daemon, Daemon]) -> float:
    """Count the messages that reached the daemons."""
    return sum([await daemon.sample("fraudd_receives_total") for daemon in daemons])


async def no_receive_wasted(stage: Stage, daemons: tuple[Daemon, Daemon]) -> None:
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
                asked = group.create_task(daemons[0].post("shop-late"))
            # Asking again is safe, and this is what a caller is told.
            status, problem = asked.result()
            assert (status, problem["type"]) == (503, _UNAVAILABLE)
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


async def test_connections_to_aws_that_break_again_and_again_lose_nothing(stage: Stage) -> None:
    """Reset, or closed while what they asked for went through: it happened, and nobody was told."""
    async with under_load(stage) as (daemons, proxies, runs):
        for number, done in enumerate(range(_EARLY, len(_LOAD) - 4, 2)):
            await stage.announced.at_least(done)
            for proxy in proxies:
                (proxy.half_close if number % 2 else proxy.cut)()
        assert await stage.all_done(runs, daemons[0]) == {}
        await no_receive_wasted(stage, daemons)


@pytest.mark.slow
async def test_answers_of_aws_that_never_come_cost_no_attempt(stage: Stage) -> None:
    async with under_load(stage) as (daemons, proxies, runs):
        for proxy in proxies:
            proxy.stall(requests=False)
        for daemon in daemons:
            await daemon.notices_outage()
        for proxy in proxies:
            proxy.recover()
        assert await stage.all_done(runs, daemons[0]) == {}


@pytest.mark.slow
async def test_a_daemon_cut_off_from_aws_keeps_its_runs(stage: Stage) -> None:
    """None is stolen while it is held, and each completes where it is."""
    async with under_load(stage) as (daemons, proxies, runs):
        proxies[1].refuse()
        proxies[1].cut()
        await daemons[1].notices_outage()
        proxies[1].recover()
        assert await stage.all_done(runs, daemons[0]) == {}
        await no_receive_wasted(stage, daemons)


@pytest.mark.slow
async def test_the_runs_of_a_daemon_cut_off_for_longer_than_its_leases_complete_elsewhere(
    stage: Stage,
) -> None:
    async with under_load(stage) as (daemons, proxies, runs):
        proxies[1].refuse()
        proxies[1].cut()
        # All but what it holds, or what was lost on the way to it, ends meanwhile; then this too.
        odd = await stage.all_done(runs, daemons[0])
        proxies[1].recover()
        runs["shop-late"] = await daemons[1].ask("shop-late")
        await stage.all_done(runs, daemons[1])
    assert {(took.attempts, took.deaths) for took in odd.values()} <= {(1, 1)}


@pytest.mark.slow
async def test_a_slow_way_to_aws_costs_time_and_nothing_else(stage: Stage) -> None:
    async with under_load(stage) as (daemons, proxies, runs):
        for proxy in proxies:
            proxy.delay(0.02)
        assert await stage.all_done(runs, daemons[0]) == {}
        assert await received(daemons) == len(_LOAD)
        assert set(stage.receipts.by_message().values()) == {1}


@pytest.mark.slow
async def test_wake_ups_that_the_queue_lost_are_sent_again(stage: Stage) -> None:
    # Both permits are busy, so that no wake-up is in hand.
    held = ["shop-held", "shop-held-too"]
    async with stage.daemon("one") as daemon:
        await daemon.ready()
        async with stage.database.held_up(*held) as reached:
            runs = await daemon.ask_for_all(held)
            await reached()
            runs |= await daemon.ask_for_all(_LOAD)
            await stage.aws.clients.sqs.purge_queue(QueueUrl=stage.aws.names.queue_url)
        assert await stage.all_done(runs, daemon) == {}
        assert await daemon.sample("fraudd_wakeups_resent_total") == len(_LOAD)
