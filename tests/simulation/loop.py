"""An event loop in virtual time: nothing ever waits, and the same start gives the same run."""

import asyncio
import contextvars
import itertools
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Deadlock(Exception):
    """Nothing is ready and no timer is set: the loop would wait for ever."""


class NumberedTask(asyncio.Task[Any]):
    """A task that hashes by the number of its creation.

    Sets of tasks are walked in the order of their hashes; by address that order would differ
    from one replay to the next.
    """

    def __init__(self, coro: Any, *, number: int, loop: Any, context: Any = None) -> None:
        self.number = number
        super().__init__(coro, loop=loop, name=f"task {number}", context=context)

    def __hash__(self) -> int:
        return self.number


class VirtualLoop(asyncio.BaseEventLoop):
    """Jumps to the next timer as soon as nothing is ready."""

    _scheduled: list[asyncio.TimerHandle]  # the base class's heap of timers

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._selector = _Jump(self)
        self._numbers = itertools.count(1)
        self.set_task_factory(_numbered)  # type: ignore[arg-type]
        #: Told of every task; whoever watches tasks sets it.
        self.adopt: Callable[[NumberedTask, contextvars.Context | None], None] | None = None

    def time(self) -> float:
        """Give the virtual time in seconds, from 0."""
        return self._now

    def jump(self) -> None:
        """Go to the next timer, exactly."""
        self._now = self._scheduled[0].when()

    def next_number(self) -> int:
        """Give the number of the next task."""
        return next(self._numbers)

    def _process_events(self, event_list: object) -> None:
        """Nothing comes from outside."""

    def _write_to_self(self) -> None:
        """No other thread wakes this loop."""


class _Jump:
    """What the base class takes for a selector."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Deadlock("nothing is ready, and nothing is scheduled")
        if timeout > 0:
            self._loop.jump()
        return []


def _numbered(
    loop: VirtualLoop,
    coro: Coroutine[Any, Any, Any],
    context: contextvars.Context | None = None,
) -> NumberedTask:
    task = NumberedTask(coro, number=loop.next_number(), loop=loop, context=context)
    if loop.adopt is not None:
        loop.adopt(task, context)
    return task


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own; what it leaves running is cancelled at the end."""
    loop = VirtualLoop()
    asyncio.set_event_loop(None)
    try:
        return loop.run_until_complete(main)
    finally:
        cancel_all(loop)
        loop.close()


def cancel_all(loop: VirtualLoop) -> None:
    """Cancel whatever the loop still runs, until it has ended."""
    # A task may take a few cancellations: each ``finally`` that waits takes one.
    for _ in range(100):
        left = sorted(asyncio.all_tasks(loop), key=hash)
        for task in left:
            task.cancel()
        # Once more when none is left: whoever waited for the last one hears of it.
        loop.run_until_complete(asyncio.sleep(0))
        if not left:
            return
    raise RuntimeError(f"tasks that no cancellation ends: {left}")
