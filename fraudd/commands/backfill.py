"""``fraudd backfill``: asks for many scores, so few at a time that nobody else waits for it."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from fraudd.client import Client, Prediction
from fraudd.commands import calling
from fraudd.record import ENTITY_ID, ENTITY_ID_RULE

#: A daemon that is away, or too busy, is waited for so long before the whole is given up.
_PATIENCE_SECONDS = 600.0
#: A run that has not ended by then is left to end by itself.
_RUN_SECONDS = 3600.0
_MOST_AT_ONCE = 1000
_FASTEST = 10_000.0


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the ids."""

    done: int = 0
    failed: int = 0
    pending: int = 0
    refused: int = 0

    def count(self, prediction: Prediction) -> None:
        """Count an id by what its run came to."""
        match prediction.status:
            case "done":
                self.done += 1
            case "failed":
                self.failed += 1
            case _:
                self.pending += 1

    def __str__(self) -> str:
        return ", ".join(f"{getattr(self, field.name)} {field.name}" for field in fields(self))


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Say what the subcommand takes."""
    parser = commands.add_parser(
        "backfill",
        help="ask for many scores, a few at a time",
        description="Ask for the score of each id of a file and wait for it, a few at a time, so"
        " that others need not wait for all of them. Cut off, it is started again with the same"
        " file: what is stored is not computed again. Status 1 if any id has no score in the end.",
    )
    parser.add_argument("file", metavar="FILE", help="ids, one a line; - is standard input")
    parser.add_argument(
        "--concurrency",
        type=_count,
        default=4,
        metavar="N",
        help="so many runs at a time (default: %(default)s)",
    )
    parser.add_argument(
        "--rate",
        type=_rate,
        default=50.0,
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
    try:
        if arguments.file == "-":
            text = sys.stdin.read()
        else:
            text = Path(arguments.file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        calling.say(f"cannot read {arguments.file}: {getattr(error, 'strerror', error)}")
        return 1
    entity_ids, refused = read_ids(text)
    for complaint in refused:
        calling.say(complaint)
    tally = Tally(refused=len(refused))
    shown = sys.stderr.isatty()

    def ended(prediction: Prediction) -> None:
        tally.count(prediction)
        if prediction.status == "failed":
            if shown:
                print(file=sys.stderr)
            calling.say(calling.described(prediction).splitlines()[0])
        if arguments.json:
            calling.show(prediction, as_json=True)
        if shown:
            print(f"\r{tally} of {len(entity_ids)} ", end="", file=sys.stderr, flush=True)

    async def fill(client: Client) -> int:
        await ask_all(
            client,
            entity_ids,
            concurrency=arguments.concurrency,
            rate=arguments.rate,
            max_age_seconds=arguments.max_age,
            ended=ended,
        )
        return 1 if tally.failed or tally.pending or tally.refused else 0

    status = calling.call(arguments, fill, timeout=_PATIENCE_SECONDS)
    if shown:
        print(file=sys.stderr)
    print(tally, file=sys.stderr if arguments.json else sys.stdout)
    return status


def read_ids(text: str) -> tuple[Sequence[str], Sequence[str]]:
    """Give the ids of a text, one a line, and a complaint for each line that cannot be one."""
    entity_ids, refused = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not (entity_id := line.strip()):
            continue
        if ENTITY_ID.fullmatch(entity_id):
            entity_ids.append(entity_id)
        else:
            refused.append(f"line {number}: {entity_id[:60]!r}: must be {ENTITY_ID_RULE}")
    return entity_ids, refused


async def ask_all(
    client: Client,
    entity_ids: Sequence[str],
    *,
    concurrency: int,
    rate: float,
    max_age_seconds: float | None,
    ended: Callable[[Prediction], None],
) -> None:
    """Ask for each, and wait for its end: so many at a time, so many a second at most.

    Raises ``Problem`` where it makes no sense to go on.
    """
    left = iter(entity_ids)
    pace = Pace(rate)

    async def work() -> None:
        for entity_id in left:
            await pace.turn()
            ended(
                await client.predict(entity_id, wait=_RUN_SECONDS, max_age_seconds=max_age_seconds)
            )

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(entity_ids))):
                group.create_task(work())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


class Pace:
    """Turns at a rate a second: each is taken by one."""

    def __init__(self, rate: float) -> None:
        self._pause = 1 / rate
        self._next_at = 0.0

    async def turn(self) -> None:
        """Wait for a turn."""
        now = asyncio.get_running_loop().time()
        mine = max(now, self._next_at)
        self._next_at = mine + self._pause
        await asyncio.sleep(mine - now)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_AT_ONCE:
        raise argparse.ArgumentTypeError(f"{text[:20]!r}: must be 1 to {_MOST_AT_ONCE}")
    return int(text)


def _rate(text: str) -> float:
    value = calling.seconds(text)
    if not 0 < value <= _FASTEST:
        raise argparse.ArgumentTypeError(f"{text[:20]!r}: more than 0, {_FASTEST:g} at most")
    return value
