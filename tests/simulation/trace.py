"""The events of a simulated world, each with its time, its actor, and its entity."""

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
    """The events of one seed, in order. Texts are made only if they are read."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, str, str | None, str, tuple[tuple[str, Any], ...]]] = []

    def add(self, at: float, who: str, entity_id: str | None, what: str, **details: Any) -> None:
        """Add an event."""
        self._rows.append((at, who, entity_id, what, tuple(details.items())))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Happening]:
        return (Happening(*row) for row in self._rows)

    def life_of(self, entity_id: str | None) -> list[Happening]:
        """Return all events of the entity, and those of the whole world."""
        return [one for one in self if one.entity_id is None or one.entity_id == entity_id]

    def fingerprint(self) -> tuple[str, ...]:
        """Return the whole trace in a form that tests compare."""
        return tuple(map(str, self))
