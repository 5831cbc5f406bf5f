"""Two functions that asyncio lacks."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def gather(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all calls at the same time and return their results in order.

    If one raises, the others are cancelled, and its error is raised itself, not in an exception
    group.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def uncancelled(call: Coroutine[Any, Any, T]) -> T:
    """Run a call to its end, even if the caller is cancelled meanwhile. Then raise the cancel.

    The call must have a timeout of its own. A write that is cancelled half-way would leave the
    caller without knowing whether the write took effect.
    """
    # It is in no TaskGroup, because a TaskGroup would cancel it. It is always awaited here.
    task = asyncio.create_task(call)  # noqa: TID251
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        # The caller is gone, so the result has no reader.
        _ = task.cancelled() or task.exception()
        raise asyncio.CancelledError
    return task.result()
