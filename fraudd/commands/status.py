"""``fraudd status``: shows what a daemon does now."""

import argparse
import asyncio
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fraudd.client import Client, Problem
from fraudd.clock import SystemClock
from fraudd.commands import status_view
from fraudd.commands.arguments import add_client_arguments, describe
from fraudd.commands.daemon_call import INTERRUPTED, call
from fraudd.commands.terminal import clipped, say

#: A reader cannot follow faster changes. A daemon responds within a millisecond.
_REFRESH_SECONDS = 1.0
#: A watched daemon that does not respond within this time is shown as unreachable.
_WATCH_TIMEOUT_SECONDS = 2.0
#: Statuses of a daemon that may be back soon: unreachable, busy, or behind a failing proxy.
_TEMPORARY_STATUSES = frozenset({0, 429, 502, 503, 504})
#: ECMA-48: move the cursor to the upper left, erase the rest of the line, erase all below, clear.
_HOME, _ERASE_LINE, _ERASE_BELOW, _CLEAR = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[2J"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Set the help and the arguments of the subcommand."""
    describe(
        parser,
        "Show what a daemon does now: whether it receives messages and why not, its permits,"
        " consumers and queues, and each run in progress. The exit status is 1 if the daemon is"
        " unreachable.",
        examples=[
            "fraudd status",
            "fraudd status --watch",
            "fraudd status --url http://10.0.0.7:8080 --token-file token --json",
        ],
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="refresh every second until Ctrl-C; with --json, print one object per line",
    )
    add_client_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Get the status and print it, once or repeatedly."""
    if not arguments.watch:
        return call(arguments, lambda client: _show(client, arguments))
    if not arguments.json and not sys.stdout.isatty():
        say("--watch needs a terminal. Without a terminal, run: fraudd status --watch --json")
        return 2
    status = call(
        arguments, lambda client: _watch(client, arguments), timeout=_WATCH_TIMEOUT_SECONDS
    )
    return 0 if status == INTERRUPTED else status


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
            if problem.status not in _TEMPORARY_STATUSES:
                raise
            lines: Sequence[str] = [str(problem), "retrying every second"]
            document = json.dumps({"problem": str(problem)})
        else:
            lines, document = _lines(status, arguments.url), json.dumps(status)
        print(f"{document}\n" if arguments.json else _repaint(lines), end="", flush=True)
        await asyncio.sleep(_REFRESH_SECONDS)


def _lines(status: Mapping[str, Any], url: str) -> Sequence[str]:
    now = datetime.fromtimestamp(SystemClock().now() / 1000, UTC)
    width = shutil.get_terminal_size().columns
    return status_view.lines(status, url=url, now=now, width=width)


def _repaint(lines: Sequence[str]) -> str:
    """Return a text that overwrites the screen line by line, so that it never flickers."""
    size = shutil.get_terminal_size()
    visible = status_view.fitted(lines, max(size.lines - 1, 2))
    text = "".join(f"{clipped(line, size.columns)}{_ERASE_LINE}\n" for line in visible)
    return f"{_HOME}{text}{_ERASE_BELOW}"
