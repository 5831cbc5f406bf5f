"""What callers and subscribers are told, checked as they hear it."""

from typing import TYPE_CHECKING

from fraudd.prediction.record import Lane, Record
from tests.simulation.lives import Entity
from tests.simulation.promises import AFTER_STORED, APART_MS, ONE_RUN, PROMOTED, READABLE

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World


class AnswerChecks:
    """Hears of every answer and announcement."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def announced(self, process: "Process", entity_id: str, run_id: str, type_: str) -> None:
        """Check an announcement that reaches the topic."""
        self._world.note(process.name, entity_id, "announced", run=run_id, type=type_)
        run = self._world.lives.runs.get(run_id)
        if run is None or type_ != f"fraudd.prediction.{run.verdict}":
            self._world.broken(AFTER_STORED, entity_id, f"{type_} of {run_id}")
            return
        run.announced = True
        if run.announced_at is None:
            run.announced_at = self._world.loop.time()

    def answered(
        self,
        process: "Process",
        entity_id: str,
        record: Record | None,
        *,
        since: "Standing",
        started: bool,
        asked_in: Lane | None = None,
    ) -> None:
        """Check what a caller was told, against how things stood when it began to ask."""
        lives = self._world.lives
        entity = lives.entity(entity_id)
        if record is None:
            if since.promised and not self._may_be_gone(entity, since):
                self._world.broken(READABLE, entity_id, f"404 at {process.name}")
            return
        run = lives.runs.get(record.run_id)
        if run is None:
            self._world.broken(READABLE, entity_id, f"a run that nobody opened: {record.run_id}")
            return
        if run.number < since.number:
            self._world.broken(READABLE, entity_id, f"run {run.number} after run {since.number}")
        elif run.number == since.number and since.ended and record.pending:
            self._world.broken(READABLE, entity_id, "pending though its end was there to be read")
        if started and not self._world.start(run.run_id):
            self._world.broken(ONE_RUN, entity_id, "two callers started one run")
        item = self._world.table.items.get(entity_id, {})
        # A run that the request found at work may be queued again before its answer arrives.
        found_waiting = record.state != "running"
        waits_in_bulk = item.get("lane") == "bulk" and item.get("state") == "queued"
        if (
            asked_in == "interactive"
            and found_waiting
            and waits_in_bulk
            and item.get("run_id") == record.run_id
        ):
            self._world.broken(PROMOTED, entity_id, "it still waits in the bulk lane")
        if record.pending:
            entity.told_ms = max(entity.told_ms, since.at_ms)

    def _may_be_gone(self, entity: Entity, since: "Standing") -> bool:
        if entity.forgotten_ms is not None and entity.forgotten_ms >= since.told_ms - APART_MS:
            return True
        # A verdict that is past its time to live is not shown any more.
        return self._world.plan.ttl < 3600


class Standing:
    """How things stand for an entity at the moment somebody begins to ask."""

    def __init__(self, entity: Entity, at_ms: int) -> None:
        self.at_ms = at_ms
        newest = entity.newest
        self.number = newest.number if newest is not None else -1
        self.ended = newest is not None and newest.verdict is not None
        self.told_ms = entity.told_ms
        self.promised = entity.told_ms >= 0
