"""``fraudd train``: trains the model on labels and measures it."""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from fraudd import config
from fraudd.clock import SystemClock
from fraudd.commands.arguments import add_config, days, describe
from fraudd.config import Config
from fraudd.database.connections import Connections
from fraudd.scoring import feature_files as files
from fraudd.scoring.features import SqlFeatures
from fraudd.scoring.training import train as training
from fraudd.scoring.training.dataset import gather, read_labels
from fraudd.scoring.training.train import Report
from fraudd.wiring import database_permits, database_server


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Set the help and the arguments of the subcommand."""
    describe(
        parser,
        "Compute the features of each label as of its time. Train a model on the earlier labels,"
        " and measure it on the later ones. Write the model to [model] path.",
        examples=[
            "fraudd train --config fraudd.toml --labels labels.csv",
            "fraudd train --config fraudd.toml --labels labels.csv --label-delay-days 45 --json",
        ],
    )
    add_config(parser)
    parser.add_argument(
        "--labels",
        type=Path,
        required=True,
        metavar="FILE",
        help="CSV file of labels: entity_id,as_of (RFC 3339),label (0 or 1)",
    )
    parser.add_argument(
        "--label-delay-days",
        type=days,
        default=21.0,
        metavar="DAYS",
        help="number of days until a label is final (default: %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train, write the model and print the report."""
    settings = config.load(arguments.config)
    report = asyncio.run(
        train_model(
            settings,
            arguments.labels,
            label_delay_days=arguments.label_delay_days,
            kinds={},
            progress=_show_progress if sys.stderr.isatty() else lambda *_: None,
        )
    )
    print(json.dumps(asdict(report)) if arguments.json else summary(report))
    print(f"wrote {settings.model.path}", file=sys.stderr)
    return 0


async def train_model(
    settings: Config,
    labels_file: Path,
    *,
    label_delay_days: float,
    kinds: Mapping[str, str],
    progress: Callable[[int, int], None],
) -> Report:
    """Train and write the model. ``progress`` gets the number of labels done and their total.

    Raises ``Misconfigured`` and the errors of the ports.
    """
    feature_files = files.load(settings.features.directory)
    labels = read_labels(labels_file)
    clock = SystemClock()
    permits = database_permits(settings, clock)
    connections = Connections(database_server(settings), permits, clock=clock)
    done = 0

    def add(count: int) -> None:
        nonlocal done
        done += count
        progress(done, len(labels))

    try:
        features = SqlFeatures(feature_files, connections, clock)
        vectors = await gather(features, connections, permits, labels, add)
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


def summary(report: Report) -> str:
    """Summarize the quality of a model in a few lines."""
    recall = ", ".join(f"{kind} {fraction:.0%}" for kind, fraction in report.recall.items())
    return (
        f"trained on {report.train_rows} labels, tested on {report.test_rows}"
        f" since {report.test_from[:10]} ({report.fraud_rate:.1%} fraud)\n"
        f"AUC {report.auc:.3f}, average precision {report.average_precision:.3f}\n"
        f"thresholds: review {report.review_threshold:.3f}, block {report.block_threshold:.3f};"
        f" recall at review: {recall}"
    )


def _show_progress(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\rfeatures of {done}/{total} labels", end=end, file=sys.stderr, flush=True)
