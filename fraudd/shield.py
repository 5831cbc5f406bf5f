"""Calls that must not be cut off half-way, whoever cancels their caller."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_its_end(call: Coroutine[Any, Any, T]) -> T:
    """Await a call that has a time-out of its own, though we are cancelled meanwhile.

    Whoever is cut off in mid-write cannot tell whether the write will land.
    """
    # In no TaskGroup, which would cancel it: it is awaited here whatever happens.
    task = asyncio.create_task(call)  # noqa: TID251
    cut_off = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cut_off = True
    if cut_off:
        # What came of the call is of no interest to a caller who is gone.
        _ = task.cancelled() or task.exception()
        raise asyncio.CancelledError
    return task.result()
