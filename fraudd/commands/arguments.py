"""Help texts and argument types of all subcommands. Imports the standard library only."""

import argparse
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

from fraudd.prediction.record import ENTITY_ID, ENTITY_ID_RULE

#: Lines of help stay readable in a terminal of 80 columns.
_HELP_WIDTH = 78


def describe(parser: argparse.ArgumentParser, description: str, *, examples: Sequence[str]) -> None:
    """Set the description of a subcommand, and examples below its options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = textwrap.fill(description, _HELP_WIDTH)
    parser.epilog = "\n".join(["examples:", *(f"  {example}" for example in examples)])


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add ``--config`` for a subcommand that needs it."""
    parser.add_argument(
        "--config",
        type=Path,
        required=True,
        metavar="FILE",
        help="path of the configuration file",
    )


def add_client_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a subcommand that calls a daemon."""
    parser.add_argument(
        "--url",
        default="http://127.0.0.1:8080",
        help="URL of the daemon (default: %(default)s)",
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="file that contains only the token"
    )
    parser.add_argument(
        "--json", action="store_true", help="print response bodies as JSON, one per line"
    )


def entity_id(text: str) -> str:
    """Accept an entity ID, or say what is allowed."""
    if not ENTITY_ID.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text[:60]!r}: must be {ENTITY_ID_RULE}")
    return text


def seconds(text: str) -> float:
    """Accept a number of seconds, 0 or more."""
    return _number(text, "must be a number of seconds, 0 or more")


def days(text: str) -> float:
    """Accept a number of days, 0 or more."""
    return _number(text, "must be a number of days, 0 or more")


def _number(text: str, rule: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text[:20]!r}: {rule}")
    return value
