"""``fraudd dlq``: lists, redrives and purges dead letters."""

import argparse
import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict

from fraudd import config
from fraudd.aws.dead_letters import HIDDEN_SECONDS, DeadLetters, find_dead_letters
from fraudd.aws.session import open_clients
from fraudd.clock import SystemClock
from fraudd.commands.arguments import add_config, describe, entity_id
from fraudd.commands.dlq.rows import Row, oldest_first, row_of, table
from fraudd.commands.dlq.scan import MALFORMED, Act, Selection, Totals, purge, redrive, scan
from fraudd.commands.dlq.signals import Stop, read_answer, stopped_by_signals
from fraudd.commands.terminal import bar, say
from fraudd.config import Config
from fraudd.wiring import aws_terms

_BAR_WIDTH = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Set the help and the arguments of the subcommand."""
    describe(
        parser,
        "List the messages of the dead-letter queue, send them back to their queue, or delete"
        " them.",
        examples=[
            "fraudd dlq ls --config fraudd.toml",
            "fraudd dlq redrive --config fraudd.toml --reason exhausted --dry-run",
            "fraudd dlq purge --config fraudd.toml --reason malformed",
        ],
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("ls", help="list the dead letters")
    describe(
        listing,
        "List dead letters with reason, entity, receives and age. Listing leaves them in the"
        " queue, but hides them while it runs, and counts as a receive.",
        examples=[
            "fraudd dlq ls --config fraudd.toml",
            "fraudd dlq ls --config fraudd.toml --json",
        ],
    )
    _add_selection(listing, _ls)
    listing.add_argument("--json", action="store_true", help="print one JSON object per line")
    redriving = actions.add_parser("redrive", help="send dead letters back to the queue")
    describe(
        redriving,
        "Send dead letters back to the queue, so that a consumer receives them again. Malformed"
        f" messages stay, unless --reason {MALFORMED} selects them.",
        examples=[
            "fraudd dlq redrive --config fraudd.toml --dry-run",
            "fraudd dlq redrive --config fraudd.toml --reason exhausted --limit 10",
        ],
    )
    _add_selection(redriving, _redrive)
    redriving.add_argument(
        "--dry-run", action="store_true", help="list the dead letters; send nothing"
    )
    purging = actions.add_parser("purge", help="delete dead letters permanently")
    describe(
        purging,
        "Delete dead letters permanently, after a confirmation. 'fraudd dlq ls' with the same"
        " options lists them.",
        examples=[
            "fraudd dlq purge --config fraudd.toml --reason malformed",
            "fraudd dlq purge --config fraudd.toml --entity shop-42 --yes",
        ],
    )
    _add_selection(purging, _purge)
    purging.add_argument("--yes", action="store_true", help="delete without a confirmation")


def _add_selection(
    parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]
) -> None:
    add_config(parser)
    parser.add_argument("--limit", type=_count, metavar="N", help="handle at most N messages")
    parser.add_argument(
        "--entity", type=entity_id, metavar="ID", help="handle only messages of this entity"
    )
    parser.add_argument("--reason", help="handle only messages with this reason, as ls prints it")
    parser.set_defaults(run=run)


def _ls(arguments: argparse.Namespace) -> int:
    totals, stop = _scan(arguments, None)
    rows = _rows(totals)
    if arguments.json:
        _print("".join(f"{json.dumps(asdict(row))}\n" for row in oldest_first(rows)))
    elif rows:
        _print_table(rows)
    say(f"{len(rows)} of {totals.seen} messages")
    return _status(totals, stop)


def _redrive(arguments: argparse.Namespace) -> int:
    act = None if arguments.dry_run else redrive
    totals, stop = _scan(arguments, act, redriving=True, label="sending back")
    if arguments.dry_run:
        if totals.selected:
            _print_table(_rows(totals))
        _print(f"would send back {len(totals.selected)} of {totals.seen} messages\n")
    else:
        _print(f"sent back {totals.handled} of {totals.seen} messages\n")
    if totals.malformed_kept:
        say(
            f"kept {totals.malformed_kept} malformed messages; --reason {MALFORMED} sends them back"
        )
    if totals.returned:
        say(
            f"{totals.returned} messages failed again and stay; fix their cause, then run the"
            " command again"
        )
    return _status(totals, stop)


def _purge(arguments: argparse.Namespace) -> int:
    if not arguments.yes:
        if not sys.stdin.isatty():
            say(
                "purge needs confirmation and there is no terminal; pass --yes to delete without"
                " asking"
            )
            return 2
        if not _is_confirmed(arguments):
            say("nothing was deleted")
            return 1
    totals, stop = _scan(arguments, purge, label="deleting")
    _print(f"deleted {totals.handled} of {totals.seen} messages\n")
    return _status(totals, stop)


def _is_confirmed(arguments: argparse.Namespace) -> bool:
    """Ask for confirmation. Ctrl-C means no."""
    options = [
        f"{name} {value}"
        for name in ("reason", "entity", "limit")
        if (value := getattr(arguments, name)) is not None
    ]
    selection = f"messages with {', '.join(options)}, out of " if options else ""

    async def ask() -> str:
        async with _open_queue(config.load(arguments.config)) as queue:
            count, _ = await queue.counts()
            return await read_answer(
                f"Permanently delete {selection}about {count} messages of {queue.url}?"
            )

    try:
        return asyncio.run(ask()).strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        return False


def _scan(
    arguments: argparse.Namespace,
    act: Act | None,
    *,
    redriving: bool = False,
    label: str = "reading",
) -> tuple[Totals, Stop]:
    """Scan the queue until its end or a signal."""
    settings = config.load(arguments.config)
    selection = Selection(entity=arguments.entity, reason=arguments.reason, limit=arguments.limit)
    stop = Stop()

    async def work() -> Totals:
        with stopped_by_signals(stop):
            async with _open_queue(settings) as queue:
                total, _ = await queue.counts()
                with _progress_bar(label, total) as progress:
                    return await scan(
                        queue,
                        selection,
                        act,
                        redriving=redriving,
                        stopped=stop,
                        progress=progress,
                    )

    try:
        return asyncio.run(work()), stop
    except asyncio.CancelledError:
        return Totals(), stop


@asynccontextmanager
async def _open_queue(settings: Config) -> AsyncIterator[DeadLetters]:
    async with open_clients(aws_terms(settings), lambda _: None, SystemClock()) as clients:
        yield await find_dead_letters(
            clients, main_url=settings.queue.url, url=settings.queue.dead_letter_url
        )


@contextmanager
def _progress_bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Return a function that draws the number of messages seen, if there is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return

    def draw(seen: int) -> None:
        # SQS's count is approximate: the scan may see more messages.
        expected = max(seen, total, 1)
        line = f"{label} {bar(seen, expected, width=_BAR_WIDTH)} {seen}/{expected}"
        print(f"\r{line}", end="", file=sys.stderr, flush=True)

    draw(0)
    try:
        yield draw
    finally:
        print(file=sys.stderr)


def _status(totals: Totals, stop: Stop) -> int:
    """Print the failures, and return the exit status. For a signal it is the shell's."""
    if totals.hidden_elsewhere:
        say(
            f"about {totals.hidden_elsewhere} more messages are hidden, because another process"
            f" reads them; they are visible again within {HIDDEN_SECONDS // 60} minutes"
        )
    for failure in totals.failures:
        say(failure)
    if stop.number is not None:
        say("stopped by a signal; the remaining messages are unchanged")
        return 128 + stop.number
    return 1 if totals.failures else 0


def _rows(totals: Totals) -> list[Row]:
    now = SystemClock().now()
    return [row_of(letter, now=now) for letter in totals.selected]


def _print_table(rows: Sequence[Row]) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    _print(table(rows, width=width) + "\n")


def _print(text: str) -> None:
    """Print to standard output, which a reader like ``head`` may close early."""
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        # The rest of the buffer would fail again at Python's exit.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text[:20]!r}: must be a whole number, 1 or more")
    return int(text)
