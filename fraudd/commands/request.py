"""``fraudd request``: requests a score from a daemon."""

import argparse

from fraudd.client import Client
from fraudd.commands.arguments import add_client_arguments, describe, entity_id, seconds
from fraudd.commands.daemon_call import call, show
from fraudd.commands.terminal import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Set the help and the arguments of the subcommand."""
    describe(
        parser,
        "Print the stored score, or start a run. With --wait, wait for the run and print its"
        " score. The exit status is 1 if the run failed or did not end in time.",
        examples=[
            "fraudd request shop-42",
            "fraudd request shop-42 --wait 30",
            "fraudd request shop-42 --max-age 3600 --wait 30 --json",
        ],
    )
    parser.add_argument("entity_id", type=entity_id, metavar="ID", help="ID of a shop or a user")
    parser.add_argument(
        "--wait",
        type=seconds,
        default=0.0,
        metavar="SECONDS",
        help="maximum number of seconds to wait for the run (default: 0)",
    )
    parser.add_argument(
        "--max-age",
        type=seconds,
        metavar="SECONDS",
        help="start a new run if the stored score is older than SECONDS"
        " (default: set in the daemon's configuration)",
    )
    parser.add_argument(
        "--force", action="store_true", help="start a new run even if a score is stored"
    )
    add_client_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Request the score and print it."""

    async def request(client: Client) -> int:
        prediction = await client.predict(
            arguments.entity_id,
            wait=arguments.wait,
            max_age_seconds=arguments.max_age,
            force=arguments.force,
        )
        show(prediction, as_json=arguments.json)
        if prediction.pending and arguments.wait:
            say(f"the run has not ended within {arguments.wait:g} s; it continues")
            return 1
        return 1 if prediction.status == "failed" else 0

    return call(arguments, request)
