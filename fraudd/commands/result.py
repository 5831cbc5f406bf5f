"""``fraudd result``: gets the stored result of an entity."""

import argparse

from fraudd.client import Client
from fraudd.commands.arguments import add_client_arguments, describe, entity_id
from fraudd.commands.daemon_call import call, show
from fraudd.commands.terminal import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Set the help and the arguments of the subcommand."""
    describe(
        parser,
        "Print the stored result of an entity; start no run. The exit status is 1 if the run"
        " failed or the entity has no prediction.",
        examples=["fraudd result shop-42", "fraudd result shop-42 --json"],
    )
    parser.add_argument("entity_id", type=entity_id, metavar="ID", help="ID of a shop or a user")
    add_client_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Get the result and print it."""

    async def get(client: Client) -> int:
        prediction = await client.get(arguments.entity_id)
        if prediction is None:
            say(
                f"{arguments.entity_id} has no prediction, or it has expired."
                f" Run: fraudd request {arguments.entity_id}"
            )
            return 1
        show(prediction, as_json=arguments.json)
        return 1 if prediction.status == "failed" else 0

    return call(arguments, get)
