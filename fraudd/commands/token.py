"""``fraudd token``: makes tokens for clients."""

import argparse
import json
import random

from fraudd.commands.arguments import describe
from fraudd.web.tokens import SCOPES, name_problem, new_token, scopes_problem, token_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Set the help and the arguments of the subcommand."""
    describe(
        parser,
        "Make a token for a client of the HTTP API.",
        examples=["fraudd token new checkout --scope read,request", "fraudd token new --help"],
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    new = actions.add_parser("new", help="make a token and its line")
    describe(
        new,
        "Make a token and print it once, together with its line for the token file ([http]"
        " tokens_credential). The line contains a digest, from which nobody can recover the"
        " token.",
        examples=[
            "fraudd token new checkout --scope read,request",
            "fraudd token new prometheus --scope read --json",
        ],
    )
    new.add_argument("name", metavar="NAME", type=_name, help="name of the client; appears in logs")
    new.add_argument(
        "--scope", type=_scopes, required=True, help=f"comma-separated scopes: {', '.join(SCOPES)}"
    )
    new.add_argument("--json", action="store_true", help="print token and line as JSON")
    new.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make a token and print it."""
    token = new_token(random.SystemRandom())
    line = token_line(arguments.name, arguments.scope, token)
    if arguments.json:
        print(json.dumps({"token": token, "line": line}))
    else:
        print(f"token, for the client:  {token}\nline, for the file:     {line}")
    return 0


def _name(text: str) -> str:
    if (problem := name_problem(text)) is not None:
        raise argparse.ArgumentTypeError(problem)
    return text


def _scopes(text: str) -> list[str]:
    if (problem := scopes_problem(text)) is not None:
        raise argparse.ArgumentTypeError(problem)
    return text.split(",")
