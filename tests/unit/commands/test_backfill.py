"""``fraudd backfill``: its lines, its pace."""

import asyncio

from fraudd.commands.backfill import read_ids
from fraudd.commands.backfill_work import Pace


def test_each_line_is_an_id_or_a_complaint_with_its_number() -> None:
    entity_ids, refused = read_ids("shop-1\r\n\n  shop-2 \na b\nshop-1\n-x")
    assert entity_ids == ["shop-1", "shop-2"]
    assert [complaint.partition(": must be ")[0] for complaint in refused] == [
        "line 4: 'a b'",
        "line 6: '-x'",
    ]


async def test_turns_come_no_faster_than_the_rate_however_many_take_them() -> None:
    loop = asyncio.get_running_loop()
    pace = Pace(200)
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for _ in range(11):
            group.create_task(pace.turn())
    assert loop.time() - began >= 10 / 200
