"""``fraudd check``: says whether an installation will work, before anybody depends on it."""

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from fraudd import config
from fraudd.aws.session import open_clients
from fraudd.clock import SystemClock
from fraudd.commands.arguments import entity_id
from fraudd.commands.check.credentials import see_aws_credentials, see_password, see_tokens
from fraudd.commands.check.database import see_database
from fraudd.commands.check.findings import Finding, Findings, failed, ok, warning
from fraudd.commands.check.queues import see_queues
from fraudd.commands.check.regions import judge_regions
from fraudd.commands.check.table import see_table
from fraudd.commands.check.topics import see_topics
from fraudd.config import Config
from fraudd.scoring import feature_files as files
from fraudd.scoring import model
from fraudd.scoring.feature_files import FeatureFiles
from fraudd.scoring.model import XgboostModel
from fraudd.wiring import aws_terms


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Say what the subcommand takes."""
    parser = commands.add_parser(
        "check",
        help="say whether an installation will work",
        description="Look at configuration, secrets, model, table, queues, topics, database,"
        " account, feature files and query plans, and say of each whether it is ok, deserves a"
        " warning, or failed, and what to do, a line each. Changes nothing. Exit status 1 if"
        " anything failed, 78 if the configuration is wrong.",
    )
    parser.add_argument("--config", type=Path, required=True, help="the configuration file")
    parser.add_argument(
        "--entity",
        type=entity_id,
        action="append",
        default=[],
        metavar="ID",
        help="look at the query plans and the score of this entity, not at those of the"
        " '-- sample:' lines; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print a list of objects as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry the subcommand out."""
    settings = config.load(arguments.config)
    findings = Findings((lambda _: None) if arguments.json else _print)
    findings.add(ok(f"configuration: {arguments.config}"))
    asyncio.run(examine(settings, arguments.entity, findings))
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings.all]))
    else:
        print(findings.summary)
    return 1 if findings.bad else 0


async def examine(settings: Config, entities: Sequence[str], findings: Findings) -> None:
    """Look at all that a daemon needs, going on after a failure where that makes sense.

    The query plans are looked at for ``entities``; without any, for those of the samples.
    """
    see_tokens(settings, findings)
    feature_files: FeatureFiles | None = None
    scorer: XgboostModel | None = None
    with findings.caught("features: "):
        feature_files = files.load(settings.features.directory)
    with findings.caught("model: "):
        if feature_files is not None:
            scorer = _see_model(settings, feature_files, findings)
    regions = list(judge_regions(settings))
    findings.add(*regions)
    if all(finding.verdict == "ok" for finding in regions):
        with findings.caught():
            await _see_aws(settings, findings)
    if see_password(settings, findings):
        await see_database(settings, feature_files, scorer, entities, findings)


def _see_model(settings: Config, feature_files: FeatureFiles, findings: Findings) -> XgboostModel:
    scorer = model.load(
        settings.model.path,
        feature_files,
        review_threshold=settings.model.review_threshold,
        block_threshold=settings.model.block_threshold,
        probe=True,
    )
    scorer.try_out({})
    findings.add(ok(f"model: {scorer.version} fits {len(feature_files.features)} features"))
    if not scorer.same_sql:
        findings.add(
            warning(
                f"model: {settings.model.path} was trained with other SQL than is served;"
                " train it again with 'fraudd train'"
            )
        )
    return scorer


async def _see_aws(settings: Config, findings: Findings) -> None:
    async with open_clients(aws_terms(settings), lambda _: None, SystemClock()) as clients:
        if await see_aws_credentials(settings, clients, findings):
            await see_table(settings.results.table, clients, findings)
            queues = await see_queues(settings, clients, findings)
            await see_topics(settings, clients, queues, findings)
        if clients.skew.blocked_by:
            findings.add(failed(f"clock: {clients.skew.blocked_by}"))
        elif clients.skew.compared:
            findings.add(ok("clock: agrees with that of AWS"))


def _print(finding: Finding) -> None:
    print(f"{finding.verdict:<7}  {finding.detail}", flush=True)
