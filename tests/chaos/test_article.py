"""A burst far larger than the database can serve at once: what is not worked on only waits.

Consumers that take messages they cannot serve yet see them come back, be counted, and end in the
dead-letter queue unworked. Here every message is received once, by the daemon's count and by
what the queue handed out.
"""

import asyncio
import random
import time

import pytest

from tests.chaos.stage import PERMITS, Stage

_VISIBILITY_SECONDS = 12


def paces(count: int, steepness: int) -> dict[str, float]:
    """Run times from 0.2 to 3 seconds, most of them short."""
    rng = random.Random(7)
    return {f"shop-{n}": 0.2 + 2.8 * rng.random() ** steepness for n in range(count)}


async def each_once(stage: Stage, load: dict[str, float]) -> None:
    """Ask for all at once; see each message handed out once, and none left or given up."""
    await stage.database.set_paces(load)
    async with (
        stage.proxy_to_aws() as proxy,
        stage.daemon("one", to_aws=proxy, visibility_seconds=_VISIBILITY_SECONDS) as daemon,
    ):
        await daemon.ready()
        began = time.monotonic()
        runs = await daemon.ask_for_all(load)
        at_best = sum(load.values()) / PERMITS
        assert at_best > _VISIBILITY_SECONDS, "messages wait longer than one stays hidden"
        assert await stage.all_done(runs, daemon, within_seconds=at_best * 3) == {}
        print(f"{len(load)} runs in {time.monotonic() - began:.1f} s, at best {at_best:.1f} s")
        assert await daemon.sample("fraudd_receives_total") == len(load)
        assert await daemon.sample("fraudd_deletes_total") == len(load)
    counts = stage.receipts.by_message()
    assert len(counts) == len(load)
    assert set(counts.values()) == {1}
    assert {receipt.receive_count for receipt in stage.receipts.all} == {1}
    assert stage.connections["one"] <= PERMITS


async def test_every_message_of_a_burst_is_received_exactly_once(stage: Stage) -> None:
    await each_once(stage, paces(60, steepness=7))


@pytest.mark.slow
async def test_every_message_of_a_large_burst_is_received_exactly_once(stage: Stage) -> None:
    await each_once(stage, paces(300, steepness=4))


@pytest.mark.slow
async def test_a_database_down_in_the_middle_costs_only_those_in_hand_another_receive(
    stage: Stage,
) -> None:
    load = paces(300, steepness=4)
    await stage.database.set_paces(load)
    async with (
        stage.proxy_to_aws() as proxy,
        stage.daemon("one", to_aws=proxy, visibility_seconds=_VISIBILITY_SECONDS) as daemon,
    ):
        await daemon.ready()
        runs = await daemon.ask_for_all(load)
        await stage.announced.at_least(100)
        stopped_at = time.time()
        await asyncio.to_thread(stage.database.server.stop)
        in_hand = {r.entity_id for r in stage.receipts.all} - await stage.ended_before(stopped_at)
        await asyncio.sleep(30)
        await asyncio.to_thread(stage.database.server.start)
        at_best = sum(load.values()) / PERMITS
        assert await stage.all_done(runs, daemon, within_seconds=at_best * 3) == {}
        print(f"in hand: {in_hand}; received: {await daemon.sample('fraudd_receives_total')}")
    entities = {receipt.message_id: receipt.entity_id for receipt in stage.receipts.all}
    counts = stage.receipts.by_message()
    assert len(in_hand) <= PERMITS + 1
    assert {entities[message_id] for message_id, count in counts.items() if count > 1} <= in_hand
    assert entities.keys() == counts.keys()
    assert set(entities.values()) == set(load)
    assert stage.connections["one"] <= PERMITS
