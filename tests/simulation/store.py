"""The table as DynamoDB keeps it: conditional writes evaluated from their data, a lagging index."""

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

#: As many as a page of the index has.
_PAGE = 100


class Table:
    """Items by entity; an absent attribute is absent, as in DynamoDB."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = random.Random(f"store {world.plan.seed}")
        self._items: dict[str, Item] = {}
        self._index: dict[str, tuple[str, int]] = {}
        self._to_index: deque[tuple[float, str, tuple[str, int] | None]] = deque()

    @property
    def items(self) -> dict[str, Item]:
        """All items, to be looked at."""
        return self._items

    def record(self, entity_id: str) -> Record | None:
        """Give an item as a record."""
        item = self._items.get(entity_id)
        return _record(item) if item else None

    def apply(
        self, process: "Process | None", transition: Transition
    ) -> tuple[bool, Record | None]:
        """Carry out one write where its condition holds; gives the item that is there then."""
        entity_id = transition.entity_id
        old = self._items.get(entity_id, {})
        if any(old.get(name) != value for name, value in transition.expects.items()):
            self._world.note(
                process.name if process else "world",
                entity_id,
                "write refused",
                **_told(transition),
            )
            return False, _record(old) if old else None
        new = {**old, "entity_id": entity_id, **transition.sets}
        item = {name: value for name, value in new.items() if value is not None}
        self._items[entity_id] = item
        self._reindex(entity_id, item)
        self._world.note(
            process.name if process else "world", entity_id, "written", **_told(transition)
        )
        self._world.record_checks.written(process, entity_id, old, item)
        return True, _record(item)

    def listed(self, listed: str, until: int, after: Entry | None) -> Page:
        """List a partition of the index as it is known by now."""
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
        found = [entry for entry in entries if after is None or entry > after]
        return Page(found[:_PAGE], len(found) > _PAGE)

    def expire(self) -> int:
        """Delete what is past its time to live, as DynamoDB does some time later."""
        now = true_ms(self._world.loop) // 1000
        gone = [e for e, item in self._items.items() if int(str(item.get("expires_at", now))) < now]
        for entity_id in gone:
            del self._items[entity_id]
            self._reindex(entity_id, {})
            self._world.note("world", entity_id, "item expired")
        return len(gone)

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
    """The table as one process reaches it."""

    def __init__(self, table: Table, process: "Process") -> None:
        self._table = table
        self._process = process

    async def get(self, entity_id: str) -> Record | None:
        """Read a record, strongly consistent."""
        return await self._process.link.call(
            "store", lambda: self._table.record(entity_id), about=entity_id
        )

    async def apply(self, transition: Transition) -> Applied:
        """Carry out one conditional write; its own earlier first try counts as done."""
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


def _told(transition: Transition) -> dict[str, Any]:
    """What a trace says of a write."""
    sets: dict[str, Any] = {}
    for name, value in transition.sets.items():
        if isinstance(value, dict):
            sets[name] = value["run_id"]
        elif value is not None:
            sets[name] = value
    return sets
