"""``fraudd dlq``: lists the dead-letter queue, sends its messages back, or deletes them."""

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from fraudd import config
from fraudd.aws.dead_letters import HIDDEN_SECONDS, find
from fraudd.aws.session import open_clients
from fraudd.clock import SystemClock
from fraudd.commands.arguments import entity_id
from fraudd.commands.dlq.rows import Row, bar, oldest_first, row, table
from fraudd.commands.dlq.scan import (
    MALFORMED,
    Act,
    Tally,
    Wanted,
    purge,
    redrive,
    say,
    sift,
)
from fraudd.config import Config
from fraudd.wiring import aws_terms


class Stop:
    """Whether somebody asked to stop, and by which signal."""

    number: int | None = None

    def __call__(self) -> bool:
        return self.number is not None


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Say what the subcommand takes."""
    parser = commands.add_parser(
        "dlq",
        help="list, send back or delete dead letters",
        description="The dead-letter queue: see what lies there, send it back, or delete it.",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = _action(
        actions,
        "ls",
        _ls,
        "list the messages",
        "List messages with reason, entity, receives and age. Looking leaves them there; while it"
        " lasts they are hidden, and each look counts as a receive.",
    )
    listing.add_argument("--json", action="store_true", help="print a JSON object a line")
    redriving = _action(
        actions,
        "redrive",
        _redrive,
        "send messages back to the queue",
        "Send messages back to the queue, to be worked on again. Malformed ones"
        f" stay unless named by --reason {MALFORMED}.",
    )
    redriving.add_argument("--dry-run", action="store_true", help="list what would be sent back")
    purging = _action(
        actions,
        "purge",
        _purge,
        "delete messages",
        "Delete messages for good; asks first. `fraudd dlq ls` shows which.",
    )
    purging.add_argument("--yes", action="store_true", help="do not ask")


def _action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    description: str,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=summary, description=description)
    parser.add_argument("--config", type=Path, required=True, help="the configuration file")
    parser.add_argument("--limit", type=_count, metavar="N", help="this many at most")
    parser.add_argument("--entity", type=entity_id, metavar="ID", help="those of this entity only")
    parser.add_argument("--reason", help="those with this reason only, as ls shows it")
    parser.set_defaults(run=run)
    return parser


def _ls(arguments: argparse.Namespace) -> int:
    tally, stop = _run(arguments, None)
    now = SystemClock().now()
    rows = [row(letter, now=now) for letter in tally.picked]
    if arguments.json:
        _print("".join(f"{json.dumps(asdict(row))}\n" for row in oldest_first(rows)))
    elif rows:
        _print_table(rows)
    say(f"{len(rows)} of {tally.seen} messages that were looked at")
    return _status(tally, stop)


def _redrive(arguments: argparse.Namespace) -> int:
    tally, stop = _run(
        arguments, None if arguments.dry_run else redrive, spare=True, label="sending back"
    )
    if arguments.dry_run:
        now = SystemClock().now()
        if tally.picked:
            _print_table([row(letter, now=now) for letter in tally.picked])
        _print(f"would send back {len(tally.picked)} of {tally.seen} messages\n")
    else:
        _print(f"sent back {tally.settled} of {tally.seen} messages\n")
    if tally.malformed_spared:
        say(f"{tally.malformed_spared} malformed stay; --reason {MALFORMED} would send them back")
    if tally.came_back:
        say(f"{tally.came_back} came back meanwhile, and stay: their cause is not mended")
    return _status(tally, stop)


def _purge(arguments: argparse.Namespace) -> int:
    if not arguments.yes:
        if not sys.stdin.isatty():
            say("purge deletes for good and cannot ask here: say --yes")
            return 2
        if not _confirmed(arguments):
            say("nothing was deleted")
            return 1
    tally, stop = _run(arguments, purge, label="deleting")
    _print(f"deleted {tally.settled} of {tally.seen} messages\n")
    return _status(tally, stop)


def _confirmed(arguments: argparse.Namespace) -> bool:
    """Ask; Ctrl-C is a no."""
    choice = [
        f"{name} {value}"
        for name in ("reason", "entity", "limit")
        if (value := getattr(arguments, name)) is not None
    ]
    which = f"those with {', '.join(choice)} of " if choice else ""

    async def ask() -> str:
        settings = config.load(arguments.config)
        async with open_clients(aws_terms(settings), lambda _: None, SystemClock()) as clients:
            queue = await find(
                clients, main_url=settings.queue.url, url=settings.queue.dead_letter_url
            )
            about, _ = await queue.counts()
            return await _answer(f"Delete {which}about {about} messages of {queue.url} for good?")

    try:
        return asyncio.run(ask()).strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        return False


async def _answer(question: str) -> str:
    """Read a line from the terminal; Ctrl-C gives an empty one.

    By the event loop: a signal that comes just before a blocking read would not end it.
    """
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str] = loop.create_future()

    def settle(read: Callable[[], str]) -> None:
        if not line.done():
            line.set_result(read())

    loop.add_signal_handler(signal.SIGINT, settle, str)
    loop.add_reader(sys.stdin, settle, sys.stdin.readline)
    try:
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        return await line
    finally:
        loop.remove_reader(sys.stdin)
        loop.remove_signal_handler(signal.SIGINT)


def _run(
    arguments: argparse.Namespace, act: Act | None, *, spare: bool = False, label: str = "looking"
) -> tuple[Tally, Stop]:
    """Go through the queue as the arguments say, until done or asked to stop."""
    settings = config.load(arguments.config)
    wanted = Wanted(entity=arguments.entity, reason=arguments.reason, limit=arguments.limit)
    stop = Stop()

    async def work(settings: Config) -> Tally:
        with _heeded(stop):
            async with open_clients(aws_terms(settings), lambda _: None, SystemClock()) as clients:
                queue = await find(
                    clients, main_url=settings.queue.url, url=settings.queue.dead_letter_url
                )
                total, _ = await queue.counts()
                with _shown(label, total) as progress:
                    return await sift(
                        queue, wanted, act, spare=spare, stopped=stop, progress=progress
                    )

    try:
        return asyncio.run(work(settings)), stop
    except asyncio.CancelledError:
        return Tally(), stop


@contextmanager
def _heeded(stop: Stop) -> Iterator[None]:
    """Let the first signal end the work after what is in hand, the second at once.

    A poll is never cut off: it can have taken messages that nobody would make visible again.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "called by a task"
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def heed(number: int) -> None:
        if stop():
            task.cancel()
        stop.number = number

    for number in signals:
        loop.add_signal_handler(number, heed, number)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


@contextmanager
def _shown(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give what to tell how far the work is: it draws a bar, where somebody looks at it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return

    def draw(done: int) -> None:
        print(f"\r{label} {bar(done, total)}", end="", file=sys.stderr, flush=True)

    draw(0)
    try:
        yield draw
    finally:
        print(file=sys.stderr)


def _status(tally: Tally, stop: Stop) -> int:
    """Say what did not go well; gives the exit status, as a shell has it for a signal."""
    if tally.hidden_elsewhere:
        say(
            f"about {tally.hidden_elsewhere} more messages are hidden: somebody else looks at"
            f" them; they show within {HIDDEN_SECONDS // 60} minutes"
        )
    for failure in tally.failures:
        say(failure)
    if stop.number is not None:
        say("stopped before the end; the other messages are where they were")
        return 128 + stop.number
    return 1 if tally.failures else 0


def _print_table(rows: Sequence[Row]) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    _print(table(rows, width=width) + "\n")


def _print(text: str) -> None:
    """Print; whoever reads no further (``| head``) is no failure."""
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        # What is left in the buffer would fail again when Python ends.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text[:20]}: must be a whole number, 1 or more")
    return int(text)
