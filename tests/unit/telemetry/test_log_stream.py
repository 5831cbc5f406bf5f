"""A log whose reader has stopped: nothing waits for it, and what is missing is counted."""

import os
import select
from collections.abc import Iterator

import pytest

from fraudd.telemetry import log_stream
from fraudd.telemetry.log_stream import LogStream


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(writer)


def test_lines_come_in_order_and_all_before_the_end(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    stream = LogStream(writer, report=lambda count: None)
    for number in range(250):
        stream.write(f"{number} \udcff\n")
    stream.close()
    text = os.read(reader, 65_536).decode()
    assert text.splitlines() == [f"{number} \\udcff" for number in range(250)]
    os.close(reader)


def test_nobody_waits_for_a_reader_that_has_stopped(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_stream, "MAX_LINES", 50)
    monkeypatch.setattr(log_stream, "_CLOSE_SECONDS", 0.01)
    reader, writer = pipe
    reports: list[int] = []
    stream = LogStream(writer, report=reports.append)
    for _ in range(200):
        stream.write("x" * 10_000 + "\n")
    stream.close()  # the queue is full, and this returns
    assert stream.dropped > 0
    assert reports == []
    while stream._thread.is_alive():
        if select.select([reader], [], [], 0.01)[0]:
            os.read(reader, 65_536)
    assert sum(reports) == stream.dropped
    os.close(reader)


def test_a_pipe_without_a_reader_costs_its_lines_alone(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)
    stream = LogStream(writer, report=lambda count: None)
    stream.write("lost\n")
    stream.close()
    assert stream.dropped == 1
