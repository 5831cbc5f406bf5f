"""``fraudd provision``: creates topics, queues and table on AWS, or prints the changes."""

import argparse
import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fraudd import config
from fraudd.aws.provisioning.apply import Provisioned, carry_out, provisioned, whereabouts
from fraudd.aws.provisioning.describe import current_attributes
from fraudd.aws.provisioning.plan import Action, Step, plan
from fraudd.aws.provisioning.resources import NAME, NAME_RULE, Names, Place, installation
from fraudd.aws.session import AwsTerms, open_clients
from fraudd.clock import SystemClock
from fraudd.commands.arguments import describe
from fraudd.config import Config
from fraudd.config.schema import QueueSection
from fraudd.errors import Misconfigured
from fraudd.wiring import aws_terms

_SIGNS: dict[Action, str] = {"create": "+", "update": "~", "keep": "=", "refuse": "!"}
#: The default of ``[queue] visibility_timeout_seconds``.
_VISIBILITY: int = QueueSection.model_fields["visibility_timeout_seconds"].default


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Set the help and the arguments of the subcommand."""
    describe(
        parser,
        "Create the AWS resources of an installation: two topics, the queue with its"
        " subscription, the bulk queue, their dead-letter queue, the table with its index."
        " Existing resources are updated if they differ; nothing is ever deleted. Credentials"
        " come from the environment, a profile or a role, as in every AWS SDK.",
        examples=[
            "fraudd provision --name fraudd-shop --region eu-central-1 --plan",
            "fraudd provision --name fraudd-shop --region eu-central-1",
            "fraudd provision --config fraudd.toml",
        ],
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="path of the configuration file, which names region and resources",
    )
    parser.add_argument(
        "--name", type=_name, help="prefix of all resource names (use instead of --config)"
    )
    parser.add_argument(
        "--region",
        type=_region,
        help="AWS region, for example eu-central-1 (use instead of --config)",
    )
    parser.add_argument("--plan", action="store_true", help="print the changes; change nothing")
    parser.add_argument("--json", action="store_true", help="print one object as JSON")
    parser.set_defaults(run=run, usage_error=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Plan the changes and make them."""
    by_name = arguments.name is not None and arguments.region is not None
    neither = arguments.name is None and arguments.region is None
    if not (by_name if arguments.config is None else neither):
        arguments.usage_error("give either --config, or --name and --region")
    settings = None if arguments.config is None else config.load(arguments.config)
    name = arguments.name if settings is None else settings.results.table
    if not NAME.fullmatch(name):
        raise Misconfigured(
            f"[results] table = {name[:80]!r}: must be {NAME_RULE}; it is the prefix of all"
            " resource names"
        )
    return asyncio.run(_provision(name, settings, arguments))


async def _provision(name: str, settings: Config | None, arguments: argparse.Namespace) -> int:
    terms = _terms(arguments.region) if settings is None else aws_terms(settings)
    visibility = _VISIBILITY if settings is None else settings.queue.visibility_timeout_seconds
    async with open_clients(terms, lambda _: None, SystemClock()) as clients:
        place = await whereabouts(clients)
        if settings is not None and (problems := misnamed(settings, Names(name), place)):
            raise Misconfigured(*problems)
        parts = installation(name, place, visibility_timeout_seconds=visibility)
        steps = plan(parts, await current_attributes(clients, parts, place))
        if not arguments.json:
            print("\n".join(plan_lines(steps, place)), flush=True)
        made = None
        refused = any(step.action == "refuse" for step in steps)
        if not refused and not arguments.plan:
            begin = (lambda _: None) if arguments.json else _begin
            await carry_out(clients, steps, place, begin=begin)
            made = await provisioned(clients, name, place)
        if arguments.json:
            print(json.dumps(as_json(steps, place, made), indent=2))
        elif made is not None:
            print(f"done\n\n{toml(made, place)}", end="")
        elif refused:
            print("fraudd: nothing was changed; resolve the lines with ! first", file=sys.stderr)
    return 1 if refused else 0


def _begin(step: Step) -> None:
    print(f"{step.action.removesuffix('e')}ing {step.part.kind} {step.part.name}", flush=True)


def misnamed(settings: Config, names: Names, place: Place) -> list[str]:
    """Return the keys whose resource differs from the one that would be created."""
    urls = {
        "[queue] url": (settings.queue.url, names.name),
        "[queue] bulk_url": (settings.queue.bulk_url, names.bulk),
        "[queue] dead_letter_url": (settings.queue.dead_letter_url, names.dead),
    }
    arns = {
        "[topics] requests_arn": (settings.topics.requests_arn, names.requests),
        "[topics] completions_arn": (settings.topics.completions_arn, names.completions),
    }
    reason = f"the credentials are of account {place.account}, so it must"
    return [
        f"{key} = {url[:200]!r}: {reason} end with /{place.account}/{name}"
        for key, (url, name) in urls.items()
        if url is not None and not url.endswith(f"/{place.account}/{name}")
    ] + [
        f"{key} = {arn[:200]!r}: {reason} be {place.arn('sns', name)}"
        for key, (arn, name) in arns.items()
        if arn != place.arn("sns", name)
    ]


def plan_lines(steps: Sequence[Step], place: Place) -> Iterator[str]:
    """Describe a plan: a line for each resource and for each changed attribute."""
    yield f"account {place.account}, region {place.region}"
    for step in steps:
        yield f"{_SIGNS[step.action]} {step.part.kind:<12} {step.part.name}"
        if step.action == "create":
            for change in step.changes:
                yield f"    {change.attribute}: {_short(change.new)}"
        if step.action == "update":
            for change in step.changes:
                yield f"    {change.attribute}: {_short(change.old)} → {_short(change.new)}"
        for problem in step.problems:
            yield f"    {problem}"
    counts = Counter(step.action for step in steps)
    if counts["keep"] == len(steps):
        yield "nothing to change"
        return
    summary = (
        f"{counts['create']} to create, {counts['update']} to update, {counts['keep']} unchanged"
    )
    yield summary + (f", {counts['refuse']} blocked" if counts["refuse"] else "")


def as_json(steps: Sequence[Step], place: Place, made: Provisioned | None) -> dict[str, Any]:
    """Return a plan as JSON. ``made`` is null if nothing was changed."""
    return {
        "account": place.account,
        "region": place.region,
        "steps": [
            {
                "action": step.action,
                "kind": step.part.kind,
                "name": step.part.name,
                "changes": [asdict(change) for change in step.changes],
                "problems": step.problems,
            }
            for step in steps
        ],
        "made": made and asdict(made),
    }


def toml(made: Provisioned, place: Place) -> str:
    """Return the lines of ``fraudd.toml`` that name the created resources."""
    return (
        f'[aws]\nregion = "{place.region}"\n\n'
        f'[queue]\nurl = "{made.queue_url}"\nbulk_url = "{made.bulk_url}"\n\n'
        f'[topics]\nrequests_arn = "{made.requests_arn}"\n'
        f'completions_arn = "{made.completions_arn}"\n\n'
        f'[results]\ntable = "{made.table}"\n'
    )


def _short(value: Any) -> str:
    return "none" if value is None else json.dumps(value)


def _terms(region: str) -> AwsTerms:
    """Return the settings of calls without a configuration: long time-outs, few connections."""
    return AwsTerms(
        region=region,
        endpoint_url=None,
        connect_timeout_seconds=5.0,
        read_timeout_seconds=30.0,
        max_connections=2,
        poll_seconds=30.0,
    )


def _region(text: str) -> str:
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d+", text):
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r}: must be a region name, for example eu-central-1"
        )
    return text


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text[:80]!r}: must be {NAME_RULE}")
    return text
