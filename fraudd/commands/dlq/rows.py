"""What a dead letter is, and how it looks to an operator."""

from collections.abc import Sequence
from dataclasses import dataclass

from fraudd.aws.dead_letters import DeadLetter
from fraudd.prediction.events import DETAIL, REASON, MalformedEvent, parse_request
from fraudd.prediction.formats import rfc3339

#: The reason of a message that SQS took away itself, which says none.
MOVED_BY_SQS = "moved by SQS"
_BAR_CHARACTERS = 30
_HEADINGS = ("AGE", "REASON", "ENTITY", "RECEIVES", "MESSAGE ID", "DETAIL")


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
        for row in oldest_first(rows)
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)
    return "\n".join(line[:width] for line in lines)


def bar(done: int, total: int) -> str:
    """Draw how many of about how many messages were looked at."""
    total = max(done, total, 1)
    filled = done * _BAR_CHARACTERS // total
    return f"[{'#' * filled:.<{_BAR_CHARACTERS}}] {done}/{total}"


def oldest_first(rows: Sequence[Row]) -> list[Row]:
    """Put rows into the order in which their messages were first sent."""
    return sorted(rows, key=lambda row: row.sent_at)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
