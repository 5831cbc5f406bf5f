"""``fraudd serve``: runs the daemon."""

import argparse
import asyncio
from pathlib import Path

from fraudd import config
from fraudd.daemon.daemon import serve
from fraudd.telemetry import log


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Set the help and the arguments of the subcommand."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = "Answer requests for scores and compute them, until SIGTERM or SIGINT."
    parser.epilog = (
        "examples:\n"
        "  fraudd serve --config /etc/fraudd/shop/fraudd.toml\n"
        "  systemctl start fraudd@shop"
    )
    parser.add_argument(
        "--config",
        type=Path,
        required=True,
        metavar="FILE",
        help="path of the configuration file",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the daemon until a signal stops it."""
    settings = config.load(arguments.config)
    with log.in_background(
        level=settings.log.level, form=settings.log.format, report=_report_dropped
    ):
        asyncio.run(serve(settings))
    return 0


def _report_dropped(count: int) -> None:
    log.warning("log.lines_dropped", count=count)
