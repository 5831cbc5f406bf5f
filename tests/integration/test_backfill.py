"""``fraudd backfill``, as a process that calls a real daemon: cut off, killed, and gone on with."""

import asyncio
import csv
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fraudd.config import Config
from tests.stack.aws import Aws
from tests.stack.commands import ran, started
from tests.stack.daemon import Fraudd, Start, changed
from tests.stack.observer import Observer
from tests.stack.workers import free_port


@pytest.fixture
async def fraudd(start: Start, config: Config, aws: Aws) -> AsyncIterator[Fraudd]:
    """A daemon whose bulk lane may have two of three permits."""
    bulk = {"bulk_url": aws.names.bulk_url}
    async with start(changed(config, queue=bulk, database={"max_connections": 3})) as fraudd:
        yield fraudd


def written(folder: Path, entity_ids: list[str]) -> str:
    """A file of ids."""
    file = folder / "ids"
    file.write_text("\n".join(entity_ids) + "\n")
    return str(file)


def asked(file: str) -> int:
    """How many ids a journal says were asked for."""
    journal = Path(f"{file}.journal")
    lines = journal.read_text().splitlines() if journal.exists() else []
    counts = [json.loads(line).get("requested", 0) for line in lines if line.endswith("}")]
    return max(counts, default=0)


async def some_are_asked(file: str, count: int) -> None:
    """Wait until so many were asked for."""
    async with asyncio.timeout(60):
        while asked(file) < count:
            await asyncio.sleep(0.01)


async def test_all_ids_of_a_file_are_scored_and_written_down(
    fraudd: Fraudd, tmp_path: Path
) -> None:
    file = written(tmp_path, ["shop-2", "nobody", "a b", "", " shop-1 ", "shop-2", "shop-3"])
    output = tmp_path / "results.csv"
    status, out, err = await ran("backfill", file, "--url", fraudd.url, "--output", str(output))
    assert (status, out) == (1, "3 done, 1 failed, 0 pending, 1 refused\n")
    assert "fraudd: line 3: 'a b': must be 1 to 128 characters" in err
    assert "fraudd: nobody  failed  entity_unknown: " in err
    with output.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["entity_id"], row["status"]) for row in rows] == [
        ("shop-2", "done"), ("nobody", "failed"), ("shop-1", "done"), ("shop-3", "done")
    ]  # fmt: skip
    assert rows[1]["error"].startswith("entity_unknown: ")
    result = (await fraudd.look_up("shop-1"))[1]["result"]
    assert rows[2] == {
        "entity_id": "shop-1",
        "status": "done",
        "score": str(result["score"]),
        "decision": result["decision"],
        "model": result["model"],
        "scored_at": result["scored_at"],
        "error": "",
    }
    # There is nothing left to go on with: the same command asks anew.
    assert sorted(one.name for one in tmp_path.iterdir()) == ["ids", "results.csv"]


async def test_killed_and_started_again_it_asks_once_more_or_not_at_all(
    fraudd: Fraudd, tmp_path: Path
) -> None:
    ids = [f"shop-{number}" for number in range(300)]
    file, output = written(tmp_path, ids), tmp_path / "results.csv"
    command = ("backfill", file, "--url", fraudd.url, "--rate", "300", "--max-age", "0")
    process = await started(*command)
    await some_are_asked(file, 100)
    process.kill()
    await process.communicate()
    before = asked(file)
    assert 100 <= before < 300
    status, out, err = await ran(*command, "--output", str(output))
    assert (status, out, err) == (0, "300 done, 0 failed, 0 pending, 0 refused\n", "")
    with output.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["entity_id"] for row in rows] == ids
    # A run each, and one more at most of those whose answer had not been written down.
    runs = fraudd.sample("fraudd_messages_total", outcome="done")
    assert 300 <= runs <= 400
    for one in ids[:before]:
        assert (await fraudd.look_up(one))[1]["attempts"] == 1


async def test_ctrl_c_stops_it_and_the_same_command_goes_on(
    fraudd: Fraudd, tmp_path: Path, observer: Observer
) -> None:
    ids = [f"shop-{number}" for number in range(6)]
    file = written(tmp_path, ids)
    await observer.hold_up("shop-3")
    process = await started("backfill", file, "--url", fraudd.url)
    await fraudd.jobs("done", 5)
    await some_are_ended(file, 5)
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode == 130
    assert out.decode() == "5 done, 0 failed, 1 pending, 0 refused\n"
    assert err.decode() == ("fraudd: 6 of 6 requested, 5 ended. Run the same command to resume\n")
    await observer.let_go("shop-3")
    status, out_again, _ = await ran("backfill", file, "--url", fraudd.url)
    assert (status, out_again) == (0, "6 done, 0 failed, 0 pending, 0 refused\n")
    assert fraudd.sample("fraudd_messages_total", outcome="done") == 6


async def some_are_ended(file: str, count: int) -> None:
    """Wait until the journal says that so many have ended."""
    async with asyncio.timeout(20):
        while Path(f"{file}.journal").read_text().count('"ended"') < count:
            await asyncio.sleep(0.01)


async def test_no_more_are_pending_than_it_may_have(
    fraudd: Fraudd, tmp_path: Path, observer: Observer
) -> None:
    for number in range(3):
        await observer.hold_up(f"shop-{number}")
    file = written(tmp_path, [f"shop-{number}" for number in range(9)])
    process = await started("backfill", file, "--url", fraudd.url, "--concurrency", "3")
    await some_are_asked(file, 3)
    await observer.busy("User lock")
    assert (await fraudd.look_up("shop-3"))[0] == 404
    for number in range(3):
        await observer.let_go(f"shop-{number}")
    assert await process.wait() == 0


async def test_what_the_daemon_has_no_room_for_is_asked_for_later(
    start: Start, config: Config, aws: Aws, tmp_path: Path
) -> None:
    bulk = {"bulk_url": aws.names.bulk_url}
    async with start(changed(config, queue=bulk, http={"max_pending": 20})) as fraudd:
        file = written(tmp_path, [f"shop-{number}" for number in range(120)])
        command = ("backfill", file, "--url", fraudd.url, "--rate", "10000", "--json")
        status, out, err = await ran(*command)
        assert (status, err) == (0, "120 done, 0 failed, 0 pending, 0 refused\n")
        told = [json.loads(line) for line in out.splitlines()]
        assert {one["entity_id"] for one in told} == {f"shop-{number}" for number in range(120)}
        assert {one["status"] for one in told} == {"done"}


async def test_a_daemon_without_a_bulk_lane_is_asked_in_the_other_one_on_demand(
    start: Start, config: Config, tmp_path: Path
) -> None:
    async with start(config) as fraudd:
        file = written(tmp_path, [f"shop-{number}" for number in range(9)])
        status, out, err = await ran("backfill", file, "--url", fraudd.url)
        assert (status, out) == (1, "0 done, 0 failed, 9 pending, 0 refused\n")
        [line] = err.splitlines()
        assert line.startswith("fraudd: the daemon has no bulk lane. ")
        assert line.endswith(" with --lane interactive")
        status, out, _ = await ran("backfill", file, "--url", fraudd.url, "--lane", "interactive")
        assert (status, out) == (0, "9 done, 0 failed, 0 pending, 0 refused\n")


async def test_a_journal_is_good_for_its_own_ids_and_for_one_backfill(
    fraudd: Fraudd, tmp_path: Path, observer: Observer
) -> None:
    await observer.hold_up("shop-1")
    file, at = written(tmp_path, ["shop-1"]), ("--url", fraudd.url)
    process = await started("backfill", file, *at)
    await observer.busy("User lock")
    status, _, err = await ran("backfill", file, *at)
    assert (status, err) == (
        1, f"fraudd: {file}.journal: another backfill is using this journal\n"
    )  # fmt: skip
    process.kill()
    await process.communicate()
    written(tmp_path, ["shop-1", "shop-2"])
    status, _, err = await ran("backfill", file, *at)
    assert status == 1
    assert "is the journal of other IDs. Remove it" in err
    status, _, err = await ran("backfill", file, *at, "--journal", file)
    assert status == 1
    assert "is not a journal of a backfill" in err
    await observer.let_go("shop-1")
    await fraudd.jobs("done", 1)


async def test_standard_input_needs_a_journal(fraudd: Fraudd, tmp_path: Path) -> None:
    status, _, err = await ran("backfill", "-", stdin="shop-1\n")
    assert status == 2
    assert "--journal" in err
    command = ("backfill", "-", "--url", fraudd.url, "--journal", str(tmp_path / "journal"))
    assert (await ran(*command, stdin="shop-1\n"))[0] == 0


async def test_nothing_to_ask_for_asks_nobody(tmp_path: Path) -> None:
    file = written(tmp_path, [])
    status, out, err = await ran("backfill", file, "--url", f"http://127.0.0.1:{free_port()}")
    assert (status, out, err) == (0, "0 done, 0 failed, 0 pending, 0 refused\n", "")


async def test_ids_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    status, _, err = await ran("backfill", str(tmp_path / "gone"))
    assert status == 2
    assert err == f"fraudd: cannot read {tmp_path / 'gone'}: No such file or directory\n"
