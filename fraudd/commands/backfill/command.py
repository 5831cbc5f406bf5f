"""``fraudd backfill``: asks for many scores, behind all that others ask for, and goes on if cut."""

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path

from fraudd.client import Client, Prediction, Problem
from fraudd.clock import SystemClock
from fraudd.commands import common as calling
from fraudd.commands.backfill.journal import Journal, Row, Unusable
from fraudd.commands.backfill.progress import Progress
from fraudd.commands.backfill.run import Terms, Work, tally
from fraudd.ports import Clock
from fraudd.prediction.record import ENTITY_ID, ENTITY_ID_RULE

#: A daemon that is away, or too busy, is waited for so long before the whole is given up.
_PATIENCE_SECONDS = 600.0
_MAX_AT_ONCE = 100_000
_FASTEST = 10_000.0
#: How many are pending at a time: enough for a fleet, or so few that nobody waits long for them.
_CONCURRENCY = {"bulk": 1000, "interactive": 4}


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Say what the subcommand takes."""
    parser = commands.add_parser(
        "backfill",
        help="ask for many scores, behind all that others ask for",
        description="Ask for the score of each id of a file in the bulk lane, so that nobody else"
        " waits for them, and wait until all have ended. Cut off, even killed, the same command"
        " goes on where it was: a journal says what was asked for. Status 1 if any id has no score"
        " in the end.",
    )
    parser.add_argument("file", metavar="FILE", help="ids, one a line; - is standard input")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write the results there as CSV in the end"
    )
    parser.add_argument(
        "--journal",
        type=Path,
        metavar="FILE",
        help="where to note how far it is (default: FILE.journal; needed with -)",
    )
    parser.add_argument(
        "--lane",
        choices=tuple(_CONCURRENCY),
        default="bulk",
        help="interactive: among all other requests, a few at a time (default: %(default)s)",
    )
    parser.add_argument(
        "--concurrency",
        type=_count,
        metavar="N",
        help="so many runs are pending at a time (default: 1000; 4 in the interactive lane)",
    )
    parser.add_argument(
        "--rate",
        type=_rate,
        default=100.0,
        metavar="N",
        help="so many ids a second at most (default: %(default)g)",
    )
    parser.add_argument(
        "--max-age",
        type=calling.seconds,
        metavar="SECONDS",
        help="start a run where the stored score is older",
    )
    calling.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry the subcommand out."""
    if arguments.journal is None and arguments.file == "-":
        calling.say("--journal says where to note how far it is: needed with standard input")
        return 2
    try:
        text = (
            sys.stdin.read() if arguments.file == "-" else Path(arguments.file).read_text("utf-8")
        )
    except (OSError, UnicodeDecodeError) as error:
        calling.say(f"cannot read {arguments.file}: {getattr(error, 'strerror', error)}")
        return 2
    entity_ids, refused = read_ids(text)
    for complaint in refused:
        calling.say(complaint)
    path = arguments.journal or Path(f"{arguments.file}.journal")
    try:
        with Journal(path, entity_ids) as journal:
            return _fill(arguments, entity_ids, journal, refused=len(refused), clock=SystemClock())
    except Unusable as error:
        calling.say(str(error))
    except OSError as error:
        calling.say(f"cannot use {error.filename or path}: {error.strerror}")
    return 1


def _fill(
    arguments: argparse.Namespace,
    entity_ids: Sequence[str],
    journal: Journal,
    *,
    refused: int,
    clock: Clock,
) -> int:
    """Ask for all, tell what came of them, and leave no journal where all have ended."""
    came_to = Counter(row.status for row in journal.rows())
    progress = Progress(len(entity_ids), len(journal.ended), clock)

    def told(row: Row, prediction: Prediction | None) -> None:
        came_to[row.status] += 1
        if row.status != "done":
            progress.clear()
            calling.say(f"{row.entity_id}  {row.status}  {row.error or ''}".rstrip())
        if arguments.json and prediction is not None:
            calling.show(prediction, as_json=True)
        progress.show(asked=journal.asked, ended=len(journal.ended))

    async def fill(client: Client) -> int:
        terms = Terms(
            lane=arguments.lane,
            concurrency=arguments.concurrency or _CONCURRENCY[arguments.lane],
            rate=arguments.rate,
            max_age_seconds=arguments.max_age,
        )
        try:
            await Work(client, entity_ids, journal, terms, told).run()
        except Problem as problem:
            if problem.slug != "no-bulk-lane":
                raise
            calling.say(
                "the daemon has no bulk lane: give it a [queue] bulk_url, or ask among all other"
                " requests, a few at a time, with --lane interactive"
            )
            return 1
        return 0

    status = calling.call(arguments, fill, timeout=_PATIENCE_SECONDS)
    progress.clear()
    if status == 0:
        if arguments.output is not None:
            write_results(arguments.output, entity_ids, journal)
        journal.remove()
    elif journal.asked or journal.ended:
        calling.say(
            f"{journal.asked} of {len(entity_ids)} asked for, {len(journal.ended)} ended: the same"
            " command goes on from there"
        )
    else:
        journal.remove()
    in_the_end = tally(came_to, refused=refused, entity_ids=len(entity_ids))
    print(in_the_end, file=sys.stderr if arguments.json else sys.stdout)
    return status or int(came_to["done"] < len(entity_ids) or refused > 0)


def read_ids(text: str) -> tuple[Sequence[str], Sequence[str]]:
    """Give the ids of a text, one a line, each once, and a complaint for each line that is none."""
    entity_ids: dict[str, None] = {}
    refused = []
    for number, line in enumerate(text.split("\n"), 1):
        if not (entity_id := line.strip()):
            continue
        if ENTITY_ID.fullmatch(entity_id):
            entity_ids[entity_id] = None
        else:
            refused.append(f"line {number}: {entity_id[:60]!r}: must be {ENTITY_ID_RULE}")
    return list(entity_ids), refused


def write_results(path: Path, entity_ids: Sequence[str], journal: Journal) -> None:
    """Write the rows as CSV in the order of the ids; the file is there whole, or as it was."""
    rows = {row.entity_id: row for row in journal.rows()}
    beside = path.with_name(f"{path.name}.part")
    with beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Row))
        writer.writerows(astuple(rows[entity_id]) for entity_id in entity_ids)
    beside.replace(path)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_AT_ONCE:
        raise argparse.ArgumentTypeError(f"{text[:20]!r}: must be 1 to {_MAX_AT_ONCE}")
    return int(text)


def _rate(text: str) -> float:
    value = calling.seconds(text)
    if not 0 < value <= _FASTEST:
        raise argparse.ArgumentTypeError(f"{text[:20]!r}: more than 0, {_FASTEST:g} at most")
    return value
