"""``fraudd train``: trains the model on labels, and says what it is worth."""

import argparse
import asyncio
import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fraudd import config
from fraudd.clock import SystemClock
from fraudd.config import Config
from fraudd.database.connections import Connections
from fraudd.scoring import feature_files as files
from fraudd.scoring.features import SqlFeatures
from fraudd.scoring.training import train as training
from fraudd.scoring.training.dataset import gather, read_labels
from fraudd.scoring.training.train import Report
from fraudd.wiring import database_permits, database_server


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Say what the subcommand takes."""
    parser = commands.add_parser(
        "train",
        help="train the model on labels",
        description="Run the feature SQL at each label's time, train a model on the earlier part,"
        " measure it on the later part, and write it to [model] path.",
    )
    parser.add_argument("--config", type=Path, required=True, help="the configuration file")
    parser.add_argument(
        "--labels", type=Path, required=True, help="CSV: entity_id,as_of (RFC 3339),label (0 or 1)"
    )
    parser.add_argument(
        "--label-delay-days",
        type=_days,
        default=21.0,
        help="how long after its time a label is known for sure (default: 21)",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry the subcommand out."""
    settings = config.load(arguments.config)
    report = asyncio.run(
        train_model(
            settings,
            arguments.labels,
            label_delay_days=arguments.label_delay_days,
            kinds={},
            progress=_to_stderr if sys.stderr.isatty() else lambda *_: None,
        )
    )
    print(json.dumps(asdict(report)) if arguments.json else describe(report))
    print(f"written to {settings.model.path}", file=sys.stderr)
    return 0


async def train_model(
    settings: Config,
    labels_file: Path,
    *,
    label_delay_days: float,
    kinds: Mapping[str, str],
    progress: Callable[[int, int], None],
) -> Report:
    """Train and write the model; ``progress`` is told how many labels of how many are done.

    Raises ``Misconfigured`` or what ``ports`` lists.
    """
    feature_files = files.load(settings.features.directory)
    labels = read_labels(labels_file)
    clock = SystemClock()
    permits = database_permits(settings, clock)
    connections = Connections(database_server(settings), permits, clock=clock)
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        progress(done, len(labels))

    try:
        features = SqlFeatures(feature_files, connections, clock)
        vectors = await gather(features, connections, permits, labels, count)
    finally:
        await connections.close()
    booster, report = training.train(vectors, label_delay_days=label_delay_days, kinds=kinds)
    training.save(
        booster,
        report,
        settings.model.path,
        sql_digest=feature_files.digest,
        trained_at=clock.now(),
    )
    return report


def describe(report: Report) -> str:
    """Say in a few lines what a model is worth."""
    recall = ", ".join(f"{kind} {share:.0%}" for kind, share in report.recall.items())
    return (
        f"trained on {report.train_rows} labels, tested on the {report.test_rows}"
        f" from {report.test_from[:10]} on ({report.fraud_rate:.1%} fraud)\n"
        f"AUC {report.auc:.3f}, average precision {report.average_precision:.3f}\n"
        f"review from {report.review_threshold:.3f} on, block from"
        f" {report.block_threshold:.3f} on; found for review: {recall}"
    )


def _days(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text[:20]}: must be a number of days, 0 or more")
    return value


def _to_stderr(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\rfeatures of {done}/{total} labels", end=end, file=sys.stderr, flush=True)
