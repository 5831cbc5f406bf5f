"""``fraudd check``: checks whether an installation will work, before any client uses it."""

import argparse
import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from fraudd import config
from fraudd.aws.session import open_clients
from fraudd.clock import SystemClock
from fraudd.commands.arguments import describe, entity_id
from fraudd.commands.check.credentials import check_aws_credentials, check_password, check_tokens
from fraudd.commands.check.database import check_database
from fraudd.commands.check.findings import Finding, Findings, failed, ok, warning
from fraudd.commands.check.queues import check_queues
from fraudd.commands.check.regions import judge_regions
from fraudd.commands.check.table import check_table
from fraudd.commands.check.topics import check_topics
from fraudd.config import Config
from fraudd.config.secrets import set_credentials_directory
from fraudd.scoring import feature_files as files
from fraudd.scoring import model
from fraudd.scoring.feature_files import FeatureFiles
from fraudd.scoring.model import XgboostModel
from fraudd.wiring import aws_terms

#: The package's units read the files of an instance here.
INSTANCES = Path("/etc/fraudd")
_INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Set the help and the arguments of the subcommand."""
    describe(
        parser,
        "Check whether an installation will work: configuration, secrets, model, AWS, database,"
        " feature files and query plans. Print one finding per line: ok, warning or failed, with"
        " a fix below it. Change nothing. The exit status is 1 if anything failed, 78 if the"
        " configuration is wrong.",
        examples=[
            "fraudd check shop",
            "fraudd check --config fraudd.toml --entity shop-42",
            "fraudd check --config fraudd.toml --json",
        ],
    )
    installation = parser.add_mutually_exclusive_group(required=True)
    installation.add_argument(
        "instance",
        nargs="?",
        type=_instance,
        metavar="INSTANCE",
        help=f"name of a systemd instance; its files are in {INSTANCES}/INSTANCE",
    )
    installation.add_argument(
        "--config", type=Path, metavar="FILE", help="path of the configuration file"
    )
    parser.add_argument(
        "--entity",
        type=entity_id,
        action="append",
        default=[],
        metavar="ID",
        help="check the query plans and the score of this entity (default: the entities of the"
        " '-- sample:' lines); may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print all findings as one JSON list")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check everything and print the findings."""
    path = arguments.config
    if path is None:
        path = INSTANCES / arguments.instance / "fraudd.toml"
        set_credentials_directory(path.parent)
    settings = config.load(path)
    findings = Findings((lambda _: None) if arguments.json else _print)
    findings.add(ok(f"configuration: {path}"))
    asyncio.run(examine(settings, arguments.entity, findings))
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings.all]))
    else:
        print(findings.summary)
    return 1 if findings.any_failed else 0


async def examine(settings: Config, entities: Sequence[str], findings: Findings) -> None:
    """Check everything that a daemon needs. Go on after a failure if that makes sense.

    Query plans are checked for ``entities``, or for those of the samples if there are none.
    """
    check_tokens(settings, findings)
    feature_files: FeatureFiles | None = None
    scorer: XgboostModel | None = None
    with findings.caught("features: "):
        feature_files = files.load(settings.features.directory)
    with findings.caught("model: "):
        if feature_files is not None:
            scorer = _check_model(settings, feature_files, findings)
    regions = list(judge_regions(settings))
    findings.add(*regions)
    if all(finding.level == "ok" for finding in regions):
        with findings.caught():
            await _check_aws(settings, findings)
    if check_password(settings, findings):
        await check_database(settings, feature_files, scorer, entities, findings)


def _check_model(settings: Config, feature_files: FeatureFiles, findings: Findings) -> XgboostModel:
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
                f"model: {settings.model.path} was trained with other feature SQL",
                fix="train it again with 'fraudd train'",
            )
        )
    return scorer


async def _check_aws(settings: Config, findings: Findings) -> None:
    async with open_clients(aws_terms(settings), lambda _: None, SystemClock()) as clients:
        if await check_aws_credentials(settings, clients, findings):
            await check_table(settings.results.table, clients, findings)
            queues = await check_queues(settings, clients, findings)
            await check_topics(settings, clients, queues, findings)
        if clients.skew.blocked_by:
            findings.add(failed(f"clock: {clients.skew.blocked_by}"))
        elif clients.skew.compared:
            findings.add(ok("clock: agrees with AWS"))


def _print(finding: Finding) -> None:
    print(f"{finding.level:<7}  {finding.detail}", flush=True)
    if finding.fix:
        print(f"         fix: {finding.fix}", flush=True)


def _instance(text: str) -> str:
    if not _INSTANCE.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text[:60]!r}: must be the name of a folder in {INSTANCES}"
        )
    return text
