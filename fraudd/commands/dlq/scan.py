"""Goes through the dead-letter queue, and acts on the messages that are meant."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from fraudd.aws.dead_letters import DeadLetter, DeadLetters
from fraudd.commands.dlq.rows import entity_of, reason_of
from fraudd.errors import RunError, Unavailable

#: The reason of what is no request at all: sent back as it is, it would return at once.
MALFORMED = "malformed"
#: After so many messages that could not be settled, the others are not tried: it is an outage.
_MAX_FAILURES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which messages are meant: all that fit, ``limit`` of them at most."""

    entity: str | None = None
    reason: str | None = None
    limit: int | None = None


def fits(letter: DeadLetter, wanted: Wanted) -> bool:
    """Whether a message is of the entity and has the reason that are asked for."""
    return (wanted.reason is None or reason_of(letter) == wanted.reason) and (
        wanted.entity is None or entity_of(letter) == wanted.entity
    )


def is_spared(letter: DeadLetter, wanted: Wanted) -> bool:
    """Whether a message that fits is not sent back: malformed, and not asked for by that name."""
    return reason_of(letter) == MALFORMED != wanted.reason


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
    async with queue.look(stopped=stopped, warn=say) as look:
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
                if len(tally.picked) == wanted.limit or len(tally.failures) >= _MAX_FAILURES:
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


def say(text: str) -> None:
    """Tell the operator, apart from what is printed for others to read."""
    print(f"fraudd: {text}", file=sys.stderr)
