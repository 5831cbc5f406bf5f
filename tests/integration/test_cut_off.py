"""Cancelled and late statements end on the server before their permit is released."""

import asyncio

import pytest

from fraudd.database.server import Server
from fraudd.errors import TransientError
from tests.stack.database import Pool, with_timeouts
from tests.stack.observer import Observer

SLOW = "SELECT SLEEP(30) FROM t"


async def cut_off(work: "asyncio.Task[object]") -> None:
    work.cancel()
    await asyncio.wait([work])
    assert work.cancelled()


async def test_a_statement_that_is_cut_off_has_ended_on_the_server_when_its_permit_is_back(
    pool: Pool, observer: Observer
) -> None:
    for _ in range(5):
        running = asyncio.ensure_future(pool.query(SLOW))
        await observer.busy("User sleep")
        await cut_off(running)
        assert pool.permits.in_use == 0
        assert await observer.theirs() == []


async def test_a_statement_that_is_cut_off_again_and_again_is_killed_all_the_same(
    pool: Pool, observer: Observer
) -> None:
    running = asyncio.ensure_future(pool.query(SLOW))
    await observer.busy("User sleep")
    while not running.done():
        running.cancel()
        await asyncio.sleep(0)
    assert await observer.theirs() == []


@pytest.mark.parametrize("turns", range(0, 60, 3))
async def test_whenever_a_run_is_cut_off_no_connection_stays(
    pool: Pool, observer: Observer, turns: int
) -> None:
    running = asyncio.ensure_future(pool.query(SLOW))
    for _ in range(turns):
        await asyncio.sleep(0)
    await cut_off(running)
    assert pool.connections.open == 0
    assert await observer.theirs() == []


async def test_a_stream_that_is_left_in_the_middle_is_killed(
    pool: Pool, observer: Observer
) -> None:
    permit = await pool.permits.acquire()
    with pytest.raises(TransientError, match="enough"):
        async with pool.connections.snapshot(permit) as snapshot:
            async for _ in snapshot.stream("SELECT a.*, SLEEP(0.001) FROM numbers AS a, numbers"):
                raise TransientError("test", "enough")
    permit.release()
    assert await observer.theirs() == []


async def test_a_stream_comes_in_slices_and_the_loop_has_turns_between(
    pool: Pool, observer: Observer
) -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    permit = await pool.permits.acquire()
    async with asyncio.TaskGroup() as group:
        turning = group.create_task(turn())
        async with pool.connections.snapshot(permit) as snapshot:
            seen, before = [], 0
            async for slice_ in snapshot.stream("SELECT n FROM numbers ORDER BY n"):
                assert slice_.columns == ["n"]
                assert len(slice_.rows) <= 100
                assert turns > before
                before = turns
                seen += [row[0] for row in slice_.rows]
        turning.cancel()
    permit.release()
    assert seen == list(range(1000))


async def test_a_stream_without_rows_tells_its_columns(pool: Pool, observer: Observer) -> None:
    permit = await pool.permits.acquire()
    async with pool.connections.snapshot(permit) as snapshot:
        slices = [
            s async for s in snapshot.stream("SELECT n, NOW() AS at FROM numbers WHERE n < 0")
        ]
    permit.release()
    [only] = slices
    assert (only.columns, only.numeric, only.temporal) == (
        ["n", "at"],
        [True, False],
        [False, True],
    )


async def test_a_killer_that_finds_no_room_waits_for_the_statement_s_own_deadline(
    server: Server, observer: Observer
) -> None:
    await observer.rows(f"ALTER USER {observer.account} WITH MAX_USER_CONNECTIONS 1")
    pool = Pool(with_timeouts(server, query_seconds=1.5))
    running = asyncio.ensure_future(pool.query(SLOW))
    await observer.busy("User sleep")
    running.cancel()
    # The permit is in use while the server counts the connection.
    while await observer.at("User sleep"):
        assert pool.permits.in_use == 1
    await asyncio.wait([running])
    assert running.cancelled()
    assert await observer.theirs() == []


async def test_a_transaction_of_others_holds_a_statement_up_no_longer_than_the_lock_wait(
    server: Server, observer: Observer
) -> None:
    [[before]] = await observer.rows("SELECT @@GLOBAL.innodb_lock_wait_timeout")
    await observer.rows("SET GLOBAL innodb_lock_wait_timeout = 1")
    await observer.rows("BEGIN")
    try:
        await observer.rows("UPDATE t SET n = 12")
        with pytest.raises(TransientError) as told:
            await Pool(server).query("SELECT n FROM t LOCK IN SHARE MODE")
    finally:
        await observer.rows("ROLLBACK")
        await observer.rows(f"SET GLOBAL innodb_lock_wait_timeout = {before}")
    assert told.value.type == "lock_timeout"


async def test_the_victim_of_a_deadlock_is_told_so(pool: Pool, observer: Observer) -> None:
    await observer.rows("INSERT INTO t VALUES (2, 20), (3, 30)")
    permit = await pool.permits.acquire()
    async with asyncio.TaskGroup() as group:
        with pytest.raises(TransientError) as told:
            async with pool.connections.snapshot(permit) as snapshot:
                await snapshot.query("SELECT n FROM t WHERE id = 1 LOCK IN SHARE MODE")
                await observer.rows("BEGIN")
                # The server aborts the transaction that changed fewer rows.
                await observer.rows("UPDATE t SET n = n + 1 WHERE id > 1")
                group.create_task(observer.rows("UPDATE t SET n = 0 WHERE id = 1"))
                await snapshot.query("SELECT n FROM t WHERE id = 2 LOCK IN SHARE MODE")
    permit.release()
    await observer.rows("ROLLBACK")
    assert told.value.type == "deadlock"
