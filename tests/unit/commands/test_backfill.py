"""``fraudd backfill``: its lines, its pace, what it shows."""

import asyncio
from pathlib import Path

import pytest

from fraudd import cli
from fraudd.commands.backfill import command as backfill
from fraudd.commands.backfill.command import read_ids
from fraudd.commands.backfill.journal import Journal, Row
from fraudd.commands.backfill.progress import progress_line
from fraudd.commands.backfill.run import RateLimit
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
    limit = RateLimit(200)
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for _ in range(11):
            group.create_task(limit.acquire())
    assert loop.time() - began >= 10 / 200


def test_progress_shows_how_far_it_is_how_fast_and_how_long_yet() -> None:
    line = progress_line(total=20_000, requested=6_000, ended=5_000, rate=50.0, width=99)
    assert line == (
        "[#######.......................] 5,000 of 20,000 ended, 6,000 requested, 50.0/s"
        "  5 min 0 s left"
    )
    assert progress_line(total=0, requested=0, ended=0, rate=0.0, width=99).startswith("[####")
    assert "left" not in progress_line(total=5, requested=1, ended=0, rate=0.0, width=99)


def test_progress_fits_into_the_terminal() -> None:
    for width in (40, 60, 79, 99):
        line = progress_line(total=100_000, requested=99_000, ended=98_000, rate=50.0, width=width)
        assert len(line) <= width
        assert line.endswith(" requested, 50.0/s  40 s left")


def test_what_ended_of_the_first_batch_is_not_forgotten_where_the_daemon_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A kill comes before the batch is noted as asked for: so far one of it has ended.
    monkeypatch.setattr(backfill, "_TIMEOUT_SECONDS", 0.1)
    file, journal = tmp_path / "ids", tmp_path / "ids.journal"
    file.write_text("shop-1\nshop-2\n")
    with Journal(journal, ["shop-1", "shop-2"]) as before:
        before.append(ended=[Row("shop-1", "done", 0.5)])
    assert cli.main(["backfill", str(file), "--url", f"http://127.0.0.1:{free_port()}"]) == 1
    assert "1 ended. Run the same command to resume" in capsys.readouterr().err
    with Journal(journal, ["shop-1", "shop-2"]) as after:
        assert after.ended == {"shop-1"}
