"""``fraudd provision``: makes topics, queues and table on AWS, or says what it would change."""

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
from fraudd.config import Config
from fraudd.config.schema import QueueSection
from fraudd.errors import Misconfigured
from fraudd.wiring import aws_terms

_SIGNS: dict[Action, str] = {"create": "+", "update": "~", "keep": "=", "refuse": "!"}
#: As a configuration that does not name one.
_VISIBILITY: int = QueueSection.model_fields["visibility_timeout_seconds"].default


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Say what the subcommand takes."""
    parser = commands.add_parser(
        "provision",
        help="make topics, queues and table on AWS",
        description="Make what an installation needs on AWS: two topics, the queue with its"
        " subscription, the bulk queue, their dead-letter queue, the table with its index. What is"
        " there already is changed where it differs; nothing is ever deleted. Credentials are"
        " those of the AWS SDK: environment, profile or role.",
    )
    parser.add_argument(
        "--config", type=Path, help="the configuration file: region, and the names of all parts"
    )
    parser.add_argument("--name", type=_name, help="without --config: what all is named after")
    parser.add_argument("--region", type=_region, help="without --config: where, as eu-central-1")
    parser.add_argument(
        "--plan", action="store_true", help="only say what would be created and changed"
    )
    parser.add_argument("--json", action="store_true", help="print an object as JSON")
    parser.set_defaults(run=run, misused=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Carry the subcommand out."""
    by_name = arguments.name is not None and arguments.region is not None
    neither = arguments.name is None and arguments.region is None
    if not (by_name if arguments.config is None else neither):
        arguments.misused("give either --config, or --name and --region")
    settings = None if arguments.config is None else config.load(arguments.config)
    name = arguments.name if settings is None else settings.results.table
    if not NAME.fullmatch(name):
        raise Misconfigured(
            f"[results] table = {name[:80]!r}: all is named after it, so it must be {NAME_RULE}"
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
            print("\n".join(describe(steps, place)), flush=True)
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
            print("fraudd: nothing was changed: see the lines with !", file=sys.stderr)
    return 1 if refused else 0


def _begin(step: Step) -> None:
    print(f"{step.action.removesuffix('e')}ing {step.part.kind} {step.part.name}", flush=True)


def misnamed(settings: Config, names: Names, place: Place) -> list[str]:
    """Say which parts of a configuration are not those of the installation that is made."""
    urls = {
        "[queue] url": (settings.queue.url, names.name),
        "[queue] bulk_url": (settings.queue.bulk_url, names.bulk),
        "[queue] dead_letter_url": (settings.queue.dead_letter_url, names.dead),
    }
    arns = {
        "[topics] requests_arn": (settings.topics.requests_arn, names.requests),
        "[topics] completions_arn": (settings.topics.completions_arn, names.completions),
    }
    why = f"[results] table and the account of the credentials ({place.account}) make it"
    return [
        f"{key} = {url[:200]!r}: {why} one that ends with /{place.account}/{name}"
        for key, (url, name) in urls.items()
        if url is not None and not url.endswith(f"/{place.account}/{name}")
    ] + [
        f"{key} = {arn[:200]!r}: {why} {place.arn('sns', name)}"
        for key, (arn, name) in arns.items()
        if arn != place.arn("sns", name)
    ]


def describe(steps: Sequence[Step], place: Place) -> Iterator[str]:
    """Write a plan, a line for each part and each attribute that changes."""
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
    told = f"{counts['create']} to create, {counts['update']} to update, {counts['keep']} unchanged"
    yield told + (f", {counts['refuse']} in the way" if counts["refuse"] else "")


def as_json(steps: Sequence[Step], place: Place, made: Provisioned | None) -> dict[str, Any]:
    """Write a plan for programs; ``made`` is null where nothing was carried out."""
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
    """Write the lines of ``fraudd.toml`` that name what was made."""
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
    """Reach AWS patiently, one call at a time."""
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
        raise argparse.ArgumentTypeError(f"{text[:40]!r}: must be a region's name, as eu-central-1")
    return text


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text[:80]!r}: must be {NAME_RULE}")
    return text
