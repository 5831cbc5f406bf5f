"""A dead letter as an operator sees it."""

from collections.abc import Sequence
from dataclasses import dataclass

from fraudd.aws.dead_letters import DeadLetter
from fraudd.commands.terminal import duration, printable
from fraudd.prediction.events import DETAIL, REASON, MalformedEvent, parse_request
from fraudd.prediction.formats import rfc3339

#: The list shows this for a message without a reason: SQS itself moved it.
MOVED_BY_SQS = "moved by SQS"
_HEADINGS = ("AGE", "REASON", "ENTITY", "RECEIVES", "MESSAGE ID", "DETAIL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A dead letter in the list."""

    message_id: str
    reason: str
    detail: str | None
    entity_id: str | None
    receive_count: int
    sent_at: str
    age_seconds: int
    body: str


def reason_of(letter: DeadLetter) -> str:
    """Return why a message is in the dead-letter queue."""
    return letter.texts.get(REASON, MOVED_BY_SQS)


def entity_of(letter: DeadLetter) -> str | None:
    """Return the entity of a request, or None for a malformed message."""
    try:
        event = parse_request(letter.body, attributes=letter.texts, sent_at=letter.enqueued_at)
    except MalformedEvent:
        return None
    return event.entity_id


def row_of(letter: DeadLetter, *, now: int) -> Row:
    """Make the row of a message."""
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


def table(rows: Sequence[Row], *, width: int | None) -> str:
    """Write an aligned table, the oldest first. If there is a ``width``, it cuts the lines.

    Text from other systems cannot reach the terminal as a control sequence.
    """
    cells = [_HEADINGS] + [
        (
            duration(row.age_seconds),
            printable(row.reason),
            row.entity_id or "-",
            str(row.receive_count),
            row.message_id,
            printable(row.detail or "-"),
        )
        for row in oldest_first(rows)
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)
    return "\n".join(line[:width] for line in lines)


def oldest_first(rows: Sequence[Row]) -> list[Row]:
    """Sort rows by the time at which their messages were first sent."""
    return sorted(rows, key=lambda row: row.sent_at)
