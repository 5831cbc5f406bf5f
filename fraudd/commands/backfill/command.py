"""``fraudd backfill``: scores a file of IDs in the bulk lane, and resumes if interrupted."""

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path

from fraudd.client import Client, Problem
from fraudd.clock import SystemClock
from fraudd.commands.arguments import add_client_arguments, describe, seconds
from fraudd.commands.backfill.journal import Journal, JournalError, Row
from fraudd.commands.backfill.progress import Report
from fraudd.commands.backfill.run import Backfill, Pace
from fraudd.commands.daemon_call import call
from fraudd.commands.terminal import say
from fraudd.prediction.record import ENTITY_ID, ENTITY_ID_RULE

#: The backfill gives up on a daemon that is unreachable or busy for this long.
_TIMEOUT_SECONDS = 600.0
_MAX_CONCURRENCY = 100_000
_MAX_RATE = 10_000.0
#: Default number of pending runs. Bulk: enough to keep a fleet busy. Interactive: few, so that
#: other requests hardly wait.
_CONCURRENCY = {"bulk": 1000, "interactive": 4}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Set the help and the arguments of the subcommand."""
    describe(
        parser,
        "Request the score of each ID in a file, in the bulk lane, and wait for all runs."
        " Interactive requests are not delayed. If interrupted or killed, run the same command"
        " to resume: a journal records the progress. The exit status is 1 if any ID has no"
        " score at the end.",
        examples=[
            "fraudd backfill ids.txt --output scores.csv",
            "fraudd backfill ids.txt --rate 20 --max-age 86400",
            "fraudd backfill - --journal ids.journal < ids.txt",
        ],
    )
    parser.add_argument(
        "file", metavar="FILE", help="file of IDs, one per line; - reads standard input"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write the results to FILE as CSV at the end"
    )
    parser.add_argument(
        "--journal",
        type=Path,
        metavar="FILE",
        help="file that records the progress (default: FILE.journal; required with -)",
    )
    parser.add_argument(
        "--lane",
        choices=tuple(_CONCURRENCY),
        default="bulk",
        help="lane of the requests; interactive is for a daemon without a bulk lane"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--concurrency",
        type=_count,
        metavar="N",
        help="maximum number of pending runs (default: 1000; 4 with --lane interactive)",
    )
    parser.add_argument(
        "--rate",
        type=_rate,
        default=100.0,
        metavar="N",
        help="maximum IDs requested per second (default: %(default)g)",
    )
    parser.add_argument(
        "--max-age",
        type=seconds,
        metavar="SECONDS",
        help="start a new run if the stored score is older than SECONDS",
    )
    add_client_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read the IDs, open the journal, and score the IDs that have not ended."""
    if arguments.journal is None and arguments.file == "-":
        say("--journal is required with standard input: it names the file that records progress")
        return 2
    try:
        text = (
            sys.stdin.read() if arguments.file == "-" else Path(arguments.file).read_text("utf-8")
        )
    except (OSError, UnicodeDecodeError) as error:
        say(f"cannot read {arguments.file}: {getattr(error, 'strerror', error)}")
        return 2
    entity_ids, problems = read_ids(text)
    for problem in problems:
        say(problem)
    path = arguments.journal or Path(f"{arguments.file}.journal")
    try:
        with Journal(path, entity_ids) as journal:
            return _score(arguments, entity_ids, journal, invalid=len(problems))
    except JournalError as error:
        say(str(error))
    except OSError as error:
        say(f"cannot use {error.filename or path}: {error.strerror}")
    return 1


def _score(
    arguments: argparse.Namespace, entity_ids: Sequence[str], journal: Journal, *, invalid: int
) -> int:
    """Score all IDs, and remove the journal if all runs have ended."""
    report = Report(journal, len(entity_ids), clock=SystemClock(), as_json=arguments.json)
    pace = Pace(
        lane=arguments.lane,
        concurrency=arguments.concurrency or _CONCURRENCY[arguments.lane],
        rate=arguments.rate,
        max_age_seconds=arguments.max_age,
    )

    async def backfill(client: Client) -> int:
        try:
            await Backfill(client, entity_ids, journal, pace, report.ended).run()
        except Problem as problem:
            if problem.slug != "no-bulk-lane":
                raise
            say(
                "the daemon has no bulk lane. Set [queue] bulk_url, or request a few IDs at a time"
                " with --lane interactive"
            )
            return 1
        return 0

    status = call(arguments, backfill, timeout=_TIMEOUT_SECONDS)
    report.clear()
    if status == 0 and arguments.output is not None:
        write_results(arguments.output, entity_ids, journal)
    if status == 0 or not (journal.requested or journal.ended):
        journal.remove()
    else:
        say(
            f"{journal.requested} of {len(entity_ids)} requested, {len(journal.ended)} ended."
            " Run the same command to resume"
        )
    print(report.summary(invalid=invalid), file=sys.stderr if arguments.json else sys.stdout)
    return status or int(report.done < len(entity_ids) or invalid > 0)


def read_ids(text: str) -> tuple[Sequence[str], Sequence[str]]:
    """Return the distinct IDs of a text with one per line, and a problem for each invalid line."""
    entity_ids: dict[str, None] = {}
    problems = []
    # A spreadsheet writes a byte order mark before the first ID.
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if not (entity_id := line.strip()):
            continue
        if ENTITY_ID.fullmatch(entity_id):
            entity_ids[entity_id] = None
        else:
            problems.append(f"line {number}: {entity_id[:60]!r}: must be {ENTITY_ID_RULE}")
    return list(entity_ids), problems


def write_results(path: Path, entity_ids: Sequence[str], journal: Journal) -> None:
    """Write the rows as CSV in the order of the IDs. A reader never sees a partial file."""
    rows = {row.entity_id: row for row in journal.rows()}
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Row))
        writer.writerows(astuple(rows[entity_id]) for entity_id in entity_ids)
    part.replace(path)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_CONCURRENCY:
        raise argparse.ArgumentTypeError(f"{text[:20]!r}: must be 1 to {_MAX_CONCURRENCY}")
    return int(text)


def _rate(text: str) -> float:
    value = seconds(text)
    if not 0 < value <= _MAX_RATE:
        raise argparse.ArgumentTypeError(f"{text[:20]!r}: must be above 0, up to {_MAX_RATE:g}")
    return value
