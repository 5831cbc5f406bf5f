"""Requests that wait for a run, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from fraudd.engine import waiters as module
from fraudd.engine.waiters import Waiters
from fraudd.errors import Unavailable
from fraudd.prediction.formats import new_ulid
from fraudd.prediction.record import Record
from tests.simulation.loop import run_virtually
from tests.stack.times import NOW
from tests.unit.prediction.test_body import ERROR, RESULT

RUN, NEXT = new_ulid(NOW, 1), new_ulid(NOW, 2)


def pending(entity_id: str = "e", run_id: str = RUN) -> Record:
    return Record(entity_id=entity_id, state="running", run_id=run_id, requested_at=NOW)


def done(entity_id: str = "e") -> Record:
    result = {**RESULT, "run_id": RUN}
    times: dict[str, Any] = {
        name: result[name] for name in ("started_at", "finished_at", "attempts")
    }
    return replace(pending(entity_id), state="done", result=result, **times)


class Elsewhere:
    """The store that other daemons write to. An entity without a record is pending."""

    def __init__(self) -> None:
        self.records: dict[str, Record | None] = {}
        self.reads: list[tuple[float, str]] = []
        self.error: Exception | None = None

    async def read(self, entity_id: str) -> Record | None:
        self.reads.append((asyncio.get_running_loop().time(), entity_id))
        record = self.records.get(entity_id, pending(entity_id))
        await asyncio.sleep(0.005)
        if self.error is not None:
            raise self.error
        return record


Scene = Callable[[Waiters, Elsewhere, asyncio.TaskGroup], Awaitable[None]]


def play(scene: Scene) -> Elsewhere:
    """Let a scene play in virtual time, with waiters that look."""

    async def played() -> Elsewhere:
        elsewhere = Elsewhere()
        waiters = Waiters(elsewhere.read)
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(waiters.run())
            async with asyncio.TaskGroup() as inner:
                await scene(waiters, elsewhere, inner)
            assert waiters.count == 0, "no waiter is left"
            looking.cancel()
        return elsewhere

    return run_virtually(played())


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_run_that_ends_here_wakes_its_waiters_at_once_without_a_read() -> None:
    async def scene(waiters: Waiters, _: Elsewhere, group: asyncio.TaskGroup) -> None:
        waiting = [group.create_task(waiters.wait(pending(), 60)) for _ in range(3)]
        other = group.create_task(waiters.wait(pending("other"), 0.3))
        await asyncio.sleep(0.1)
        waiters.wake(done())
        assert [await task for task in waiting] == [done()] * 3
        assert now() == pytest.approx(0.1)
        assert not other.done()

    assert play(scene).reads == []


def test_a_run_that_ends_elsewhere_is_seen_within_two_seconds() -> None:
    async def scene(waiters: Waiters, elsewhere: Elsewhere, group: asyncio.TaskGroup) -> None:
        waiting = group.create_task(waiters.wait(pending(), 60))
        await asyncio.sleep(20)
        elsewhere.records["e"] = done()
        assert await waiting == done()
        assert now() <= 22.1

    play(scene)


def test_two_thousand_waiters_cost_four_reads_a_second_for_a_hundred_entities() -> None:
    async def scene(waiters: Waiters, _: Elsewhere, group: asyncio.TaskGroup) -> None:
        for number in range(2000):
            group.create_task(waiters.wait(pending(f"e{number % 200}"), 30))
            await asyncio.sleep(0.001)

    reads = play(scene).reads
    # All are read together: in one call a hundred, and one more, alone, where calls are gathered.
    looks = {at for at, _ in reads}
    assert len(reads) <= len(looks) * 200
    assert len(looks) * (2 + 1) <= 4 * 2 * 32
    pauses = [later - at for at, later in pairwise(sorted(looks))]
    assert min(pauses) >= 0.5
    assert max(pauses) == pytest.approx(2.0, abs=0.1)


def test_while_new_ones_come_they_look_no_more_often_than_each_half_second() -> None:
    async def scene(waiters: Waiters, _: Elsewhere, group: asyncio.TaskGroup) -> None:
        for number in range(200):
            group.create_task(waiters.wait(pending(f"e{number}"), 5))
            await asyncio.sleep(0.05)

    looks = sorted({at for at, _ in play(scene).reads})
    assert min(later - at for at, later in pairwise(looks)) >= 0.5


def test_when_the_time_is_up_nothing_is_told() -> None:
    async def scene(waiters: Waiters, _: Elsewhere, group: asyncio.TaskGroup) -> None:
        assert await waiters.wait(pending(), 7) is None
        assert now() == pytest.approx(7)

    play(scene)


def test_who_hangs_up_is_gone_at_once() -> None:
    async def scene(waiters: Waiters, _: Elsewhere, group: asyncio.TaskGroup) -> None:
        waiting = [group.create_task(waiters.wait(pending(), 60)) for _ in range(2)]
        await asyncio.sleep(0.1)
        waiting[0].cancel()
        await asyncio.sleep(0)
        assert waiters.count == 1
        waiters.wake(done())
        assert await waiting[1] == done()

    play(scene)


def test_nobody_waits_while_the_daemon_stops() -> None:
    async def scene(waiters: Waiters, _: Elsewhere, group: asyncio.TaskGroup) -> None:
        waiting = group.create_task(waiters.wait(pending(), 60))
        await asyncio.sleep(0.1)
        waiters.stop()
        assert await waiting is None
        assert not waiters.has_room
        assert await waiters.wait(pending(), 60) is None
        assert now() == pytest.approx(0.1)

    play(scene)


def test_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITERS", 2)

    async def scene(waiters: Waiters, _: Elsewhere, group: asyncio.TaskGroup) -> None:
        waiting = [group.create_task(waiters.wait(pending(), 60)) for _ in range(2)]
        rooms.append(waiters.has_room)
        await asyncio.sleep(0)
        rooms.append(waiters.has_room)
        waiters.wake(done())
        await asyncio.wait(waiting)
        rooms.append(waiters.has_room)

    rooms: list[bool] = []
    play(scene)
    assert rooms == [True, False, True]


def test_the_end_waited_for_is_told_though_the_next_run_has_opened() -> None:
    """Another service asked meanwhile: the write that ended the run has opened the next."""

    async def scene(waiters: Waiters, _: Elsewhere, group: asyncio.TaskGroup) -> None:
        waiting = group.create_task(waiters.wait(pending(), 60))
        await asyncio.sleep(0)
        newer = replace(pending(run_id=NEXT), state="queued", error={**ERROR, "run_id": RUN})
        waiters.wake(newer)
        told = await waiting
        assert told is not None
        assert (told.state, told.run_id) == ("failed", RUN)

    play(scene)


@pytest.mark.parametrize("record", [None, pending(run_id=NEXT)])
def test_a_run_that_is_owed_no_more_is_not_waited_for(record: Record | None) -> None:
    """It was forgotten, and perhaps another one opened."""

    async def scene(waiters: Waiters, elsewhere: Elsewhere, group: asyncio.TaskGroup) -> None:
        elsewhere.records["e"] = record
        assert await waiters.wait(pending(), 60) == record
        assert now() < 1

    play(scene)


def test_an_outage_of_the_store_is_waited_out() -> None:
    async def scene(waiters: Waiters, elsewhere: Elsewhere, group: asyncio.TaskGroup) -> None:
        elsewhere.error = Unavailable("store", "out")
        waiting = group.create_task(waiters.wait(pending(), 60))
        await asyncio.sleep(10)
        elsewhere.error = None
        elsewhere.records["e"] = done()
        assert await waiting == done()

    play(scene)


def test_a_record_that_cannot_be_read_is_left_to_who_waits_for_it() -> None:
    async def scene(waiters: Waiters, elsewhere: Elsewhere, group: asyncio.TaskGroup) -> None:
        elsewhere.error = ValueError("what is this?")
        assert await waiters.wait(pending(), 60) is None
        assert now() < 1

    play(scene)


@pytest.mark.parametrize("seen", [done(), None])
def test_a_look_under_way_says_nothing_to_who_comes_meanwhile(seen: Record | None) -> None:
    """The record that it reads may be older than the newcomer's run."""

    async def scene(waiters: Waiters, elsewhere: Elsewhere, group: asyncio.TaskGroup) -> None:
        elsewhere.records["e"] = seen
        first = group.create_task(waiters.wait(pending(), 60))
        await asyncio.sleep(0.502)
        elsewhere.records["e"] = pending(run_id=NEXT)
        newcomer = group.create_task(waiters.wait(pending(run_id=NEXT), 5))
        assert await first == seen
        assert await newcomer is None
        assert now() == pytest.approx(5.502)

    assert play(scene).reads[0][0] == pytest.approx(0.5)


def test_the_end_of_an_older_run_here_says_nothing_to_who_waits_for_the_next() -> None:
    """Another daemon opened it while the answer to the write of this end was on its way."""

    async def scene(waiters: Waiters, elsewhere: Elsewhere, group: asyncio.TaskGroup) -> None:
        elsewhere.records["e"] = pending(run_id=NEXT)
        waiting = group.create_task(waiters.wait(pending(run_id=NEXT), 5))
        await asyncio.sleep(0.1)
        waiters.wake(done())
        assert await waiting is None
        assert now() == pytest.approx(5)

    play(scene)


def test_who_comes_during_a_look_is_looked_for_half_a_second_later() -> None:
    async def scene(waiters: Waiters, elsewhere: Elsewhere, group: asyncio.TaskGroup) -> None:
        group.create_task(waiters.wait(pending(), 9))
        await asyncio.sleep(0.502)
        elsewhere.records["new"] = done("new")
        assert await waiters.wait(pending("new"), 60) == done("new")
        assert now() < 1.1

    assert play(scene).reads[0][0] == pytest.approx(0.5)
