"""fraudd uses fewer connections while the database is busy, and more again afterwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiomysql
import pytest

from fraudd.config import Config
from fraudd.database.server import Server
from fraudd.errors import BackPressure
from fraudd.local.settings import DatabaseServer
from tests.stack.daemon import Fraudd, Start, changed
from tests.stack.database import Pool, with_timeouts
from tests.stack.observer import Observer

#: More than fraudd's own connections, fewer than the load that the tests make.
BUSY_THREADS = 6


@asynccontextmanager
async def load(database: DatabaseServer, observer: Observer, threads: int) -> AsyncIterator[None]:
    """Keep a number of server threads running, on connections of others."""
    connections = [
        await aiomysql.connect(
            host=database.host,
            port=database.port,
            user=database.user,
            password=database.password,
            autocommit=True,
        )
        for _ in range(threads)
    ]
    async with asyncio.TaskGroup() as group:
        for connection in connections:
            group.create_task(held_up(connection))
        try:
            async with asyncio.timeout(10):
                while await threads_running(observer) <= threads:
                    pass
            yield
        finally:
            await observer.let_go("load")
    for connection in connections:
        connection.close()


async def held_up(connection: Any) -> None:
    async with connection.cursor() as cursor:
        await cursor.execute("DO GET_LOCK('load', 60), RELEASE_LOCK('load')")


async def threads_running(observer: Observer) -> int:
    [[_, value]] = await observer.rows("SHOW GLOBAL STATUS LIKE 'Threads_running'")
    return int(value)


async def limit(fraudd: Fraudd) -> int:
    return int((await fraudd.status())["permits"]["limit"])


@pytest.fixture
def wide(config: Config) -> Config:
    """A daemon with four permits."""
    return changed(
        config,
        database={"max_connections": 4, "busy_threads": BUSY_THREADS},
        consumers={"count": 4},
    )


async def test_fraudd_steps_back_while_others_load_the_server_and_comes_again(
    start: Start, wide: Config, database: DatabaseServer, observer: Observer
) -> None:
    async with start(wide) as fraudd:
        assert await limit(fraudd) == 4
        await observer.hold_up("load")
        async with load(database, observer, BUSY_THREADS + 2):
            await fraudd.ask("shop-1")
            assert (await fraudd.ended("shop-1"))["status"] == "done"
            assert await limit(fraudd) == 2
            assert fraudd.sample("fraudd_permits", kind="limit") == 2
        for number in (2, 3):
            await fraudd.ask(f"shop-{number}")
            assert (await fraudd.ended(f"shop-{number}"))["status"] == "done"
        assert await limit(fraudd) == 4


async def test_connections_that_nobody_uses_are_closed_when_the_limit_falls(
    start: Start, wide: Config, database: DatabaseServer, observer: Observer
) -> None:
    async with start(wide) as fraudd:
        for number in range(4):
            await observer.rows(f"INSERT INTO pace VALUES ('shop-{number}', 1)")
            await fraudd.ask(f"shop-{number}")
        for number in range(4):
            await fraudd.ended(f"shop-{number}")
        warm = len(await observer.theirs())
        await observer.hold_up("load")
        async with load(database, observer, BUSY_THREADS + 2):
            await fraudd.ask("shop-9")
            await fraudd.ended("shop-9")
            async with asyncio.timeout(10):
                while len(await observer.theirs()) > 1:
                    pass
        assert warm > 1


async def test_a_limit_that_falls_while_a_poll_is_outstanding_revokes_no_message(
    start: Start, wide: Config, database: DatabaseServer, observer: Observer
) -> None:
    entities = [f"shop-{number}" for number in range(12)]
    async with start(wide) as fraudd:
        # The poll has reserved four permits by now.
        await observer.hold_up("load")
        async with load(database, observer, BUSY_THREADS + 2):
            for entity_id in entities:
                await fraudd.ask(entity_id)
            bodies = [await fraudd.ended(entity_id) for entity_id in entities]
            assert {(body["status"], body["attempts"]) for body in bodies} == {("done", 1)}
            assert await limit(fraudd) < 4
        await fraudd.jobs("done", len(entities))
        assert fraudd.sample("fraudd_receives_total") == len(entities)


async def test_connections_taken_by_another_client_cost_no_attempt_and_open_no_breaker(
    start: Start, config: Config, server: Server, observer: Observer
) -> None:
    await observer.rows(f"ALTER USER {observer.account} WITH MAX_USER_CONNECTIONS 2")
    database = {"max_connections": 3, "idle_seconds": 0.05}
    wide = changed(config, database=database, consumers={"count": 3})
    async with AsyncExitStack() as stack:
        fraudd = await stack.enter_async_context(start(wide))
        async with asyncio.timeout(10):
            while await observer.theirs():
                pass
        others = Pool(server)
        stack.push_async_callback(others.connections.close)
        for _ in range(2):
            permit = await others.permits.acquire()
            await stack.enter_async_context(others.connections.snapshot(permit))
        await fraudd.ask("shop-1")
        async with asyncio.timeout(10):
            while await limit(fraudd) > 1:
                pass
        assert (await fraudd.status())["breaker"] == "closed"
        # One of the two is released, and the waiting run gets it.
        await observer.rows(f"ALTER USER {observer.account} WITH MAX_USER_CONNECTIONS 4")
        body = await fraudd.ended("shop-1")
        assert (body["status"], body["attempts"]) == ("done", 1)
        await fraudd.jobs("done")
        assert fraudd.sample("fraudd_receives_total") == 1


async def test_a_full_server_is_no_outage_while_one_connection_is_had(
    server: Server, observer: Observer
) -> None:
    await observer.rows(f"ALTER USER {observer.account} WITH MAX_USER_CONNECTIONS 1")
    pool = Pool(with_timeouts(server, idle_seconds=60.0), limit=3)
    first, second = await pool.permits.acquire(), await pool.permits.acquire()
    async with pool.connections.snapshot(first):
        for _ in range(3):
            with pytest.raises(BackPressure, match=r"1226|1203"):
                async with pool.connections.snapshot(second):
                    pass
        assert pool.permits.limit == 1
    await pool.connections.close()
