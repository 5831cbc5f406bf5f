"""The ``fraudd`` command: its subcommands, and what their failures come to."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fraudd import __version__, config
from fraudd.errors import Misconfigured, RunError, Unavailable
from fraudd.telemetry import log

#: sysexits.h: EX_CONFIG. The unit tells systemd not to start again after it.
EX_CONFIG = 78


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; gives the exit status: 0 ok, 1 failed, 2 usage, 78 configuration."""
    from fraudd.commands import provision, request, result, status, token, train
    from fraudd.commands.backfill import command as backfill
    from fraudd.commands.check import command as check
    from fraudd.commands.dlq import command as dlq
    from fraudd.local import command as demo

    parser = argparse.ArgumentParser(
        prog="fraudd", description="Fraud scores on demand, without losing a request."
    )
    parser.add_argument("--version", action="version", version=f"fraudd {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands)
    for command in (check, provision, request, result, status, backfill, train, dlq, token, demo):
        command.add_parser(commands)
    chosen = parser.parse_args(arguments)
    try:
        return int(chosen.run(chosen))
    except Misconfigured as error:
        for problem in error.problems:
            print(f"fraudd: {problem}", file=sys.stderr)
        return EX_CONFIG
    except (Unavailable, RunError) as error:
        print(f"fraudd: {error}", file=sys.stderr)
        return 1


def _add_serve(commands: "argparse._SubParsersAction[Any]") -> None:
    parser = commands.add_parser(
        "serve",
        help="run the daemon",
        description="Answer requests for scores and compute them, until SIGTERM or SIGINT.",
    )
    parser.add_argument("--config", type=Path, required=True, help="the configuration file")
    parser.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    from fraudd.daemon.daemon import serve

    settings = config.load(arguments.config)
    log.configure(level=settings.log.level, form=settings.log.format)
    asyncio.run(serve(settings))
    return 0
