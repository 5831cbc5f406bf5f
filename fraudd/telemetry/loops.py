"""Runs the background loops: an error of one loop ends neither the loop nor the daemon."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from fraudd.telemetry import log
from fraudd.telemetry.metrics import Metrics

#: The pause before a failed loop starts again. It doubles with each error, up to the maximum.
PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 30.0


def start(
    group: asyncio.TaskGroup,
    loops: Mapping[str, Callable[[], Awaitable[None]]],
    *,
    metrics: Metrics,
) -> list["asyncio.Task[None]"]:
    """Start loops by name in a task group, and return their tasks."""
    return [
        group.create_task(keep_running(name, loop, metrics=metrics)) for name, loop in loops.items()
    ]


async def keep_running(name: str, loop: Callable[[], Awaitable[None]], *, metrics: Metrics) -> None:
    """Run ``loop`` until it returns. If it raises, log and count the error, and start it again.

    Loops handle the errors that they expect. Any other error is a bug, which must not stop the
    work that other loops do.
    """
    time = asyncio.get_running_loop().time
    pause = PAUSE_SECONDS
    while True:
        began = time()
        try:
            return await loop()
        except Exception:
            if time() - began > MAX_PAUSE_SECONDS:
                pause = PAUSE_SECONDS
            log.error("loop.failed", traceback=True, loop=name, seconds=pause)
            metrics.loop_errors.labels(name).inc()
        await asyncio.sleep(pause)
        pause = min(pause * 2, MAX_PAUSE_SECONDS)
