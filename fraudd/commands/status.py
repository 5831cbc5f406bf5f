"""``fraudd status``: what a daemon does right now."""

import argparse
import asyncio
import json
import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fraudd.client import Client, Problem
from fraudd.clock import SystemClock
from fraudd.commands import common as calling
from fraudd.commands import status_view

#: As often as a reader can follow; a daemon answers in a millisecond.
_RENEWED_SECONDS = 1.0
#: While watching, a daemon that does not answer is shown to be away, and asked again.
_WATCH_PATIENCE_SECONDS = 2.0
#: It may be back with the next answer: out of reach, busy, or behind a proxy that says so.
_PASSING = frozenset({0, 429, 502, 503, 504})
#: ECMA-48: cursor to the upper left; erase to the end of the line; erase all below; clear.
_HOME, _ERASE_LINE, _ERASE_BELOW, _CLEAR = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[2J"


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Say what the subcommand takes."""
    parser = commands.add_parser(
        "status",
        help="show what a daemon does right now",
        description="Show what a daemon does right now: whether it takes messages and why not,"
        " its permits, consumers and queues, and each run in hand. Status 1 if it is out of reach.",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="renew it each second in place, until Ctrl-C; with --json an object a line",
    )
    calling.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry the subcommand out."""
    if not arguments.watch:
        return calling.call(arguments, lambda client: _show(client, arguments))
    if not arguments.json and not sys.stdout.isatty():
        calling.say("--watch renews a terminal in place, and this is none; --watch --json goes")
        return 2
    status = calling.call(
        arguments, lambda client: _watch(client, arguments), timeout=_WATCH_PATIENCE_SECONDS
    )
    return 0 if status == calling.INTERRUPTED else status


async def _show(client: Client, arguments: argparse.Namespace) -> int:
    status = await client.status()
    print(json.dumps(status) if arguments.json else "\n".join(_lines(status, arguments.url)))
    return 0


async def _watch(client: Client, arguments: argparse.Namespace) -> int:
    print(end="" if arguments.json else _CLEAR)
    while True:
        try:
            status = await client.status()
        except Problem as problem:
            if problem.status not in _PASSING:
                raise
            shown, text = [str(problem), "it is asked again"], json.dumps({"problem": str(problem)})
        else:
            shown, text = _lines(status, arguments.url), json.dumps(status)
        print(f"{text}\n" if arguments.json else _renewed(shown), end="", flush=True)
        await asyncio.sleep(_RENEWED_SECONDS)


def _lines(status: Mapping[str, Any], url: str) -> list[str]:
    now = datetime.fromtimestamp(SystemClock().now() / 1000, UTC)
    width = shutil.get_terminal_size().columns
    return list(status_view.lines(status, url=url, now=now, width=width))


def _renewed(shown: list[str]) -> str:
    """What writes lines over those before, in one piece: nothing is blank in between."""
    size = shutil.get_terminal_size()
    fitted = status_view.fitted(shown, max(size.lines - 1, 2))
    lines = (f"{status_view.clipped(line, size.columns)}{_ERASE_LINE}\n" for line in fitted)
    return f"{_HOME}{''.join(lines)}{_ERASE_BELOW}"
