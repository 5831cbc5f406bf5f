"""A database that gives no answer is unreachable. No run is too slow because of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fraudd.clock import SystemClock
from fraudd.database.server import Server
from fraudd.errors import TransientError, Unavailable
from fraudd.scoring import feature_files
from fraudd.scoring.features import SqlFeatures
from tests.chaos.proxy import FaultProxy, proxied
from tests.stack.database import Pool, with_timeouts
from tests.stack.features import write_features
from tests.stack.observer import Observer

SLOW = "SELECT SLEEP(30) FROM t"


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[FaultProxy]:
    async with proxied(server.port) as proxy:
        yield proxy


@pytest.fixture
def behind(server: Server, proxy: FaultProxy) -> Server:
    """The server behind the proxy, with short timeouts."""
    short = with_timeouts(server, connect_seconds=0.5, query_seconds=0.2)
    return replace(short, port=proxy.port)


def features(pool: Pool, folder: Path) -> SqlFeatures:
    write_features(folder, "known", "pace")
    return SqlFeatures(feature_files.load(folder), pool.connections, SystemClock())


async def test_silence_in_the_middle_of_a_statement_is_an_outage_until_the_server_speaks_again(
    behind: Server, proxy: FaultProxy, observer: Observer
) -> None:
    pool = Pool(with_timeouts(behind, query_seconds=2.0))
    running = asyncio.ensure_future(pool.query(SLOW))
    await observer.busy("User sleep")
    proxy.stall()
    with pytest.raises(Unavailable, match="no answer from the server within 3 s"):
        await running
    proxy.recover()
    assert await pool.query("SELECT 1") == [(1,)]
    await pool.connections.close()


async def test_silence_in_the_middle_of_an_answer_is_an_outage(
    behind: Server, proxy: FaultProxy, observer: Observer
) -> None:
    pool = Pool(behind)
    permit = await pool.permits.acquire()
    with pytest.raises(Unavailable, match="unreachable"):
        async with pool.connections.snapshot(permit) as snapshot:
            proxy.stall_in_answer()
            await snapshot.query("SELECT n FROM numbers")


async def test_silence_on_an_open_connection_is_an_outage(
    behind: Server, proxy: FaultProxy, observer: Observer
) -> None:
    pool = Pool(behind)
    await pool.query("SELECT 1")
    proxy.stall()
    with pytest.raises(Unavailable):
        await pool.query("SELECT 1")


async def test_a_run_whose_time_ends_in_the_silence_is_not_too_slow(
    behind: Server, proxy: FaultProxy, observer: Observer, tmp_path: Path
) -> None:
    pool = Pool(behind)
    sql = features(pool, tmp_path)
    await observer.slow_down("shop-1")
    permit = await pool.permits.acquire()
    reading = asyncio.ensure_future(sql.read("shop-1", permit, seconds=0.1))
    await observer.busy("User sleep")
    proxy.stall()
    with pytest.raises(Unavailable):
        await reading


async def test_a_run_that_takes_too_long_on_a_server_that_answers_is_too_slow(
    server: Server, observer: Observer, tmp_path: Path
) -> None:
    pool = Pool(server)
    sql = features(pool, tmp_path)
    await observer.slow_down("shop-1")
    permit = await pool.permits.acquire()
    with pytest.raises(TransientError) as failed:
        await sql.read("shop-1", permit, seconds=0.1)
    assert failed.value.type == "too_slow"
    assert failed.value.detail == "pace.sql: the snapshot exceeded its time limit of 0.1 s"
    assert not failed.value.answered


async def test_the_time_to_connect_is_not_a_run_s_time(
    server: Server, observer: Observer, tmp_path: Path
) -> None:
    async def slow_password() -> str:
        await asyncio.sleep(1.0)
        return "secret"

    pool = Pool(replace(server, password=slow_password))
    permit = await pool.permits.acquire()
    values = await features(pool, tmp_path).read("shop-1", permit, seconds=0.9)
    assert values.connecting_ms >= 1000
    await pool.connections.close()


async def test_whatever_connecting_raises_is_an_outage(server: Server, observer: Observer) -> None:
    async def broken_password() -> str:
        raise RuntimeError("Credentials were refreshed, but they are still expired")

    for changed in (
        replace(server, password=broken_password),
        replace(server, host="no such host"),
        replace(server, host="x" * 70 + ".test"),
    ):
        with pytest.raises(Unavailable):
            await Pool(changed).query("SELECT 1")
