"""Connections and snapshots on a real server."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from fraudd.database.server import Server
from fraudd.errors import RunError, TransientError, Unavailable
from tests.stack.database import LIMIT, PLAIN, Pool, given, with_timeouts
from tests.stack.observer import Observer


async def test_at_rest_there_is_no_connection_and_one_is_kept_warm_for_the_next(
    pool: Pool, observer: Observer
) -> None:
    assert await observer.theirs() == []
    [[first]] = await pool.query("SELECT CONNECTION_ID()")
    [[second]] = await pool.query("SELECT CONNECTION_ID()")
    assert first == second
    assert await observer.theirs() == [first]
    await pool.connections.close()
    assert await observer.theirs() == []


async def test_the_server_has_let_go_of_a_connection_when_closing_it_returns(
    pool: Pool, observer: Observer
) -> None:
    for _ in range(20):
        await pool.query("SELECT 1")
        await pool.connections.close()
        assert await observer.theirs() == []


async def test_there_are_never_more_connections_than_permits(
    pool: Pool, observer: Observer
) -> None:
    most = 0
    async with asyncio.TaskGroup() as group:
        jobs = [group.create_task(pool.query("SELECT SLEEP(0.02)")) for _ in range(40)]
        while not all(job.done() for job in jobs):
            most = max(most, len(await observer.theirs()))
    assert most == LIMIT
    assert pool.connections.open <= LIMIT


async def test_an_idle_connection_is_closed(server: Server, observer: Observer) -> None:
    pool = Pool(with_timeouts(server, idle_seconds=0.05))
    async with asyncio.TaskGroup() as group:
        closing = group.create_task(pool.connections.close_idle())
        await pool.query("SELECT 1")
        async with asyncio.timeout(10):
            while pool.connections.open or await observer.theirs():
                await observer.rows("SELECT 1")
        closing.cancel()


async def test_a_snapshot_sees_one_instant(pool: Pool, observer: Observer) -> None:
    permit = await pool.permits.acquire()
    async with pool.connections.snapshot(permit) as snapshot:
        await observer.rows("UPDATE t SET n = 11")
        assert (await snapshot.query("SELECT n FROM t")).rows[0][0] == 10
        as_of = snapshot.as_of_ms
    async with pool.connections.snapshot(permit) as snapshot:
        assert (await snapshot.query("SELECT n FROM t")).rows[0][0] == 11
        assert snapshot.as_of_ms >= as_of
    permit.release()


async def test_a_snapshot_is_let_go_of_so_that_an_alter_table_need_not_wait(
    pool: Pool, observer: Observer
) -> None:
    await pool.query("SELECT n FROM t")
    await observer.rows("SET SESSION lock_wait_timeout = 1")
    await observer.rows("ALTER TABLE t ADD COLUMN m INT")
    assert await observer.theirs() != []


async def test_a_statement_that_writes_is_refused(pool: Pool, observer: Observer) -> None:
    await observer.rows(f"GRANT INSERT ON {PLAIN}.* TO {observer.account}")
    with pytest.raises(RunError, match="READ ONLY transaction"):
        await pool.query("INSERT INTO t VALUES (2, 2)")


async def test_a_connection_that_broke_is_replaced_and_the_run_tried_again(
    pool: Pool, observer: Observer
) -> None:
    async with asyncio.TaskGroup() as group:
        query = group.create_task(_outcome(pool.query("SELECT SLEEP(30) FROM t")))
        lost = await observer.busy("User sleep")
        await observer.rows(f"KILL {lost}")
    error = query.result()
    assert isinstance(error, TransientError)
    assert error.type == "connection_lost"
    [[now]] = await pool.query("SELECT CONNECTION_ID()")
    assert now != lost


async def test_a_connection_lost_to_a_server_that_refuses_is_an_outage(
    pool: Pool, observer: Observer
) -> None:
    async with asyncio.TaskGroup() as group:
        query = group.create_task(_outcome(pool.query("SELECT SLEEP(30) FROM t")))
        lost = await observer.busy("User sleep")
        await observer.rows(f"ALTER USER {observer.account} ACCOUNT LOCK")
        await observer.rows(f"KILL {lost}")
    assert isinstance(query.result(), Unavailable)


async def test_the_time_zone_is_the_one_the_platform_writes_in(
    server: Server, observer: Observer
) -> None:
    east, utc = Pool(replace(server, time_zone="+05:30")), Pool(server)
    async with AsyncExitStack() as stack:
        snapshots = [
            await stack.enter_async_context(pool.connections.snapshot(await pool.permits.acquire()))
            for pool in (east, utc)
        ]
        moments = [await snapshot.local_time(1_700_000_000_123) for snapshot in snapshots]
        assert (moments[0] - moments[1]).total_seconds() == 5.5 * 3600
        assert abs(snapshots[0].as_of_ms - snapshots[1].as_of_ms) < 60_000
    for pool in (east, utc):
        await pool.connections.close()


async def test_a_statement_over_its_deadline_is_ended_by_the_server(
    server: Server, observer: Observer
) -> None:
    pool = Pool(with_timeouts(server, query_seconds=0.1))
    with pytest.raises(TransientError) as told:
        await pool.query("SELECT SLEEP(30) FROM t")
    assert told.value.type == "query_timeout"
    assert await observer.theirs() == []


async def test_a_snapshot_over_its_deadline_ends(server: Server, observer: Observer) -> None:
    pool = Pool(with_timeouts(server, snapshot_seconds=0.1))
    with pytest.raises(TransientError) as told:
        await pool.query("SELECT SLEEP(30) FROM t")
    assert told.value.type == "snapshot_timeout"
    assert pool.connections.open == 0


async def test_a_killed_connection_costs_its_statement_and_the_next_one_gets_another(
    pool: Pool, observer: Observer
) -> None:
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(_outcome(pool.query("SELECT SLEEP(30) FROM t")))
        await observer.rows(f"KILL {await observer.busy('User sleep')}")
    failure = slow.result()
    assert isinstance(failure, TransientError)
    assert failure.type == "connection_lost"
    assert await pool.query("SELECT 1") == [(1,)]


async def test_a_warm_connection_that_the_server_dropped_is_replaced_unnoticed(
    pool: Pool, observer: Observer
) -> None:
    [[warm]] = await pool.query("SELECT CONNECTION_ID()")
    await observer.rows(f"KILL {warm}")
    [[another]] = await pool.query("SELECT CONNECTION_ID()")
    assert another != warm


async def test_a_cancelled_statement_leaves_no_connection_behind(
    pool: Pool, observer: Observer
) -> None:
    running = asyncio.ensure_future(pool.query("SELECT SLEEP(30) FROM t"))
    await observer.busy("User sleep")
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert pool.connections.open == 0
    assert pool.permits.in_use == 0


async def test_a_password_may_have_letters_of_any_alphabet_and_a_space_at_its_end(
    server: Server, observer: Observer
) -> None:
    password = "pässwörd € 鍵 "
    await observer.rows(f"ALTER USER {observer.account} IDENTIFIED BY '{password}'")
    pool = Pool(replace(server, password=given(password)))
    assert await pool.query("SELECT 1 AS one") == [(1,)]
    await pool.connections.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"password": given("wrong")}, "1045"),
        ({"user": "nobody"}, "1045"),
        ({"name": "elsewhere"}, "1044"),
        ({"port": 1}, "2003"),
    ],
)
async def test_what_no_run_can_help_is_unavailable_and_shows_no_password(
    server: Server, observer: Observer, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(Unavailable, match=says) as told:
        await Pool(replace(server, **change)).query("SELECT 1")
    assert told.value.part == "database"
    assert "secret" not in str(told.value)
    assert "secret" not in repr(server)


@pytest.mark.parametrize(
    "sql", ["SELECT nothing FROM t", "SELECT 1 FROM nowhere", "SELECT 1 FROM mysql.user"]
)
async def test_a_schema_or_rights_that_do_not_fit_are_no_fault_of_the_run(
    pool: Pool, sql: str
) -> None:
    with pytest.raises(Unavailable):
        await pool.query(sql)


async def test_a_wrong_statement_is_told_as_such(pool: Pool) -> None:
    with pytest.raises(RunError, match="1064") as told:
        await pool.query("SELEC 1")
    assert told.value.type == "bad_statement"


async def test_the_account_s_own_limit_is_no_fault_of_the_run(
    server: Server, observer: Observer
) -> None:
    await observer.rows(f"ALTER USER {observer.account} WITH MAX_USER_CONNECTIONS 1")
    first, second = Pool(server), Pool(server)
    permit = await first.permits.acquire()
    async with first.connections.snapshot(permit):
        with pytest.raises(Unavailable, match="1226"):
            await second.query("SELECT 1")
    await first.connections.close()


async def _outcome(work: Any) -> Any:
    try:
        return await work
    except (RunError, Unavailable) as error:
        return error
