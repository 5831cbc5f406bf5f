"""Thousands of jobs, cut off, killed and shut out: there is never a connection too many."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from pymysql.err import MySQLError

from fraudd.database.server import Server
from fraudd.errors import RunError, TransientError, Unavailable
from fraudd.local.settings import DatabaseServer
from tests.chaos.servers import Database, Process, processes
from tests.stack.database import Pool, server_of, with_timeouts

JOBS = 2_000
LIMIT = 3
#: Jobs that run or wait at a time.
CROWD = 10
DEADLINE_SECONDS = 1.0
IDLE_SECONDS = 0.2
#: Between two looks at the process list.
LOOK_SECONDS = 0.02


@pytest.fixture
async def server(platform_database: Database) -> Server:
    """The server as a read-only account sees it, with a table to stream."""
    await platform_database.rows(
        "USE plain",
        "CREATE OR REPLACE TABLE numbers SELECT seq AS n FROM seq_1_to_20000",
    )
    await platform_database.add_account("crowd")
    account = DatabaseServer(
        host="127.0.0.1", port=platform_database.port, user="crowd", password="", name="plain"
    )
    return with_timeouts(
        server_of(account),
        query_seconds=DEADLINE_SECONDS,
        snapshot_seconds=5.0,
        idle_seconds=IDLE_SECONDS,
    )


@dataclass
class Watch:
    """What looking at the process list again and again has shown."""

    looks: int = 0
    most_reading: int = 0
    most_killing: int = 0
    longest_seconds: int = 0
    now: list[Process] = field(default_factory=list)

    def look(self, listed: list[Process]) -> None:
        ours = [each for each in listed if each.user == "crowd" and each.there]
        reading = [each for each in ours if each.reads]
        queries = [each.seconds for each in reading if each.command == "Query"]
        self.looks += 1
        self.now = ours
        self.most_reading = max(self.most_reading, len(reading))
        self.most_killing = max(self.most_killing, len(ours) - len(reading))
        self.longest_seconds = max([self.longest_seconds, *queries])


@asynccontextmanager
async def watched(database: Database) -> AsyncIterator[Watch]:
    """Look at the process list as long as the block does, whenever the server is there."""
    watch = Watch()

    async def look() -> None:
        while True:
            try:
                async with database.connected() as connection:
                    while True:
                        watch.look(await processes(connection))
                        await asyncio.sleep(LOOK_SECONDS)
            except (OSError, MySQLError):
                await asyncio.sleep(LOOK_SECONDS)  # it is down

    task = asyncio.create_task(look())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.wait([task])


async def job(pool: Pool, rng: random.Random) -> bool:
    """Read something: quickly, for long, past the deadline, or many rows; tells whether it did."""
    permit = await pool.permits.acquire()
    try:
        async with pool.connections.snapshot(permit) as snapshot:
            match rng.choices(("quick", "slow", "late", "rows"), (70, 20, 1, 9))[0]:
                case "quick":
                    await snapshot.query("SELECT 1")
                case "slow":
                    await snapshot.query(f"SELECT SLEEP({rng.uniform(0, 0.05):.3f})")
                case "late":
                    await snapshot.query("SELECT SLEEP(30)")
                case "rows":
                    async for _ in snapshot.stream("SELECT n FROM numbers"):
                        pass
    except RunError:
        return False
    except Unavailable:
        await asyncio.sleep(0.1)
        return False
    else:
        return True
    finally:
        permit.release()


async def do_all(pool: Pool, rng: random.Random) -> int:
    """Work on all jobs, some of which are cut off at any point; tells how many did read."""
    left, done = iter(range(JOBS)), 0

    async def work() -> None:
        nonlocal done
        for _ in left:
            task = asyncio.create_task(job(pool, rng))
            if rng.random() < 0.2:
                asyncio.get_running_loop().call_later(rng.uniform(0, 0.03), task.cancel)
            await asyncio.wait([task])
            done += not task.cancelled() and task.result()

    async with asyncio.TaskGroup() as group:
        for _ in range(CROWD):
            group.create_task(work())
    return done


async def kill_now_and_then(
    database: Database, watch: Watch, rng: random.Random, over: asyncio.Event
) -> None:
    """Kill connections of the crowd, as an administrator may."""
    while not over.is_set():
        await asyncio.sleep(0.1)
        if watch.now:
            try:
                await database.rows(f"KILL {rng.choice(watch.now).number}")
            except (OSError, MySQLError):
                continue  # it is gone, or the server is


async def restart_now_and_then(database: Database, rng: random.Random, over: asyncio.Event) -> None:
    """Stop the server, or kill it, and start it again."""
    while not over.is_set():
        await asyncio.sleep(rng.uniform(1, 3))
        await asyncio.to_thread(database.server.stop, rng.choice((signal.SIGTERM, signal.SIGKILL)))
        await asyncio.to_thread(database.server.start)


async def test_through_thousands_of_jobs_there_is_never_a_connection_too_many(
    server: Server, platform_database: Database
) -> None:
    rng, over = random.Random(7), asyncio.Event()
    pool = Pool(server, limit=LIMIT)
    async with watched(platform_database) as watch, asyncio.TaskGroup() as group:
        closing = group.create_task(pool.connections.close_idle())
        async with asyncio.TaskGroup() as troubles:
            troubles.create_task(kill_now_and_then(platform_database, watch, rng, over))
            troubles.create_task(restart_now_and_then(platform_database, rng, over))
            done = await do_all(pool, rng)
            over.set()
        async with asyncio.timeout(30):
            while watch.now or pool.connections.open:
                await asyncio.sleep(LOOK_SECONDS)
        closing.cancel()
    assert done > JOBS / 2
    assert watch.most_reading == LIMIT
    assert watch.most_killing <= 1
    assert watch.longest_seconds <= DEADLINE_SECONDS + 2
    assert pool.permits.in_use == 0


async def test_the_connection_that_kills_is_there_only_while_something_is_to_be_killed(
    server: Server, platform_database: Database
) -> None:
    pool = Pool(server, limit=LIMIT)
    async with watched(platform_database) as watch:
        rng = random.Random(1)
        for _ in range(100):
            await job(pool, rng)
    await pool.connections.close()
    assert watch.most_killing == 0


async def test_a_server_that_restarts_in_mid_stream_is_an_outage_and_then_well_again(
    server: Server, platform_database: Database
) -> None:
    pool = Pool(server, limit=1)

    async def stream() -> Any:
        permit = await pool.permits.acquire()
        try:
            async with pool.connections.snapshot(permit) as snapshot:
                async for _ in snapshot.stream("SELECT a.n FROM numbers AS a, numbers AS b"):
                    if platform_database.server.running:
                        await asyncio.to_thread(platform_database.server.stop)
        finally:
            permit.release()

    with pytest.raises((Unavailable, TransientError)):
        await stream()
    with pytest.raises(Unavailable):
        await pool.query("SELECT 1")
    await asyncio.to_thread(platform_database.server.start)
    assert await pool.query("SELECT COUNT(*) FROM numbers") == [(20_000,)]
    await pool.connections.close()
