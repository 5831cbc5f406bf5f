"""The table as in DynamoDB: conditional writes evaluated from their data, a lagging index."""

import random
from collections import deque
from typing import TYPE_CHECKING, Any

from fraudd.ports import Applied, Entry, Page
from fraudd.prediction.record import Record, Transition, Value, already_applied
from tests.simulation.clocks import true_ms

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

Item = dict[str, Value]

#: The number of entries in a page of the index.
_PAGE = 100


class Table:
    """Items by entity. As in DynamoDB, an absent attribute is not NULL."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = random.Random(f"store {world.plan.seed}")
        self._items: dict[str, Item] = {}
        self._index: dict[str, tuple[str, int]] = {}
        self._to_index: deque[tuple[float, str, tuple[str, int] | None]] = deque()

    @property
    def items(self) -> dict[str, Item]:
        """All items, read-only."""
        return self._items

    def record(self, entity_id: str) -> Record | None:
        """Return an item as a record."""
        item = self._items.get(entity_id)
        return _record(item) if item else None

    def apply(
        self, process: "Process | None", transition: Transition
    ) -> tuple[bool, Record | None]:
        """Write if the condition holds. Return whether it did, and the current item."""
        entity_id = transition.entity_id
        old = self._items.get(entity_id, {})
        if any(old.get(name) != value for name, value in transition.expects.items()):
            self._world.note(
                process.name if process else "world",
                entity_id,
                "write refused",
                **_details(transition),
            )
            return False, _record(old) if old else None
        new = {**old, "entity_id": entity_id, **transition.sets}
        item = {name: value for name, value in new.items() if value is not None}
        self._items[entity_id] = item
        self._reindex(entity_id, item)
        self._world.note(
            process.name if process else "world", entity_id, "written", **_details(transition)
        )
        self._world.record_checks.written(process, entity_id, old, item)
        return True, _record(item)

    def listed(self, listed: str, until: int, after: Entry | None) -> Page:
        """List a partition of the lagging index."""
        now = self._world.loop.time()
        while self._to_index and self._to_index[0][0] <= now:
            _, entity_id, entry = self._to_index.popleft()
            self._index.pop(entity_id, None)
            if entry is not None:
                self._index[entity_id] = entry
        entries = sorted(
            Entry(at, entity_id)
            for entity_id, (key, at) in self._index.items()
            if key == listed and at <= until
        )
        rest = [entry for entry in entries if after is None or entry > after]
        return Page(rest[:_PAGE], len(rest) > _PAGE)

    def expire(self) -> int:
        """Delete expired items, as DynamoDB does some time after they expire."""
        now = true_ms(self._world.loop) // 1000
        expired = [
            e for e, item in self._items.items() if int(str(item.get("expires_at", now))) < now
        ]
        for entity_id in expired:
            del self._items[entity_id]
            self._reindex(entity_id, {})
            self._world.note("world", entity_id, "item expired")
        return len(expired)

    def _reindex(self, entity_id: str, item: Item) -> None:
        plan, now = self._world.plan, self._world.loop.time()
        lag = self._rng.uniform(0, 0.05)
        if plan.has("index_lags") and self._world.faults.on and self._rng.random() < 0.2:
            lag = self._rng.uniform(0, 15)
            self._world.faults.strike("index_lags")
        due = max(now + lag, self._to_index[-1][0] if self._to_index else 0.0)
        entry = (str(item["listed"]), int(str(item["listed_at"]))) if "listed" in item else None
        self._to_index.append((due, entity_id, entry))


class SimulatedStore:
    """The table as one process sees it."""

    def __init__(self, table: Table, process: "Process") -> None:
        self._table = table
        self._process = process

    async def get(self, entity_id: str) -> Record | None:
        """Read a record, strongly consistent."""
        return await self._process.link.call(
            "store", lambda: self._table.record(entity_id), about=entity_id
        )

    async def apply(self, transition: Transition) -> Applied:
        """Write conditionally. If an earlier try was applied, this one succeeds."""
        done, record = await self._process.link.call(
            "store",
            lambda: self._table.apply(self._process, transition),
            about=transition.entity_id,
        )
        return Applied(done or already_applied(transition, record), record)

    async def listed(self, listed: str, *, until: int, after: Entry | None) -> Page:
        """List a partition of the sparse index."""
        return await self._process.link.call(
            "store", lambda: self._table.listed(listed, until, after), about=None
        )


def _record(item: Item) -> Record:
    fields: Any = item
    return Record(**fields)


def _details(transition: Transition) -> dict[str, Any]:
    """Return the details of a write for the trace."""
    sets: dict[str, Any] = {}
    for name, value in transition.sets.items():
        if isinstance(value, dict):
            sets[name] = value["run_id"]
        elif value is not None:
            sets[name] = value
    return sets
