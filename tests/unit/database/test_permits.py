"""The cap on connections."""

import asyncio

from fraudd.database.permits import Permits


async def test_there_are_never_more_permits_out_than_the_limit() -> None:
    permits = Permits(2)
    first, second = await permits.acquire(), permits.try_acquire()
    assert second is not None
    assert permits.try_acquire() is None
    assert permits.in_use == 2
    first.release()
    assert permits.in_use == 1


async def test_a_permit_is_given_back_once_however_often_it_is_released() -> None:
    permits = Permits(1)
    permit = await permits.acquire()
    permit.release()
    permit.release()
    assert permits.in_use == 0
    again = permits.try_acquire()
    assert again is not None
    permit.release()
    assert permits.in_use == 1


async def test_the_warmest_permit_goes_out_first() -> None:
    permits = Permits(3)
    first, second = await permits.acquire(), await permits.acquire()
    first.release()
    second.release()
    assert (await permits.acquire()).number == second.number


async def test_waiting_is_first_come_first_served_and_nobody_jumps_the_line() -> None:
    permits = Permits(1)
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
        permits = Permits(1)
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
