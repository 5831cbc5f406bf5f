"""``fraudd result``: what a daemon knows of an entity."""

import argparse

from fraudd.client import Client
from fraudd.commands import common as calling
from fraudd.commands.arguments import entity_id


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Say what the subcommand takes."""
    parser = commands.add_parser(
        "result",
        help="look up what is known of an entity",
        description="Print what is known of an entity; starts nothing. Status 1 if its run failed,"
        " or if no score of it was ever asked for.",
    )
    parser.add_argument("entity_id", type=entity_id, metavar="ID", help="a shop or a user")
    calling.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry the subcommand out."""

    async def look_up(client: Client) -> int:
        prediction = await client.look_up(arguments.entity_id)
        if prediction is None:
            calling.say(f"no score was ever asked for {arguments.entity_id}")
            return 1
        calling.show(prediction, as_json=arguments.json)
        return 1 if prediction.status == "failed" else 0

    return calling.call(arguments, look_up)
