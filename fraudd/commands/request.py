"""``fraudd request``: asks a daemon for a score."""

import argparse

from fraudd.client import Client
from fraudd.commands import common as calling
from fraudd.commands.arguments import entity_id


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Say what the subcommand takes."""
    parser = commands.add_parser(
        "request",
        help="ask a daemon for a score",
        description="Print the stored score, or start a run; with --wait, print the score when the"
        " run has ended. Status 1 if it failed, or did not end in that time.",
    )
    parser.add_argument("entity_id", type=entity_id, metavar="ID", help="a shop or a user")
    parser.add_argument(
        "--wait",
        type=calling.seconds,
        default=0.0,
        metavar="SECONDS",
        help="how long to wait for the score (default: not at all)",
    )
    parser.add_argument(
        "--max-age",
        type=calling.seconds,
        metavar="SECONDS",
        help="start a run if the stored score is older (default: as the daemon is configured)",
    )
    parser.add_argument("--force", action="store_true", help="start a run whatever is stored")
    calling.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry the subcommand out."""

    async def ask(client: Client) -> int:
        prediction = await client.predict(
            arguments.entity_id,
            wait=arguments.wait,
            max_age_seconds=arguments.max_age,
            force=arguments.force,
        )
        calling.show(prediction, as_json=arguments.json)
        if prediction.pending and arguments.wait:
            calling.say(f"the run has not ended after {arguments.wait:g} s; it goes on")
            return 1
        return 1 if prediction.status == "failed" else 0

    return calling.call(arguments, ask)
