"""Statements are killed where they run, and nowhere else."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiomysql
import pytest

from fraudd.database.server import Connection, Server
from fraudd.local.settings import DatabaseServer
from tests.chaos.proxy import FaultProxy, proxied
from tests.stack.database import READER, Pool, run_sql, with_timeouts
from tests.stack.mariadb import private_mariadb
from tests.stack.observer import Observer

#: Works as feature SQL does: during a SLEEP, the server notices that its client is gone.
BUSY = "SELECT COUNT(*) FROM numbers a, numbers b, numbers c WHERE a.n ^ b.n ^ c.n = 77777"


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    """Another server behind the same name, with the same account."""
    with private_mariadb(tmp_path_factory.mktemp("another")) as server:
        run_sql(server, f"CREATE USER {READER}@HOST IDENTIFIED BY 'secret'")
        yield server


@pytest.fixture
async def balancer(server: Server) -> AsyncIterator[FaultProxy]:
    async with proxied(server.port) as proxy:
        yield proxy


@asynccontextmanager
async def at_work(pool: Pool, observer: Observer) -> AsyncIterator["asyncio.Task[Any]"]:
    """A statement that the server executes."""
    running = asyncio.ensure_future(pool.query(BUSY))
    async with asyncio.timeout(10):
        while not await observer.executing(BUSY):
            pass
    yield running
    await asyncio.wait([running])
    await pool.connections.close()


async def test_a_statement_is_killed_on_its_own_server_if_the_name_leads_to_another_one_now(
    server: Server, observer: Observer, another: DatabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up, ports = socket.getaddrinfo, [server.port]

    def found(host: str, *args: Any, **options: Any) -> Any:
        if host != "database.test":
            return look_up(host, *args, **options)
        port = ports.pop() if ports else another.port
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    pool = Pool(with_timeouts(replace(server, host="database.test"), query_seconds=30.0))
    async with at_work(pool, observer) as running:
        running.cancel()
        # Long before its own deadline.
        await asyncio.wait([running], timeout=10)
        assert running.done()
        assert pool.permits.in_use == 0
        assert await observer.executing(BUSY) == []


async def test_a_balancer_that_leads_elsewhere_is_asked_again(
    server: Server, observer: Observer, another: DatabaseServer, balancer: FaultProxy
) -> None:
    pool = Pool(replace(server, port=balancer.port))
    async with at_work(pool, observer) as running:
        accepted, balancer.server_port = balancer.accepted, another.port
        running.cancel()
        async with asyncio.timeout(10):
            while balancer.accepted == accepted:
                await asyncio.sleep(0)
        balancer.server_port = server.port
        await asyncio.wait([running])
        assert await observer.executing(BUSY) == []


async def test_no_statement_of_another_server_is_killed_and_the_permit_waits_for_the_deadline(
    server: Server, observer: Observer, another: DatabaseServer, balancer: FaultProxy
) -> None:
    pool = Pool(with_timeouts(replace(server, port=balancer.port), query_seconds=1.0))
    async with at_work(pool, observer) as running:
        [number] = await observer.executing(BUSY)
        balancer.server_port = another.port
        async with numbered(another, number) as innocent:
            running.cancel()
            while await observer.executing(BUSY):
                assert pool.permits.in_use == 1
            await asyncio.wait([running])
            assert await innocent == ((0,),)


async def test_a_proxy_s_own_number_of_a_connection_is_not_the_server_s(
    pool: Pool, observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "thread_id", lambda self: 1)
    async with at_work(pool, observer) as running:
        running.cancel()
        await asyncio.wait([running])
        assert await observer.executing(BUSY) == []


async def test_one_kill_that_fails_answers_for_all_that_wait_while_the_daemon_stops(
    server: Server, observer: Observer, balancer: FaultProxy
) -> None:
    timeouts = {"connect_seconds": 1.0, "query_seconds": 30.0}
    pool = Pool(with_timeouts(replace(server, port=balancer.port), **timeouts), limit=8)
    running = [asyncio.ensure_future(pool.query("SELECT SLEEP(30) FROM t")) for _ in range(8)]
    async with asyncio.timeout(10):
        while len(await observer.at("User sleep")) < len(running):
            pass
    balancer.stall()
    accepted = balancer.accepted
    pool.connections.hurry()
    for one in running:
        one.cancel()
    await asyncio.wait(running)
    assert pool.permits.in_use == pool.connections.open == 0
    assert balancer.accepted - accepted <= 2


@asynccontextmanager
async def numbered(server: DatabaseServer, number: int) -> AsyncIterator["asyncio.Task[Any]"]:
    """A statement of the same account, on a connection of the given number."""
    while True:
        connection = await aiomysql.connect(
            host=server.host, port=server.port, user=READER, password="secret"
        )
        if connection.thread_id() >= number:
            break
        connection.close()
    if connection.thread_id() > number:
        pytest.skip("the other server has counted further already")
    async with connection.cursor() as cursor:

        async def execute() -> Any:
            await cursor.execute("SELECT SLEEP(3)")
            return await cursor.fetchall()

        statement = asyncio.ensure_future(execute())
        yield statement
        await asyncio.wait([statement])
    connection.close()
