"""An event loop in virtual time: nothing ever waits, and the same start gives the same run."""

import asyncio
import contextvars
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from functools import partial
from heapq import heappop, heappush
from typing import Any, TypeVar, TypeVarTuple, cast

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Deadlock(Exception):
    """Nothing is ready and no timer is set: the loop would wait for ever."""


class NumberedTask(asyncio.Task[Any]):
    """A task that hashes by the number of its creation.

    Sets of tasks are walked in the order of their hashes. By address that order would differ from
    one replay to the next.
    """

    def __init__(self, coro: Any, *, number: int, loop: Any, context: Any = None) -> None:
        self.number = number
        super().__init__(coro, loop=loop, name=f"task {number}", context=context)

    def __hash__(self) -> int:
        return self.number


class _Handle(list[Any]):
    """A callback, its arguments, and its context. A list is made without a call in Python."""

    __slots__ = ()

    def cancel(self) -> None:
        """Never call back, and keep no object until the timer is due."""
        self[:] = (None, (), None)

    def cancelled(self) -> bool:
        """Tell whether it was cancelled."""
        return self[0] is None


class VirtualLoop(asyncio.BaseEventLoop):
    """Jumps to the next timer as soon as nothing is ready.

    It replaces the base class's round. That one compares timers in Python, and looks for sockets
    and threads that a simulation does not have.
    """

    _stopping: bool  # the base class sets it when the loop is to stop

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._ready: deque[_Handle] = deque()
        #: A heap. Timers of the same time go off in the order in which they were set.
        self._timers: list[tuple[float, int, _Handle]] = []
        self._timer_numbers = itertools.count()
        self._task_numbers = itertools.count(1)
        #: Makes a future of this loop, without a call in Python.
        self.create_future = partial(asyncio.Future, loop=self)  # type: ignore[method-assign]
        #: Is called with every task, if set.
        self.adopt: Callable[[NumberedTask, contextvars.Context | None], None] | None = None

    def time(self) -> float:
        """Give the virtual time in seconds, from 0."""
        return self._now

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Call back in the next round."""
        handle = _Handle((callback, args, context or copy_context()))
        self._ready.append(handle)
        return cast(asyncio.Handle, handle)

    #: There are no threads.
    call_soon_threadsafe = call_soon

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back at a time."""
        handle = _Handle((callback, args, context or copy_context()))
        heappush(self._timers, (when, next(self._timer_numbers), handle))
        return cast(asyncio.TimerHandle, handle)

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back after a number of seconds."""
        # As in call_at: every call of a simulated daemon comes here twice.
        handle = _Handle((callback, args, context or copy_context()))
        heappush(self._timers, (self._now + delay, next(self._timer_numbers), handle))
        return cast(asyncio.TimerHandle, handle)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: contextvars.Context | None = None,
    ) -> "asyncio.Task[T]":
        """Start a task. Its name is its number."""
        task = NumberedTask(coro, number=next(self._task_numbers), loop=self, context=context)
        if self.adopt is not None:
            self.adopt(task, context)
        return task

    def _run_once(self) -> None:
        """Run one round after the other: a call for each would cost a tenth of the time."""
        ready, timers = self._ready, self._timers
        while not self._stopping:
            if not ready:
                while timers and timers[0][2][0] is None:
                    heappop(timers)
                if not timers:
                    raise Deadlock("nothing is ready, and nothing is scheduled")
                self._now = max(self._now, timers[0][0])
            now = self._now
            while timers and timers[0][0] <= now:
                ready.append(heappop(timers)[2])
            for _ in range(len(ready)):
                callback, args, context = ready.popleft()
                if callback is None:
                    continue
                try:
                    context.run(callback, *args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    self.call_exception_handler({"message": repr(callback), "exception": error})


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own, and cancel the tasks that it leaves."""
    loop = VirtualLoop()
    asyncio.set_event_loop(None)
    try:
        return loop.run_until_complete(main)
    finally:
        cancel_all(loop)
        loop.close()


def cancel_all(loop: VirtualLoop) -> None:
    """Cancel all tasks of the loop, until they have ended."""
    # A task may take a few cancellations: each ``finally`` that waits takes one.
    for _ in range(100):
        left = sorted(asyncio.all_tasks(loop), key=hash)
        for task in left:
            task.cancel()
        # Once more when none is left: callbacks of the last one still run.
        loop.run_until_complete(asyncio.sleep(0))
        if not left:
            return
    raise RuntimeError(f"tasks that no cancellation ends: {left}")
