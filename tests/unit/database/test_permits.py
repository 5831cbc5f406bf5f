"""Connection permits: who gets the next one, and when."""

import asyncio
from collections.abc import Awaitable

from fraudd.database.permits import NumberedPermit
from tests.stack.database import permits_up_to


async def settled() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_there_are_never_more_permits_out_than_the_limit() -> None:
    permits = permits_up_to(2)
    first, second = await permits.acquire(), permits.try_acquire()
    assert second is not None
    assert permits.try_acquire() is None
    assert permits.in_use == 2
    first.release()
    assert permits.in_use == 1


async def test_a_permit_is_given_back_once_however_often_it_is_released() -> None:
    permits = permits_up_to(1)
    permit = await permits.acquire()
    permit.release()
    permit.release()
    assert permits.in_use == 0
    again = permits.try_acquire()
    assert again is not None
    permit.release()
    assert permits.in_use == 1


async def test_the_warmest_permit_goes_out_first() -> None:
    permits = permits_up_to(3)
    first, second = await permits.acquire(), await permits.acquire()
    first.release()
    second.release()
    assert (await permits.acquire()).number == second.number


async def test_waiting_is_first_come_first_served_and_nobody_jumps_the_line() -> None:
    permits = permits_up_to(1)
    held = await permits.acquire()
    order: list[str] = []

    async def wait(name: str) -> None:
        permit = await permits.acquire()
        order.append(name)
        permit.release()

    async with asyncio.TaskGroup() as group:
        group.create_task(wait("a"))
        group.create_task(wait("b"))
        await asyncio.sleep(0)
        held.release()
        assert permits.try_acquire() is None
    assert order == ["a", "b"]
    assert permits.in_use == 0


async def test_a_cancelled_wait_leaks_no_permit_even_at_the_moment_of_being_served() -> None:
    for served in (False, True):
        permits = permits_up_to(1)
        held = await permits.acquire()
        waiting = asyncio.ensure_future(permits.acquire())
        await asyncio.sleep(0)
        if served:
            held.release()
        waiting.cancel()
        await asyncio.wait([waiting])
        held.release()
        assert waiting.cancelled()
        assert permits.in_use == 0


async def test_whoever_wants_all_goes_before_those_who_want_one() -> None:
    permits, order = permits_up_to(2), []

    async def wait(name: str, permit: Awaitable[NumberedPermit]) -> None:
        held = await permit
        order.append((name, permits.in_use))
        held.release()

    first, second = await permits.acquire(), await permits.acquire()
    async with asyncio.TaskGroup() as group:
        group.create_task(wait("one", permits.acquire()))
        group.create_task(wait("all", permits.acquire_all()))
        await settled()
        first.release()
        await settled()
        assert order == []
        assert permits.try_acquire() is None
        second.release()
    assert order == [("all", 2), ("one", 1)]
    assert permits.in_use == 0


async def test_whoever_gives_up_waiting_keeps_nothing_and_holds_nobody_up() -> None:
    permits = permits_up_to(1)
    held = await permits.acquire()
    async with asyncio.TaskGroup() as group:
        gone = [group.create_task(permits.acquire_all()), group.create_task(permits.acquire())]
        waiting = group.create_task(permits.acquire())
        await settled()
        for task in gone:
            task.cancel()
        await settled()
        held.release()
        await settled()
        assert waiting.done()
    waiting.result().release()
    assert permits.in_use == 0


async def test_places_given_up_at_the_head_of_the_line_are_passed_over() -> None:
    permits = permits_up_to(1)
    held = await permits.acquire()
    async with asyncio.TaskGroup() as group:
        first, second = (group.create_task(permits.acquire()) for _ in range(2))
        last = group.create_task(permits.acquire())
        await settled()
        first.cancel()
        second.cancel()
        held.release()
    last.result().release()
    assert permits.in_use == 0


async def test_a_limit_that_falls_revokes_nothing_and_lets_nobody_more_in() -> None:
    permits = permits_up_to(4, busy_threads=5)
    held = [await permits.acquire() for _ in range(3)]
    permits.observe(6)
    assert (permits.limit, permits.in_use) == (2, 3)
    assert permits.try_acquire() is None
    held.pop().release()
    assert permits.try_acquire() is None
    held.pop().release()
    assert permits.try_acquire() is not None
    assert permits.try_acquire() is None


async def test_whoever_waits_is_served_as_soon_as_the_limit_rises() -> None:
    permits = permits_up_to(2, busy_threads=5)
    permits.observe(6)
    held = await permits.acquire()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(permits.acquire())
        await settled()
        assert not waiting.done()
        permits.observe(5)
    waiting.result().release()
    held.release()
    assert permits.in_use == 0


async def test_whoever_is_alone_stays_alone_when_the_limit_rises() -> None:
    permits = permits_up_to(4, busy_threads=5)
    permits.observe(6)
    alone = await permits.acquire_all()
    permits.observe(5)
    assert permits.try_acquire() is None
    alone.release()
    assert permits.try_acquire() is not None
