"""Log lines, for journald and for a terminal."""

import asyncio
import io
import json
import logging
import os
import sys
from typing import BinaryIO, Literal, cast

import pytest

from fraudd.telemetry import log

pytestmark = pytest.mark.usefixtures("own_log")


def test_json_is_one_event_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(level="info", form="json")
    log.info("run.done", entity_id="shop-1\nlevel=error", score=0.5)
    [line] = capsys.readouterr().out.splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["level"], entry["score"]) == ("run.done", "info", 0.5)
    assert entry["entity_id"] == "shop-1\nlevel=error"
    assert entry["time"].endswith("Z")


def test_text_quotes_what_could_be_taken_for_another_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure(level="info", form="text")
    log.warning("run.failed", detail='a "b"\nc', empty="", type="x")
    [line] = capsys.readouterr().out.splitlines()
    assert line.endswith(r'WARNING run.failed detail="a \"b\"\nc" empty="" type=x')


def test_below_its_level_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(level="warning", form="text")
    log.info("run.done")
    assert capsys.readouterr().out == ""


def test_a_traceback_stays_within_its_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(level="info", form="json")
    try:
        raise ValueError("boom")
    except ValueError:
        log.error("message.bug", traceback=True)
    [line] = capsys.readouterr().out.splitlines()
    assert "ValueError: boom" in json.loads(line)["traceback"]


def test_other_packages_are_heard_when_something_is_wrong(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure(level="debug", form="json")
    logging.getLogger("elsewhere").info("all is well")
    logging.getLogger("elsewhere").warning("%d things are wrong", 2)
    [line] = capsys.readouterr().out.splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["level"]) == ("2 things are wrong", "warning")


async def test_every_line_of_a_trace_says_so_and_no_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure(level="info", form="json")

    async def run(trace_id: str) -> None:
        log.trace(f"00-{trace_id}-{'b' * 16}-01")
        await asyncio.sleep(0)
        log.info("run.done", run=trace_id)

    async with asyncio.TaskGroup() as group:
        group.create_task(run("1" * 32))
        group.create_task(run("2" * 32))
    log.info("daemon.stopped")
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [entry.get("trace_id") for entry in entries] == ["1" * 32, "2" * 32, None]
    assert [entry.get("run") for entry in entries] == ["1" * 32, "2" * 32, None]


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_log_that_nobody_reads_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    form: Literal["json", "text"],
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    raw = io.FileIO(writer, "w")
    stream = io.TextIOWrapper(cast(BinaryIO, raw), "utf-8", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    log.configure(level="info", form=form)
    log.info("run.done", entity_id="shop-1")
    assert "BrokenPipeError" in capsys.readouterr().err
    raw.close()


@pytest.mark.parametrize("form", ["json", "text"])
def test_half_a_character_is_no_reason_not_to_be_logged(
    capsys: pytest.CaptureFixture[str], form: Literal["json", "text"]
) -> None:
    log.configure(level="info", form=form)
    log.info("http.malformed", error="\udcff")
    assert r"\udcff" in capsys.readouterr().out
