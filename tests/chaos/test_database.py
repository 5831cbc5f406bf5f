"""The database stopped, started again, and cut off, under load."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.chaos.daemon import Daemon, serving
from tests.chaos.proxy import FaultProxy
from tests.chaos.stage import CONNECT_SECONDS, PERMITS, VISIBILITY_SECONDS, Stage

_LOAD = [f"shop-{n}" for n in range(24)]
_EARLY = 5


def paces(longest: float) -> dict[str, float]:
    """Run times, most of them short."""
    rng = random.Random(1)
    return {entity_id: 0.05 + longest * rng.random() ** 2 for entity_id in _LOAD}


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGTERM, id="stopped", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, id="killed"),
    ],
)
async def test_a_database_that_is_down_for_a_while_costs_no_attempt(
    stage: Stage, number: int
) -> None:
    await stage.database.set_paces(paces(0.6))
    async with stage.two_daemons() as (one, other):
        runs = await one.ask_for_all(_LOAD)
        await stage.announced.at_least(_EARLY)
        await asyncio.to_thread(stage.database.server.stop, number)
        await one.notices_outage()
        await other.notices_outage()
        # A look-up needs no database.
        assert (await one.look_up("shop-0"))["run_id"] == runs["shop-0"]
        await asyncio.to_thread(stage.database.server.start)
        assert await stage.all_done(runs, one) == {}
        received = await one.sample("fraudd_receives_total")
        received += await other.sample("fraudd_receives_total")
        assert received == len(_LOAD)
    assert max(stage.connections["one"], stage.connections["other"]) <= PERMITS


async def test_a_daemon_that_starts_without_its_database_serves_and_works_when_it_is_back(
    stage: Stage,
) -> None:
    async with stage.daemon("late") as before:
        await before.ready()
        runs = await before.ask_for_all(["shop-0"])
        await stage.announced.all_of(runs.values())
        await before.kill()
    await asyncio.to_thread(stage.database.server.stop, signal.SIGKILL)
    try:
        async with serving(stage.folder / "late.toml", before.port) as late:
            await late.ready()
            async with asyncio.timeout(2):
                assert (await late.look_up("shop-0"))["run_id"] == runs["shop-0"]
                runs["shop-1"] = await late.ask("shop-1")
            await late.notices_outage()
            await asyncio.to_thread(stage.database.server.start)
            assert await stage.all_done(runs, late) == {}
            assert await late.sample("fraudd_blocked") == 0
    finally:
        if not stage.database.server.running:
            await asyncio.to_thread(stage.database.server.start)


@asynccontextmanager
async def under_load(stage: Stage) -> AsyncIterator[tuple[Daemon, FaultProxy, dict[str, str]]]:
    """A daemon at work, with a proxy before the database; gives them and the runs asked for.

    At the end every message was received once, and there never was a connection too many.
    """
    await stage.database.set_paces(paces(0.4))
    async with (
        stage.proxy_to_database() as proxy,
        stage.daemon("one", to_database=proxy) as daemon,
    ):
        await daemon.ready()
        runs = await daemon.ask_for_all(_LOAD)
        await stage.announced.at_least(_EARLY)
        yield daemon, proxy, runs
        assert proxy.most <= PERMITS


@pytest.mark.slow
async def test_a_database_out_of_reach_costs_no_attempt(stage: Stage) -> None:
    async with under_load(stage) as (daemon, proxy, runs):
        proxy.refuse()
        proxy.cut()
        await daemon.notices_outage()
        proxy.recover()
        assert await stage.all_done(runs, daemon) == {}
        assert await daemon.sample("fraudd_receives_total") == len(_LOAD)


@pytest.mark.slow
async def test_a_balancer_without_a_database_costs_no_attempt(stage: Stage) -> None:
    async with under_load(stage) as (daemon, proxy, runs):
        proxy.hang_up()
        proxy.cut()
        await daemon.notices_outage()
        proxy.recover()
        assert await stage.all_done(runs, daemon) == {}
        assert await daemon.sample("fraudd_receives_total") == len(_LOAD)


async def test_a_lost_connection_costs_its_run_an_attempt_and_no_other(stage: Stage) -> None:
    async with under_load(stage) as (daemon, proxy, runs):
        breaks = [proxy.cut, proxy.half_close] * 2
        for number, break_ in enumerate(breaks):
            # Runs succeed between: this is no fault that hits every run.
            await stage.announced.at_least(_EARLY + 4 * number)
            break_()
        odd = await stage.all_done(runs, daemon)
    assert sum(took.attempts - 1 for took in odd.values()) <= len(breaks) * PERMITS
    assert {took.deaths for took in odd.values()} <= {0}


@pytest.mark.slow
async def test_a_database_that_stops_answering_is_waited_for(stage: Stage) -> None:
    async with under_load(stage) as (daemon, proxy, runs):
        proxy.stall()
        # Longer than a third of the visibility: beats go on meanwhile.
        await asyncio.sleep(VISIBILITY_SECONDS * 0.4)
        proxy.recover()
        assert await stage.all_done(runs, daemon) == {}
        assert await daemon.sample("fraudd_receives_total") == len(_LOAD)


@pytest.mark.parametrize(
    "in_answer", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["all", "in_answer"]
)
async def test_a_silent_database_costs_no_attempt_and_fails_no_run(
    stage: Stage, in_answer: bool
) -> None:
    """The outage is longer than a run may take, twice: two overruns would fail a run."""
    await stage.database.set_paces(paces(0.4))
    run_seconds = 2.0
    async with (
        stage.proxy_to_database() as proxy,
        stage.daemon(
            "one", to_database=proxy, query_seconds=1.0, run_seconds=run_seconds
        ) as daemon,
    ):
        await daemon.ready()
        runs = await daemon.ask_for_all(_LOAD)
        await stage.announced.at_least(_EARLY)
        if in_answer:
            proxy.stall_in_answer()
        else:
            proxy.stall()
        await daemon.notices_outage()
        await asyncio.sleep(2.5 * run_seconds)
        # A look-up needs no database.
        assert (await daemon.look_up("shop-0"))["run_id"] == runs["shop-0"]
        proxy.recover()
        assert await stage.all_done(runs, daemon) == {}
        assert await daemon.sample("fraudd_receives_total") == len(_LOAD)


async def test_a_silent_database_does_not_delay_the_end_of_a_drain(stage: Stage) -> None:
    """Not by a timeout for each statement, and not until the deadlines of the statements."""
    permits = 12
    load = _LOAD[:permits]
    await stage.database.set_paces(dict.fromkeys(load, 40.0))
    async with (
        stage.proxy_to_database() as proxy,
        stage.daemon("one", to_database=proxy, permits=permits, drain_seconds=0.1) as daemon,
    ):
        await daemon.ready()
        await daemon.ask_for_all(load)
        await daemon.until("fraudd_permits", lambda value: value == permits, kind="in_use")
        proxy.stall()
        daemon.signal(signal.SIGTERM)
        status, seconds = await daemon.ended()
        assert status == 0
        assert seconds < permits * CONNECT_SECONDS


@pytest.mark.slow
async def test_a_slow_way_to_the_database_costs_time_and_nothing_else(stage: Stage) -> None:
    async with under_load(stage) as (daemon, proxy, runs):
        proxy.delay(0.02)
        assert await stage.all_done(runs, daemon) == {}
        assert await daemon.sample("fraudd_receives_total") == len(_LOAD)
