"""A scan of the dead-letter queue, which acts on the selected messages."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from fraudd.aws.dead_letters import DeadLetter, DeadLetters
from fraudd.commands.dlq.rows import entity_of, reason_of
from fraudd.commands.terminal import say
from fraudd.errors import RunError, Unavailable

#: The reason of malformed messages. If fraudd sent such a message back, it would return at once.
MALFORMED = "malformed"
#: The scan stops at this number of failures: it is an outage.
_MAX_FAILURES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The messages to handle: all that match, up to ``limit``."""

    entity: str | None = None
    reason: str | None = None
    limit: int | None = None

    def matches(self, letter: DeadLetter) -> bool:
        """Whether a message has the selected entity and reason."""
        return (self.reason is None or reason_of(letter) == self.reason) and (
            self.entity is None or entity_of(letter) == self.entity
        )

    def names_malformed(self) -> bool:
        """Whether the reason selects malformed messages."""
        return self.reason == MALFORMED


@dataclass(slots=True, kw_only=True)
class Totals:
    """The outcome of a scan."""

    seen: int = 0
    selected: list[DeadLetter] = field(default_factory=list)
    handled: int = 0
    malformed_kept: int = 0
    returned: int = 0
    hidden_elsewhere: int = 0
    failures: list[str] = field(default_factory=list)


Act = Callable[[DeadLetters, DeadLetter], Awaitable[None]]


async def redrive(queue: DeadLetters, letter: DeadLetter) -> None:
    """Send a message back, then delete it: a crash in between duplicates it, but never loses it."""
    await queue.send_back(letter)
    try:
        await queue.delete(letter)
    except (Unavailable, RunError) as error:
        raise Unavailable(
            "dead-letter queue", f"sent back, but not deleted, so it exists twice: {error}"
        ) from error


async def purge(queue: DeadLetters, letter: DeadLetter) -> None:
    """Delete a message."""
    await queue.delete(letter)


async def scan(
    queue: DeadLetters,
    selection: Selection,
    act: Act | None,
    *,
    redriving: bool,
    stopped: Callable[[], bool],
    progress: Callable[[int], None],
) -> Totals:
    """Receive all messages and act on the selected ones. Without ``act``, only select.

    ``redriving`` keeps malformed messages, unless they are selected by their reason. The totals
    have every failure. ``progress`` gets the number of messages seen so far.
    """
    totals = Totals()
    handled: set[tuple[str, int]] = set()
    async with queue.scan(stopped=stopped, warn=say) as look:
        try:
            async for batch in look.batches():
                totals.seen += len(batch)
                selected = _select(batch, selection, totals, redriving=redriving, handled=handled)
                totals.selected += selected
                if act is not None:
                    handled |= {_identity(letter) for letter in selected}
                    for letter in await _act_on(queue, selected, act, totals):
                        look.settled(letter)
                progress(totals.seen)
                is_full = len(totals.selected) == selection.limit
                if is_full or len(totals.failures) >= _MAX_FAILURES:
                    break
        except (Unavailable, RunError) as error:
            totals.failures.append(str(error))
        totals.hidden_elsewhere = look.hidden_elsewhere
    return totals


def _select(
    batch: Sequence[DeadLetter],
    selection: Selection,
    totals: Totals,
    *,
    redriving: bool,
    handled: set[tuple[str, int]],
) -> list[DeadLetter]:
    """Select from a batch, up to the limit."""
    selected = [letter for letter in batch if selection.matches(letter)]
    if redriving:
        selected = _redrivable(selected, selection, totals, handled)
    room = len(selected)
    if selection.limit is not None:
        room = selection.limit - len(totals.selected)
    return selected[:room]


def _redrivable(
    letters: Sequence[DeadLetter],
    selection: Selection,
    totals: Totals,
    handled: set[tuple[str, int]],
) -> list[DeadLetter]:
    """Return the messages to send back, and count the others."""
    redrivable = []
    for letter in letters:
        malformed = is_kept(letter, selection)
        # A message that failed again after this scan sent it back would circulate forever.
        returned = _identity(letter) in handled
        totals.malformed_kept += malformed
        totals.returned += returned
        if not (malformed or returned):
            redrivable.append(letter)
    return redrivable


def is_kept(letter: DeadLetter, selection: Selection) -> bool:
    """Whether a redrive keeps a message: it is malformed, and not selected by its reason."""
    return reason_of(letter) == MALFORMED and not selection.names_malformed()


def _identity(letter: DeadLetter) -> tuple[str, int]:
    """Return what a message keeps on its way through both queues."""
    return letter.body, letter.first_sent_at


async def _act_on(
    queue: DeadLetters, letters: Sequence[DeadLetter], act: Act, totals: Totals
) -> list[DeadLetter]:
    """Act on messages concurrently, and return those that are handled."""
    handled: list[DeadLetter] = []

    async def handle(letter: DeadLetter) -> None:
        try:
            await act(queue, letter)
        except (Unavailable, RunError) as error:
            # The other tasks go on: a cancelled redrive might duplicate its message.
            totals.failures.append(f"message {letter.message_id}: {error}")
        else:
            handled.append(letter)

    async with asyncio.TaskGroup() as group:
        for letter in letters:
            group.create_task(handle(letter))
    totals.handled += len(handled)
    return handled
