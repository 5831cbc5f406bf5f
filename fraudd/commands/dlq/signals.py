"""Signals: a scan stops gently, and Ctrl-C answers a question."""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stop:
    """Whether a signal asked to stop, and which one."""

    number: int | None = None

    def __call__(self) -> bool:
        return self.number is not None


@contextmanager
def stopped_by_signals(stop: Stop) -> Iterator[None]:
    """Let the first signal end the scan after the messages in flight, the second at once.

    A poll is never cancelled: it may have received messages that would then stay hidden.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def handle(number: int) -> None:
        if stop():
            task.cancel()
        stop.number = number

    for number in signals:
        loop.add_signal_handler(number, handle, number)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def read_answer(question: str) -> str:
    """Read a line from the terminal, or return an empty line on Ctrl-C.

    The event loop reads it: a signal that comes just before a blocking read would not end it.
    """
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str] = loop.create_future()

    def finish(read: Callable[[], str]) -> None:
        if not line.done():
            line.set_result(read())

    loop.add_signal_handler(signal.SIGINT, finish, str)
    loop.add_reader(sys.stdin, finish, sys.stdin.readline)
    try:
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        return await line
    finally:
        loop.remove_reader(sys.stdin)
        loop.remove_signal_handler(signal.SIGINT)
