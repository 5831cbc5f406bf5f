"""The list of log events in ``docs/reference.md``, held to the code in both directions."""

import ast
from dataclasses import dataclass, field
from functools import cache

import pytest

from tests.documents.sources import calls, quoted, table

LEVELS = frozenset({"debug", "info", "warning", "error"})
_REQUEST = {"request_id", "method", "path", "milliseconds", "address", "token"}
#: Fields that a call takes from elsewhere, by how it spells them.
STARRED = {
    "context.fields(now)": _REQUEST,
    "context.fields(self._clock.monotonic())": _REQUEST,
    "job.names": {"entity_id", "run_id"},
    "self._names": {"entity_id", "run_id"},
    "timing": {"waited", "claiming", "connecting", "database", "model", "total"},
}
#: Events about one run begin so.
OF_A_RUN = ("run.", "lease.", "job.", "message.")


@dataclass(slots=True)
class Event:
    """What is logged, or listed, under one name."""

    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


@cache
def logged() -> dict[str, Event]:
    """Every event that the sources log."""
    events: dict[str, Event] = {}
    for where, call in calls():
        if not (levels := _levels(call.func)):
            continue
        for name in _names(where, call.args[0]):
            event = events.setdefault(name, Event())
            event.levels |= levels
            for keyword in call.keywords:
                spelt = ast.unparse(keyword.value)
                event.fields |= STARRED[spelt] if keyword.arg is None else {keyword.arg}
            event.fields.discard("traceback")
    return events


@cache
def listed() -> dict[str, Event]:
    """Every event that the reference lists."""
    rows = table("Log events")
    events = {
        quoted(name)[0]: Event(set(levels.split(", ")), set(quoted(fields)))
        for name, levels, fields, _ in rows
    }
    assert len(events) == len(rows), "one event a row, and none twice"
    return events


def _levels(func: ast.expr) -> set[str]:
    """The levels of a call of the log; none for any other call."""
    if isinstance(func, ast.IfExp):
        return _levels(func.body) | _levels(func.orelse)
    of_log = isinstance(func, ast.Attribute) and ast.unparse(func.value) == "log"
    return {func.attr} & LEVELS if of_log and isinstance(func, ast.Attribute) else set()


def _names(where: str, name: ast.expr) -> list[str]:
    match name:
        case ast.Constant(value=str() as event):
            return [event]
        case ast.IfExp(body=ast.Constant(value=str() as one), orelse=ast.Constant(value=other)):
            return [one, str(other)]
    raise AssertionError(f"{where}: an event's name is written where it is logged")


def test_every_event_that_is_logged_is_listed() -> None:
    assert logged().keys() - listed().keys() == set()
    assert len(logged()) > 30


def test_every_event_that_is_listed_is_logged() -> None:
    assert listed().keys() - logged().keys() == set()


@pytest.mark.parametrize("name", sorted(logged().keys() & listed().keys()))
def test_levels_and_fields_are_as_listed(name: str) -> None:
    assert logged()[name] == listed()[name]


@pytest.mark.parametrize("name", sorted(logged()))
def test_a_line_of_a_run_says_which(name: str) -> None:
    if name.startswith(OF_A_RUN):
        assert {"entity_id", "run_id"} <= logged()[name].fields


def test_every_event_has_a_meaning() -> None:
    assert all(meaning for *_, meaning in table("Log events"))
