"""``fraudd backfill``: its lines, its pace, what it shows."""

import asyncio
from pathlib import Path

import pytest

from fraudd import cli
from fraudd.commands.backfill import command as backfill
from fraudd.commands.backfill.command import read_ids
from fraudd.commands.backfill.journal import Journal, Row
from fraudd.commands.backfill.progress import drawn
from fraudd.commands.backfill.run import Pace
from tests.stack.workers import free_port


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


def test_progress_shows_how_far_it_is_how_fast_and_how_long_yet() -> None:
    line = drawn(total=20_000, asked=6_000, ended=5_000, rate=50.0, width=99)
    assert line == (
        "[#######.......................] 5,000 of 20,000 ended, 6,000 asked for, 50.0/s"
        "  0:05:00 left"
    )
    assert drawn(total=0, asked=0, ended=0, rate=0.0, width=99).startswith("[####")
    assert "left" not in drawn(total=5, asked=1, ended=0, rate=0.0, width=99)


def test_progress_fits_into_the_terminal() -> None:
    for width in (40, 60, 79, 99):
        line = drawn(total=100_000, asked=99_000, ended=98_000, rate=50.0, width=width)
        assert len(line) <= width
        assert line.endswith(" asked for, 50.0/s  0:00:40 left")


def test_what_ended_of_the_first_batch_is_not_forgotten_where_the_daemon_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A kill comes before the batch is noted as asked for: so far one of it has ended.
    monkeypatch.setattr(backfill, "_PATIENCE_SECONDS", 0.1)
    file, journal = tmp_path / "ids", tmp_path / "ids.journal"
    file.write_text("shop-1\nshop-2\n")
    with Journal(journal, ["shop-1", "shop-2"]) as before:
        before.note(ended=[Row("shop-1", "done", 0.5)])
    assert cli.main(["backfill", str(file), "--url", f"http://127.0.0.1:{free_port()}"]) == 1
    assert "1 ended: the same command goes on from there" in capsys.readouterr().err
    with Journal(journal, ["shop-1", "shop-2"]) as after:
        assert after.ended == {"shop-1"}
