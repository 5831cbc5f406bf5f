"""``fraudd check``: says whether an installation will work, before anybody depends on it."""

import argparse
import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from fraudd import config
from fraudd.aws.dynamodb import DynamoDbStore
from fraudd.aws.session import open_clients
from fraudd.clock import SystemClock
from fraudd.commands.arguments import entity_id
from fraudd.commands.check_database import see_database
from fraudd.commands.findings import Finding, Findings
from fraudd.config import Config
from fraudd.scoring import files, model
from fraudd.scoring.files import FeatureFiles
from fraudd.wiring import aws_terms, sns_topics, sqs_queue, tokens


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Say what the subcommand takes."""
    parser = commands.add_parser(
        "check",
        help="say whether an installation will work",
        description="Look at configuration, model, table, queue, topics, database, feature files"
        " and query plans, and say what is wrong and what to do, a line each. Changes nothing.",
    )
    parser.add_argument("--config", type=Path, required=True, help="the configuration file")
    parser.add_argument(
        "--entity",
        type=entity_id,
        action="append",
        default=[],
        metavar="ID",
        help="look at the query plans for this entity, not for those of the '-- sample:' lines;"
        " may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print a list of objects as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry the subcommand out."""
    settings = config.load(arguments.config)
    findings = Findings((lambda _: None) if arguments.json else _print)
    findings.ok(f"configuration: {arguments.config}")
    asyncio.run(examine(settings, arguments.entity, findings))
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings.all]))
    return 1 if findings.bad else 0


async def examine(settings: Config, entities: Sequence[str], findings: Findings) -> None:
    """Look at all that a daemon needs, going on after a problem where that makes sense.

    The query plans are looked at for ``entities``; without any, for those of the samples.
    """
    with findings.caught():
        callers = tokens(settings)
        if callers is not None:
            findings.ok(f"tokens: {len(callers)}")
    feature_files: FeatureFiles | None = None
    with findings.caught():
        feature_files = files.load(settings.features.directory)
        _see_model(settings, feature_files, findings)
    await _see_aws(settings, findings)
    await see_database(settings, feature_files, entities, findings)


def _see_model(settings: Config, feature_files: FeatureFiles, findings: Findings) -> None:
    scorer = model.load(
        settings.model.path,
        feature_files,
        review_threshold=settings.model.review_threshold,
        block_threshold=settings.model.block_threshold,
    )
    scorer.score(dict.fromkeys(feature_files.features, math.nan))
    findings.ok(f"model: {scorer.version} fits {len(feature_files.features)} features")
    if not scorer.same_sql:
        findings.note(
            f"model: {settings.model.path} was trained with other SQL than is served;"
            " train it again with 'fraudd train'"
        )


async def _see_aws(settings: Config, findings: Findings) -> None:
    clock = SystemClock()
    async with open_clients(aws_terms(settings), lambda _: None, clock) as clients:
        with findings.caught():
            await DynamoDbStore(clients, settings.results.table).check()
            findings.ok(f"store: table {settings.results.table}")
        with findings.caught():
            await sqs_queue(settings, clients, clock).check()
            findings.ok(f"queue: {settings.queue.url}, with a dead-letter queue")
        with findings.caught():
            await sns_topics(settings, clients).check()
            findings.ok("topics: both are there")
        if clients.skew.trouble:
            findings.problem(f"clock: {clients.skew.trouble}")


def _print(finding: Finding) -> None:
    print(f"{finding.verdict:<7}  {finding.detail}", flush=True)
