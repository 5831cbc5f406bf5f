"""``fraudd token``: makes tokens for callers."""

import argparse
import json
import random
from typing import Any

from fraudd.web.auth import SCOPES, line_of, new_token, wrong_name, wrong_scopes


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Say what the subcommand takes."""
    parser = commands.add_parser(
        "token", help="make a token for a caller", description="Make tokens for callers."
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    new = actions.add_parser(
        "new",
        help="make a token",
        description="Make a token and print it, once: nobody can find it out from its line, which"
        " goes into the file of [http] tokens_credential.",
    )
    new.add_argument("name", metavar="NAME", type=_name, help="whose it is; goes into logs")
    new.add_argument(
        "--scope",
        type=_scopes,
        required=True,
        help=f"what it is good for, of {', '.join(SCOPES)}; several with commas between them",
    )
    new.add_argument("--json", action="store_true", help="print token and line as JSON")
    new.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry the subcommand out."""
    token = new_token(random.SystemRandom())
    line = line_of(arguments.name, arguments.scope, token)
    if arguments.json:
        print(json.dumps({"token": token, "line": line}))
    else:
        print(f"token, for the caller:  {token}\nline, for the file:     {line}")
    return 0


def _name(text: str) -> str:
    if (wrong := wrong_name(text)) is not None:
        raise argparse.ArgumentTypeError(wrong)
    return text


def _scopes(text: str) -> list[str]:
    if (wrong := wrong_scopes(text)) is not None:
        raise argparse.ArgumentTypeError(wrong)
    return text.split(",")
