"""The contract of the results table."""

import asyncio
from typing import Any, get_args

from fraudd.ports import Entry
from fraudd.prediction.formats import new_ulid
from fraudd.prediction.record import Proof, Record, Transition, shard
from fraudd.prediction.transitions import (
    backed_off,
    claimed,
    completed,
    deleted,
    failed,
    first_claim,
    opened,
    released,
    renewed,
    republished,
    requested_again,
    unpublished,
)
from tests.contracts.parts import Contract, Parts
from tests.stack.times import NOW

RUN, NEXT = new_ulid(NOW, 1), new_ulid(NOW, 2)
RESULT: dict[str, Any] = {"run_id": RUN, "expires_at": NOW // 1000 + 9, "score": 0.5}
ERROR: dict[str, Any] = {"run_id": RUN, "expires_at": NOW // 1000 + 9, "type": "t", "detail": "d"}


async def written(parts: Parts, transition: Transition) -> Record:
    """Apply a write that must succeed."""
    applied = await parts.store.apply(transition)
    assert applied.done
    assert applied.record is not None
    return applied.record


async def refused(parts: Parts, transition: Transition) -> Record | None:
    """Apply a write whose condition must fail. Returns the record that made it fail."""
    applied = await parts.store.apply(transition)
    assert not applied.done
    return applied.record


async def running(parts: Parts, worker: str = "w") -> Record:
    """A run that is opened and claimed."""
    queued = await written(parts, opened("shop-1", None, run_id=RUN, now=NOW))
    return await written(parts, claimed(queued, worker=worker, now=NOW, lease_until=NOW + 9))


async def a_record_reads_back_as_it_was_written(parts: Parts) -> None:
    """The record is absent at first. Later it equals the last write, without extra attributes."""
    assert await parts.store.get("shop-1") is None
    claim = await running(parts)
    assert await parts.store.get("shop-1") == claim
    done = await written(parts, completed(claim, result=RESULT, now=NOW, next_run_id=NEXT))
    assert await parts.store.get("shop-1") == done
    assert (done.state, done.result, done.worker, done.listed) == ("done", RESULT, None, None)


async def of_many_who_open_at_once_one_does(parts: Parts) -> None:
    """A conditional write is atomic."""
    writes = [opened("shop-1", None, run_id=new_ulid(NOW, n), now=NOW) for n in range(10)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_apply(parts, write)) for write in writes]
    outcomes = [task.result() for task in tasks]
    [winner] = [record for done, record in outcomes if done]
    assert all(record == winner for _, record in outcomes)


async def _apply(parts: Parts, transition: Transition) -> tuple[bool, Record | None]:
    applied = await parts.store.apply(transition)
    return applied.done, applied.record


async def a_refused_write_brings_what_refused_it(parts: Parts) -> None:
    """It saves a second read."""
    claim = await running(parts)
    guess = first_claim("shop-1", RUN, worker="x", now=NOW, lease_until=NOW + 9)
    assert await refused(parts, guess) == claim
    assert await parts.store.get("shop-1") == claim


async def a_write_to_what_is_not_there_makes_nothing(parts: Parts) -> None:
    """Only new runs and deletions may create an item."""
    guess = first_claim("shop-1", RUN, worker="w", now=NOW, lease_until=NOW + 9)
    assert await refused(parts, guess) is None
    assert await parts.store.get("shop-1") is None


async def an_older_run_never_overwrites(parts: Parts) -> None:
    """Every condition names the run, the state and the lease that the write replaces."""
    old = await running(parts)
    stolen = await written(parts, claimed(old, worker="x", now=NOW, lease_until=NOW + 99))
    for late in (
        completed(old, result=RESULT, now=NOW, next_run_id=NEXT),
        failed(old, error=ERROR, now=NOW, next_run_id=NEXT),
        released(old),
        backed_off(old, not_before=NOW),
        renewed(old, lease_until=NOW + 999),
    ):
        assert await refused(parts, late) == stolen


async def a_write_tried_again_is_known_for_ones_own(parts: Parts) -> None:
    """If its response was lost, the second attempt fails its condition, but counts as applied."""
    queued = await written(parts, opened("shop-1", None, run_id=RUN, now=NOW))
    claim = claimed(queued, worker="w", now=NOW, lease_until=NOW + 9)
    held = await written(parts, claim)
    assert await written(parts, claim) == held
    end = completed(held, result=RESULT, now=NOW, next_run_id=NEXT)
    done = await written(parts, end)
    assert await written(parts, end) == done


async def what_shows_that_a_write_was_applied_is_in_the_record(parts: Parts) -> None:
    """The kinds of proof are a new run, a claim, all set attributes, an error, and a result."""
    proofs: list[str] = []

    async def twice(transition: Transition) -> Record:
        proofs.append(transition.proof)
        record = await written(parts, transition)
        assert await written(parts, transition) == record
        return record

    queued = await twice(opened("shop-1", None, run_id=RUN, now=NOW))
    claim = await twice(claimed(queued, worker="v", now=NOW, lease_until=NOW + 9))
    queued = await twice(backed_off(claim, not_before=NOW))
    claim = await twice(claimed(queued, worker="w", now=NOW, lease_until=NOW + 9))
    ended = await twice(failed(claim, error=ERROR, now=NOW, next_run_id=NEXT))
    queued = await twice(opened("shop-1", ended, run_id=NEXT, now=NOW))
    claim = await twice(claimed(queued, worker="x", now=NOW, lease_until=NOW + 9))
    await twice(completed(claim, result={**RESULT, "run_id": NEXT}, now=NOW, next_run_id=RUN))
    assert set(proofs) == set(get_args(Proof))


async def who_was_asked_again_opens_the_next_run_as_it_ends(parts: Parts) -> None:
    """One write does both. It cannot miss a request, because its condition names ``again``."""
    claim = await running(parts)
    noted = await written(parts, requested_again(claim, now=NOW + 5))
    end = completed(claim, result=RESULT, now=NOW + 9, next_run_id=NEXT)
    assert await refused(parts, end) == noted
    end = completed(noted, result=RESULT, now=NOW + 9, next_run_id=NEXT)
    following = await written(parts, end)
    assert (following.state, following.run_id, following.again) == ("queued", NEXT, None)
    assert (following.result, following.attempts) == (RESULT, 0)


async def a_tombstone_is_written_whatever_is_there(parts: Parts) -> None:
    """A new run over a tombstone names it in its condition."""
    stone = await written(parts, deleted("shop-1", now=NOW, expires_at=NOW // 1000 + 9))
    assert stone == await parts.store.get("shop-1")
    assert (stone.state, stone.deleted_at, stone.run_id) == ("deleted", NOW, "")
    assert await refused(parts, opened("shop-1", None, run_id=RUN, now=NOW)) == stone
    queued = await written(parts, opened("shop-1", stone, run_id=NEXT, now=NOW))
    assert (queued.state, queued.deleted_at, queued.expires_at) == ("queued", None, None)
    again = await written(parts, deleted("shop-1", now=NOW, expires_at=NOW // 1000 + 9))
    assert again == stone


async def a_wake_up_is_taken_on_by_one_alone(parts: Parts) -> None:
    """The condition names ``published_at``."""
    queued = await written(parts, opened("shop-1", None, run_id=RUN, now=NOW))
    owed = await written(parts, unpublished(queued))
    assert owed.published_at is None
    sent = await written(parts, republished(owed, now=NOW + 1))
    assert (sent.published_at, sent.requeues) == (NOW + 1, 0)
    assert await refused(parts, republished(owed, now=NOW + 2)) == sent
    assert (await written(parts, republished(sent, now=NOW + 3))).requeues == 1


async def who_reads_at_the_same_time_gets_their_own(parts: Parts) -> None:
    """Some of the many readers read the same record, and some records do not exist."""
    for number in range(0, 130, 2):
        await written(parts, opened(f"shop-{number}", None, run_id=RUN, now=NOW))
    wanted = [f"shop-{number}" for number in range(130)] * 2
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(parts.store.get(name)) for name in wanted]
    for number, (name, task) in enumerate(zip(wanted, tasks, strict=True)):
        record = task.result()
        assert (record and record.entity_id) == (None if number % 2 else name)


async def a_read_sees_what_was_written_before_it(parts: Parts) -> None:
    """The same holds while others read the same record."""
    record = await written(parts, opened("shop-1", None, run_id=RUN, now=NOW))

    async def look(least: int) -> None:
        seen = await parts.store.get("shop-1")
        assert seen is not None
        assert (seen.published_at or 0) >= least

    async with asyncio.TaskGroup() as group:
        for later in range(1, 6):
            for _ in range(3):
                group.create_task(look(record.published_at or 0))
            record = await written(parts, republished(record, now=NOW + later))
            group.create_task(look(NOW + later))


async def pending_records_are_listed_oldest_first(parts: Parts) -> None:
    """A page is of one partition, up to a time. The index may lag for a moment."""
    names = [name for name in (f"shop-{n}" for n in range(40)) if shard(name) == 0][:3]
    for age, name in enumerate(names):
        await written(parts, opened(name, None, run_id=RUN, now=NOW - age))
    await asyncio.sleep(0.2)
    page = await parts.store.listed("pending#0", until=NOW - 1, after=None)
    assert [entry.entity_id for entry in page.entries] == [names[2], names[1]]
    assert not page.more
    rest = await parts.store.listed("pending#0", until=NOW, after=Entry(NOW - 2, names[2]))
    assert [entry.entity_id for entry in rest.entries] == [names[1], names[0]]
    gone = Entry(NOW - 1, "gone-meanwhile")
    assert not (await parts.store.listed("pending#0", until=NOW, after=gone)).more
    assert not (await parts.store.listed("failed#0", until=NOW, after=None)).entries


STORE_CONTRACTS: tuple[Contract, ...] = (
    a_record_reads_back_as_it_was_written,
    of_many_who_open_at_once_one_does,
    a_refused_write_brings_what_refused_it,
    a_write_to_what_is_not_there_makes_nothing,
    an_older_run_never_overwrites,
    a_write_tried_again_is_known_for_ones_own,
    what_shows_that_a_write_was_applied_is_in_the_record,
    who_was_asked_again_opens_the_next_run_as_it_ends,
    a_tombstone_is_written_whatever_is_there,
    a_wake_up_is_taken_on_by_one_alone,
    who_reads_at_the_same_time_gets_their_own,
    a_read_sees_what_was_written_before_it,
    pending_records_are_listed_oldest_first,
)
