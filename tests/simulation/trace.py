"""What happened in the world: every event with its time, whose it was, and what it was about."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of the world."""

    at: float
    who: str
    entity_id: str | None
    what: str
    details: tuple[tuple[str, Any], ...]

    def __str__(self) -> str:
        details = " ".join(f"{name}={value}" for name, value in self.details)
        about = self.entity_id or "-"
        return f"{self.at:10.3f}  {self.who:8}  {about:12}  {self.what:24} {details}".rstrip()


class Trace:
    """The events of one seed, in order; made readable only where somebody reads them."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, str, str | None, str, tuple[tuple[str, Any], ...]]] = []

    def add(self, at: float, who: str, entity_id: str | None, what: str, **details: Any) -> None:
        """Note one event."""
        self._rows.append((at, who, entity_id, what, tuple(details.items())))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Happening]:
        return (Happening(*row) for row in self._rows)

    def life_of(self, entity_id: str | None) -> list[Happening]:
        """Give all events about the entity, and those that are about all of them."""
        return [one for one in self if one.entity_id is None or one.entity_id == entity_id]

    def fingerprint(self) -> tuple[str, ...]:
        """Give the whole trace in a form that can be compared."""
        return tuple(map(str, self))
