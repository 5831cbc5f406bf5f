"""A background loop that fails goes on, and somebody can see that it failed."""

import asyncio
import logging
from itertools import pairwise

import pytest

from fraudd.telemetry.loops import MAX_PAUSE_SECONDS, PAUSE_SECONDS, keep_running
from fraudd.telemetry.metrics import Metrics
from tests.simulation.loop import run_virtually


def errors(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("fraudd_loop_errors_total", {"loop": "sweeper"})


def test_a_loop_starts_again_after_any_error(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    starts: list[float] = []

    async def loop() -> None:
        starts.append(asyncio.get_running_loop().time())
        if len(starts) == 1:
            raise ZeroDivisionError("a bug")

    async def scene() -> None:
        await keep_running("sweeper", loop, metrics=metrics)

    with caplog.at_level(logging.ERROR, "fraudd"):
        run_virtually(scene())
    assert starts[1] - starts[0] == pytest.approx(PAUSE_SECONDS)
    assert errors(metrics) == 1
    [record] = caplog.records
    assert record.message == "loop.failed"
    assert record.exc_info is not None


def test_the_pause_grows_and_is_short_again_after_a_long_time_without_errors() -> None:
    metrics = Metrics()
    starts: list[float] = []

    async def loop() -> None:
        starts.append(asyncio.get_running_loop().time())
        if len(starts) == 9:
            await asyncio.sleep(MAX_PAUSE_SECONDS * 2)
            starts[-1] = asyncio.get_running_loop().time()
        if len(starts) < 10:
            raise KeyError("a bug")

    async def scene() -> None:
        await keep_running("sweeper", loop, metrics=metrics)

    run_virtually(scene())
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert pauses[:6] == pytest.approx([1, 2, 4, 8, 16, 30])
    assert pauses[8] == pytest.approx(PAUSE_SECONDS)


def test_a_cancelled_loop_ends() -> None:
    async def scene() -> None:
        task = asyncio.create_task(
            keep_running("sweeper", lambda: asyncio.sleep(100), metrics=Metrics())
        )
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtually(scene())
