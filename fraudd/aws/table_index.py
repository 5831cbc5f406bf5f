"""The sparse index of the results table: whether it can be read, and what to do if it cannot."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from botocore.exceptions import ClientError

from fraudd.aws.translation import code_of, text_of
from fraudd.errors import Unavailable
from fraudd.telemetry import log

INDEX = "by_state"
IndexState = Literal["ready", "missing", "filling"]

#: What DynamoDB says to a query, as ``ValidationException``.
_REFUSALS: tuple[tuple[str, IndexState], ...] = (
    ("does not have the specified index", "missing"),
    ("backfilling global secondary index", "filling"),
)
#: The states of an index in which DynamoDB answers queries.
_SERVING = ("ACTIVE", "UPDATING")
#: The remedy for an index that cannot be read.
REMEDIES: Mapping[IndexState, str] = {
    "missing": "run 'fraudd provision', which creates it",
    "filling": "wait until DynamoDB has filled it",
}


def index_state(status: str | None) -> IndexState:
    """Return the state for an ``IndexStatus`` of DynamoDB. None: the table has no such index."""
    if status in (None, "DELETING"):
        return "missing"
    return "ready" if status in _SERVING else "filling"


def unreadable_index(state: IndexState, table: str) -> str:
    """Say what it means that the index cannot be read."""
    what = "is missing" if state == "missing" else "is still being filled"
    return f"the index {INDEX} of {table} {what}, so fraudd finds no lost runs and lists nothing"


class TableIndex:
    """The state of the index, as calls of DynamoDB show it. A change is logged."""

    def __init__(self, table: str) -> None:
        self._table = table
        self.state: IndexState = "ready"

    @property
    def problem(self) -> str | None:
        """The meaning of the state, and the remedy. None: the index can be read."""
        if self.state == "ready":
            return None
        return f"{unreadable_index(self.state, self._table)}: {REMEDIES[self.state]}"

    def described(self, indexes: Iterable[Mapping[str, Any]]) -> None:
        """Learn the state from the description of the table."""
        statuses = {index["IndexName"]: index["IndexStatus"] for index in indexes}
        self._set(index_state(statuses.get(INDEX)))

    def answered(self) -> None:
        """Learn that a query was answered."""
        self._set("ready")

    def refused(self, error: ClientError) -> None:
        """Learn from the refusal of a query. Raises ``Unavailable`` if the index is its cause."""
        if code_of(error) != "ValidationException":
            return
        text = text_of(error)
        for words, state in _REFUSALS:
            if words in text:
                self._set(state)
                raise Unavailable("store", f"{self.problem} ({text})") from error

    def _set(self, state: IndexState) -> None:
        if state == self.state:
            return
        self.state = state
        if state == "ready":
            log.info("index.ready", index=INDEX, table=self._table)
        else:
            log.error("index.unavailable", index=INDEX, table=self._table, error=self.problem)
