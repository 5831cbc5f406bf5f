"""``fraudd dlq``: lists the dead-letter queue, sends its messages back, or deletes them."""

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fraudd import config
from fraudd.answer import rfc3339
from fraudd.aws.dead_letters import HIDDEN_SECONDS, DeadLetter, DeadLetters, find
from fraudd.aws.session import open_clients
from fraudd.clock import SystemClock
from fraudd.config import Config
from fraudd.event import DETAIL, REASON, MalformedEvent, parse_request
from fraudd.ports import RunError, Unavailable
from fraudd.prediction import ENTITY_ID, ENTITY_ID_RULE
from fraudd.wiring import aws_terms

#: The reason of a message that SQS took away itself, which says none.
MOVED_BY_SQS = "moved by SQS"
#: The reason of what is no request at all: sent back as it is, it would return at once.
MALFORMED = "malformed"
#: After so many messages that could not be settled, the others are not tried: it is an outage.
_MOST_FAILURES = 10
_BAR_CHARACTERS = 30
_HEADINGS = ("AGE", "REASON", "ENTITY", "RECEIVES", "MESSAGE ID", "DETAIL")


# What a message is, and whether it is meant.


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which messages are meant: all that fit, ``limit`` of them at most."""

    entity: str | None = None
    reason: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A message as it is listed."""

    message_id: str
    reason: str
    detail: str | None
    entity_id: str | None
    receive_count: int
    sent_at: str
    age_seconds: int
    body: str


def reason_of(letter: DeadLetter) -> str:
    """Say why a message lies there."""
    return letter.texts.get(REASON, MOVED_BY_SQS)


def entity_of(letter: DeadLetter) -> str | None:
    """Say whom a message asks for; None where it is no request."""
    try:
        event = parse_request(letter.body, attributes=letter.texts, sent_at=letter.enqueued_at)
    except MalformedEvent:
        return None
    return event.entity_id


def fits(letter: DeadLetter, wanted: Wanted) -> bool:
    """Whether a message is of the entity and has the reason that are asked for."""
    return (wanted.reason is None or reason_of(letter) == wanted.reason) and (
        wanted.entity is None or entity_of(letter) == wanted.entity
    )


def is_spared(letter: DeadLetter, wanted: Wanted) -> bool:
    """Whether a message that fits is not sent back: malformed, and not asked for by that name."""
    return reason_of(letter) == MALFORMED != wanted.reason


# How it looks.


def row(letter: DeadLetter, *, now: int) -> Row:
    """Gather what is listed of a message."""
    return Row(
        message_id=letter.message_id,
        reason=reason_of(letter),
        detail=letter.texts.get(DETAIL),
        entity_id=entity_of(letter),
        receive_count=letter.receive_count,
        sent_at=rfc3339(letter.first_sent_at),
        age_seconds=max(0, now - letter.first_sent_at) // 1000,
        body=letter.body,
    )


def age(seconds: int) -> str:
    """Write an age in its two largest units."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if days:
        return f"{days}d {hours % 24}h"
    if hours:
        return f"{hours}h {minutes % 60}m"
    return f"{minutes}m {seconds % 60}s" if minutes else f"{seconds}s"


def table(rows: Sequence[Row], *, width: int | None) -> str:
    """Write an aligned table, the oldest first; ``width`` cuts the lines, where there is one.

    What others wrote cannot reach the terminal as a control sequence.
    """
    cells = [_HEADINGS] + [
        (
            age(row.age_seconds),
            _printable(row.reason),
            row.entity_id or "-",
            str(row.receive_count),
            row.message_id,
            _printable(row.detail or "-"),
        )
        for row in _oldest_first(rows)
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)
    return "\n".join(line[:width] for line in lines)


def bar(done: int, total: int) -> str:
    """Draw how many of about how many messages were looked at."""
    total = max(done, total, 1)
    filled = done * _BAR_CHARACTERS // total
    return f"[{'#' * filled:.<{_BAR_CHARACTERS}}] {done}/{total}"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


# The subcommands.


@dataclass(slots=True, kw_only=True)
class Tally:
    """What came of a pass through the queue."""

    seen: int = 0
    picked: list[DeadLetter] = field(default_factory=list)
    settled: int = 0
    malformed_spared: int = 0
    came_back: int = 0
    hidden_elsewhere: int = 0
    failures: list[str] = field(default_factory=list)


Act = Callable[[DeadLetters, DeadLetter], Awaitable[None]]


class Stop:
    """Whether somebody asked to stop, and by which signal."""

    number: int | None = None

    def __call__(self) -> bool:
        return self.number is not None


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Say what the subcommand takes."""
    parser = commands.add_parser(
        "dlq",
        help="list, send back or delete dead letters",
        description="The dead-letter queue: see what lies there, send it back, or delete it.",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = _action(
        actions,
        "ls",
        _ls,
        "list the messages",
        "List messages with reason, entity, receives and age. Looking leaves them there; while it"
        " lasts they are hidden, and each look counts as a receive.",
    )
    listing.add_argument("--json", action="store_true", help="print a JSON object a line")
    redriving = _action(
        actions,
        "redrive",
        _redrive,
        "send messages back to the queue",
        "Send messages back to the queue, to be worked on again. Malformed ones"
        f" stay unless named by --reason {MALFORMED}.",
    )
    redriving.add_argument("--dry-run", action="store_true", help="list what would be sent back")
    purging = _action(
        actions,
        "purge",
        _purge,
        "delete messages",
        "Delete messages for good; asks first. `fraudd dlq ls` shows which.",
    )
    purging.add_argument("--yes", action="store_true", help="do not ask")


def _action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    description: str,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=summary, description=description)
    parser.add_argument("--config", type=Path, required=True, help="the configuration file")
    parser.add_argument("--limit", type=_count, metavar="N", help="this many at most")
    parser.add_argument("--entity", type=_entity, metavar="ID", help="those of this entity only")
    parser.add_argument("--reason", help="those with this reason only, as ls shows it")
    parser.set_defaults(run=run)
    return parser


def _ls(arguments: argparse.Namespace) -> int:
    tally, stop = _run(arguments, None)
    now = SystemClock().now()
    rows = [row(letter, now=now) for letter in tally.picked]
    if arguments.json:
        _print("".join(f"{json.dumps(asdict(row))}\n" for row in _oldest_first(rows)))
    elif rows:
        _print_table(rows)
    _say(f"{len(rows)} of {tally.seen} messages that were looked at")
    return _status(tally, stop)


def _redrive(arguments: argparse.Namespace) -> int:
    tally, stop = _run(
        arguments, None if arguments.dry_run else redrive, spare=True, label="sending back"
    )
    if arguments.dry_run:
        now = SystemClock().now()
        if tally.picked:
            _print_table([row(letter, now=now) for letter in tally.picked])
        _print(f"would send back {len(tally.picked)} of {tally.seen} messages\n")
    else:
        _print(f"sent back {tally.settled} of {tally.seen} messages\n")
    if tally.malformed_spared:
        _say(f"{tally.malformed_spared} malformed stay; --reason {MALFORMED} would send them back")
    if tally.came_back:
        _say(f"{tally.came_back} came back meanwhile, and stay: their cause is not mended")
    return _status(tally, stop)


def _purge(arguments: argparse.Namespace) -> int:
    if not arguments.yes:
        if not sys.stdin.isatty():
            _say("purge deletes for good and cannot ask here: say --yes")
            return 2
        if not _confirmed(arguments):
            _say("nothing was deleted")
            return 1
    tally, stop = _run(arguments, purge, label="deleting")
    _print(f"deleted {tally.settled} of {tally.seen} messages\n")
    return _status(tally, stop)


def _confirmed(arguments: argparse.Namespace) -> bool:
    """Ask, outside of any event loop, so that Ctrl-C is heard."""

    async def count() -> tuple[str, int]:
        settings = config.load(arguments.config)
        async with open_clients(aws_terms(settings), lambda _: None, SystemClock()) as clients:
            queue = await find(
                clients, main_url=settings.queue.url, url=settings.queue.dead_letter_url
            )
            return queue.url, (await queue.counts())[0]

    url, about = asyncio.run(count())
    choice = [
        f"{name} {value}"
        for name in ("reason", "entity", "limit")
        if (value := getattr(arguments, name)) is not None
    ]
    which = f"those with {', '.join(choice)} of " if choice else ""
    question = f"Delete {which}about {about} messages of {url} for good? [y/N] "
    print(question, end="", file=sys.stderr, flush=True)
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return False


async def redrive(queue: DeadLetters, letter: DeadLetter) -> None:
    """Send a message back, then delete it: a crash leaves it twice, never nowhere."""
    await queue.send_back(letter)
    try:
        await queue.delete(letter)
    except (Unavailable, RunError) as error:
        raise Unavailable(
            "dead-letter queue", f"sent back, but not deleted; it is there twice: {error}"
        ) from error


async def purge(queue: DeadLetters, letter: DeadLetter) -> None:
    """Delete a message."""
    await queue.delete(letter)


async def sift(
    queue: DeadLetters,
    wanted: Wanted,
    act: Act | None,
    *,
    spare: bool,
    stopped: Callable[[], bool],
    progress: Callable[[int], None],
) -> Tally:
    """Go through the queue and act on what is wanted; without ``act``, look only.

    ``spare`` leaves malformed messages out that are not named. What cannot be settled is told in
    the tally. ``progress`` is told how many messages were looked at.
    """
    tally = Tally()
    acted_on: set[tuple[str, int]] = set()
    async with queue.look(stopped=stopped, warn=_say) as look:
        try:
            async for batch in look.batches():
                tally.seen += len(batch)
                picked = _pick(batch, wanted, tally, spare=spare, acted_on=acted_on)
                tally.picked += picked
                if act is not None:
                    acted_on |= {_identity(letter) for letter in picked}
                    for letter in await _act_on(queue, picked, act, tally):
                        look.settled(letter)
                progress(tally.seen)
                if len(tally.picked) == wanted.limit or len(tally.failures) >= _MOST_FAILURES:
                    break
        except (Unavailable, RunError) as error:
            tally.failures.append(str(error))
        tally.hidden_elsewhere = look.hidden_elsewhere
    return tally


def _pick(
    batch: Sequence[DeadLetter],
    wanted: Wanted,
    tally: Tally,
    *,
    spare: bool,
    acted_on: set[tuple[str, int]],
) -> list[DeadLetter]:
    """Choose from a batch, as far as the limit has room."""
    picked = [letter for letter in batch if fits(letter, wanted)]
    if spare:
        tally.malformed_spared += sum(is_spared(letter, wanted) for letter in picked)
        # What was sent back a moment ago and failed again would go round for ever.
        tally.came_back += sum(_identity(letter) in acted_on for letter in picked)
        picked = [
            letter
            for letter in picked
            if not is_spared(letter, wanted) and _identity(letter) not in acted_on
        ]
    room = len(picked) if wanted.limit is None else wanted.limit - len(tally.picked)
    return picked[:room]


def _identity(letter: DeadLetter) -> tuple[str, int]:
    """What a message keeps on its way through both queues."""
    return letter.body, letter.first_sent_at


async def _act_on(
    queue: DeadLetters, letters: Sequence[DeadLetter], act: Act, tally: Tally
) -> list[DeadLetter]:
    """Act on messages at the same time; gives those that are settled."""
    settled: list[DeadLetter] = []

    async def settle(letter: DeadLetter) -> None:
        try:
            await act(queue, letter)
        except (Unavailable, RunError) as error:
            # The others are brought to their end: cut off, they might be there twice.
            tally.failures.append(f"message {letter.message_id}: {error}")
        else:
            settled.append(letter)

    async with asyncio.TaskGroup() as group:
        for letter in letters:
            group.create_task(settle(letter))
    tally.settled += len(settled)
    return settled


def _run(
    arguments: argparse.Namespace, act: Act | None, *, spare: bool = False, label: str = "looking"
) -> tuple[Tally, Stop]:
    """Go through the queue as the arguments say, until done or asked to stop."""
    settings = config.load(arguments.config)
    wanted = Wanted(entity=arguments.entity, reason=arguments.reason, limit=arguments.limit)
    stop = Stop()

    async def work(settings: Config) -> Tally:
        with _heeded(stop):
            async with open_clients(aws_terms(settings), lambda _: None, SystemClock()) as clients:
                queue = await find(
                    clients, main_url=settings.queue.url, url=settings.queue.dead_letter_url
                )
                total, _ = await queue.counts()
                with _shown(label, total) as progress:
                    return await sift(
                        queue, wanted, act, spare=spare, stopped=stop, progress=progress
                    )

    try:
        return asyncio.run(work(settings)), stop
    except asyncio.CancelledError:
        return Tally(), stop


@contextmanager
def _heeded(stop: Stop) -> Iterator[None]:
    """Let the first signal end the work after what is in hand, the second at once.

    A poll is never cut off: it can have taken messages that nobody would make visible again.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "called by a task"
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def heed(number: int) -> None:
        if stop():
            task.cancel()
        stop.number = number

    for number in signals:
        loop.add_signal_handler(number, heed, number)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


@contextmanager
def _shown(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give what to tell how far the work is: it draws a bar, where somebody looks at it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return

    def draw(done: int) -> None:
        print(f"\r{label} {bar(done, total)}", end="", file=sys.stderr, flush=True)

    draw(0)
    try:
        yield draw
    finally:
        print(file=sys.stderr)


def _status(tally: Tally, stop: Stop) -> int:
    """Say what did not go well; gives the exit status, as a shell has it for a signal."""
    if tally.hidden_elsewhere:
        _say(
            f"about {tally.hidden_elsewhere} more messages are hidden: somebody else looks at"
            f" them; they show within {HIDDEN_SECONDS // 60} minutes"
        )
    for failure in tally.failures:
        _say(failure)
    if stop.number is not None:
        _say("stopped before the end; the other messages are where they were")
        return 128 + stop.number
    return 1 if tally.failures else 0


def _oldest_first(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row.sent_at)


def _print_table(rows: Sequence[Row]) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    _print(table(rows, width=width) + "\n")


def _print(text: str) -> None:
    """Print; whoever reads no further (``| head``) is no failure."""
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        # What is left in the buffer would fail again when Python ends.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(text: str) -> None:
    print(f"fraudd: {text}", file=sys.stderr)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text[:20]}: must be a whole number, 1 or more")
    return int(text)


def _entity(text: str) -> str:
    if not ENTITY_ID.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text[:60]!r}: must be {ENTITY_ID_RULE}")
    return text
