"""The ``fraudd`` command: its subcommands and exit statuses."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from fraudd import __version__
from fraudd.errors import Misconfigured, RunError, Unavailable

#: EX_CONFIG of sysexits.h. The systemd unit does not restart a daemon that exits with it.
EX_CONFIG = 78


class Command(NamedTuple):
    """A subcommand: ``module`` has ``add_arguments(parser)``, which also sets ``run``."""

    module: str
    help: str


COMMANDS = {
    "serve": Command("fraudd.daemon.command", "run the daemon"),
    "check": Command("fraudd.commands.check.command", "check whether an installation will work"),
    "provision": Command("fraudd.commands.provision", "create topics, queues and table on AWS"),
    "request": Command("fraudd.commands.request", "request a score from a daemon"),
    "result": Command("fraudd.commands.result", "get the stored result of an entity"),
    "status": Command("fraudd.commands.status", "show what a daemon does now"),
    "backfill": Command("fraudd.commands.backfill.command", "score a file of IDs in the bulk lane"),
    "train": Command("fraudd.commands.train", "train the model on labels"),
    "dlq": Command("fraudd.commands.dlq.command", "list, redrive or purge dead letters"),
    "token": Command("fraudd.commands.token", "make a token for a client"),
    "demo": Command("fraudd.local.command", "run the daemon and a demo platform on this machine"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand, and return the status: 0 ok, 1 failed, 2 usage, 78 configuration."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        chosen = _parser(words).parse_args(words)
        status = int(chosen.run(chosen))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader of a pipe has closed it, for example `head`. At its exit Python flushes again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Misconfigured as error:
        for problem in error.problems:
            print(f"fraudd: {problem}", file=sys.stderr)
        return EX_CONFIG
    except (Unavailable, RunError) as error:
        print(f"fraudd: {error}", file=sys.stderr)
        return 1


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Make the parser. It imports only the subcommand that ``words`` name."""
    parser = argparse.ArgumentParser(
        prog="fraudd",
        description="Fraud scores on demand, without losing a request.",
        epilog="examples:\n"
        "  fraudd request shop-42 --wait 30\n"
        "  fraudd check shop\n"
        "  fraudd COMMAND --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"fraudd {__version__}",
        help="print the version and exit",
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    # No option before the subcommand takes a value.
    name = next((word for word in words if not word.startswith("-")), None)
    for command_name, command in COMMANDS.items():
        subparser = subparsers.add_parser(command_name, help=command.help)
        if command_name == name:
            _load(command_name, command.module).add_arguments(subparser)
    return parser


def _load(name: str, module: str) -> Any:
    """Import a subcommand. Raises ``Misconfigured`` if a package of the daemon is missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "fraudd").partition(".")[0] == "fraudd":
            raise
        raise Misconfigured(
            f"the package {error.name} is not installed, and 'fraudd {name}' needs it."
            " Run: pip install 'fraudd[daemon]'"
        ) from None
