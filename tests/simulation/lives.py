"""The true history of every run. The checks compare the records with it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from fraudd.prediction.record import ALONE_FROM_DEATHS, SKEW_MARGIN_MS, Lane
from tests.simulation.clocks import true_ms
from tests.simulation.queue import Meaning, Receive, Stored

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

#: A tombstone and an event within this time count as simultaneous.
_TOMBSTONE_REACH_MS = 2 * SKEW_MARGIN_MS


@dataclass(slots=True, eq=False, kw_only=True)
class Attempt:
    """One claim of a run by one process."""

    worker: str
    process: "Process"
    claimed_at: float
    claimed_ms: int
    snapshot_ms: int | None = None
    #: The failure that counts: a type of failure, ``too_slow``, or a death.
    failure: str | None = None
    #: The receipt of its message.
    receipt: str | None = None
    #: The entity whose run killed the process of this attempt.
    killer: str | None = None

    @property
    def died(self) -> bool:
        """Whether the attempt ended without an outcome."""
        return self.failure in ("death", "lapsed")


@dataclass(slots=True, eq=False, kw_only=True)
class Run:
    """One run, from its start to its outcome."""

    run_id: str
    entity_id: str
    number: int
    opened_at: float
    attempts: list[Attempt] = field(default_factory=list)
    receives: list[Receive] = field(default_factory=list)
    verdict: Literal["done", "failed"] | None = None
    #: The time that the outcome is about: of the snapshot, or of the failed claim.
    basis_ms: int = 0
    announced: bool = False
    #: The number of its messages that reached the queue.
    wake_ups: int = 0
    failed_for_good: bool = False
    disturbed: str | None = None
    #: Whether a call about it failed after all retries.
    hurt: bool = False
    #: The process that opened it, and whether it published it. The process that ended it, the time,
    #: and the time of the completion event.
    opener: "Process | None" = None
    published_by_opener: bool = False
    ender: "Process | None" = None
    ended_at: float = 0.0
    #: The last time that it was claimed, queued again, or ended.
    changed_at: float = 0.0
    announced_at: float | None = None
    #: All its lanes. The process that promoted it, the time, and whether that process published it.
    lanes: set[Lane] = field(default_factory=set)
    promoter: "Process | None" = None
    promoted_at: float = 0.0
    published_by_promoter: bool = False

    @property
    def failures(self) -> int:
        """The number of attempts that failed in a way that counts, without deaths."""
        return sum(1 for one in self.attempts if one.failure is not None and not one.died)

    @property
    def own_deaths(self) -> int:
        """The number of deaths that count: after the first ones, and caused by this entity."""
        deaths = [one for one in self.attempts if one.died][ALONE_FROM_DEATHS:]
        return sum(1 for one in deaths if one.killer in (None, self.entity_id))

    @property
    def too_slow(self) -> int:
        """The number of attempts that reached the run time-out."""
        return sum(1 for one in self.attempts if one.failure == "too_slow")


@dataclass(slots=True, eq=False, kw_only=True)
class Entity:
    """All runs of an entity."""

    entity_id: str
    runs: list[Run] = field(default_factory=list)
    #: The time of its deletion, and the time as of which it is deleted.
    forgotten_ms: int | None = None
    deleted_at: int = 0
    #: The time of the last request, in true epoch milliseconds.
    asked_ms: int = -1
    #: The number of requests in flight, and whether there ever was a request to delete.
    asking: int = 0
    to_forget: bool = False
    #: The last time that a client read that a run is pending.
    told_ms: int = -1

    @property
    def newest(self) -> Run | None:
        """The newest run."""
        return self.runs[-1] if self.runs else None


class Lives:
    """The true history of all entities."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.entities: dict[str, Entity] = {}
        self.runs: dict[str, Run] = {}
        self._current: dict[tuple[int, str], Attempt] = {}

    def entity(self, entity_id: str) -> Entity:
        """Return the history of an entity."""
        if entity_id not in self.entities:
            self.entities[entity_id] = Entity(entity_id=entity_id)
        return self.entities[entity_id]

    @staticmethod
    def by_hash(number: int) -> str:
        """Return the entity with this number."""
        return f"shop-{number}"

    # Events of a run

    def opened(self, process: "Process | None", entity_id: str, run_id: str, lane: Lane) -> Run:
        """Note a new run."""
        entity = self.entity(entity_id)
        run = Run(
            run_id=run_id,
            entity_id=entity_id,
            number=len(entity.runs),
            opened_at=self._world.loop.time(),
            opener=process,
            lanes={lane},
        )
        entity.runs.append(run)
        self.runs[run_id] = run
        return run

    def claimed(self, process: "Process", run: Run, worker: str) -> Attempt:
        """Note a claim. If the attempt before it has not ended, its lease has lapsed."""
        if run.attempts and run.attempts[-1].failure is None:
            run.attempts[-1].failure = "lapsed"
        attempt = Attempt(
            worker=worker,
            process=process,
            claimed_at=self._world.loop.time(),
            claimed_ms=true_ms(self._world.loop),
        )
        if process.dead:  # its claim was in flight when it died
            attempt.failure, attempt.killer = "death", process.killer
        run.attempts.append(attempt)
        self._current[process.serial, run.entity_id] = attempt
        receipt = process.receipt(worker)
        for receive in run.receives:
            if receive.receipt == receipt:
                receive.attempted = True
                attempt.receipt = receipt
        return attempt

    def gave_back(self, run: Run) -> None:
        """Remove the current attempt: it was released, and does not count."""
        if run.attempts and run.attempts[-1].failure is None:
            run.attempts.pop()

    def snapshot(self, process: "Process", entity_id: str, as_of: int) -> None:
        """Note the time of a process's snapshot."""
        if (attempt := self._current.get((process.serial, entity_id))) is not None:
            attempt.snapshot_ms = as_of

    def failed_in_passing(self, process: "Process", entity_id: str, type_: str) -> None:
        """Note a failure that counts."""
        process.failed_in_a_row[entity_id] = None
        if (attempt := self._current.get((process.serial, entity_id))) is not None:
            attempt.failure = type_

    def failed_for_good(self, process: "Process", entity_id: str) -> None:
        """Note a permanent failure."""
        newest = self.entity(entity_id).newest
        if newest is not None:
            newest.failed_for_good = True
        if (attempt := self._current.get((process.serial, entity_id))) is not None:
            attempt.failure = "for good"

    def cut(self, process: "Process", entity_id: str) -> None:
        """Note a cancelled read. After the run's deadline it counts as too slow."""
        attempt = self._current.get((process.serial, entity_id))
        if attempt is None or process.dead:
            return
        worked = self._world.loop.time() - attempt.claimed_at
        if worked >= self._world.plan.job_timeout - 1:
            attempt.failure = "too_slow"
            process.failed_in_a_row[entity_id] = None

    def read_ended(self, process: "Process", entity_id: str) -> None:
        """Note that a process has read the features."""
        process.database_done(entity_id)

    def died(self, process: "Process") -> None:
        """Note the death of a process, with all its attempts."""
        for (serial, _), attempt in self._current.items():
            if serial == process.serial and attempt.failure is None:
                run = self._run_of(attempt)
                if run is not None and run.verdict is None:
                    attempt.failure = "death"
                    attempt.killer = process.killer

    def killed(self, process: "Process", entity_id: str) -> None:
        """Note the entity whose run kills a process."""
        process.killer = entity_id

    def _run_of(self, attempt: Attempt) -> Run | None:
        return next((run for run in self.runs.values() if attempt in run.attempts), None)

    # Messages

    def published(self, who: str, meaning: Meaning) -> None:
        """Note a wake-up that reached the topic."""
        run = self.runs.get(meaning.run_id or "")
        if run is not None and run.opener is not None and run.opener.name == who:
            run.published_by_opener = True
        if run is not None and run.promoter is not None and run.promoter.name == who:
            run.published_by_promoter = True

    def hurt(self, entity_id: str | None) -> None:
        """Note that a call about an entity failed after all retries."""
        if entity_id is not None and (newest := self.entity(entity_id).newest) is not None:
            newest.hurt = True

    def woken(self, meaning: Meaning) -> None:
        """Note a message that reached the queue."""
        if meaning.run_id in self.runs:
            self.runs[meaning.run_id].wake_ups += 1

    def excuse(self, stored: Stored) -> str | None:
        """Return why a message, at the time of its receive, need not lead to an attempt."""
        if stored.meaning.kind != "wake-up":
            return "not the wake-up of a run"
        run = self.runs.get(stored.meaning.run_id or "")
        if run is None:
            return "not of a known run"
        if run.verdict is not None:
            return "its run has ended"
        item = self._world.table.items.get(run.entity_id, {})
        if item.get("run_id") != run.run_id:
            return "superseded or deleted"
        return "sent more than once" if run.wake_ups > 1 else None

    def disturb(self, entity_id: str | None, why: str) -> None:
        """Note that the world disturbed an entity's newest run."""
        if entity_id is not None and (newest := self.entity(entity_id).newest) is not None:
            newest.disturbed = newest.disturbed or why

    # Requests by event

    def covers(self, entity_id: str, asked_ms: int) -> bool:
        """Tell whether a run that reads after an event has answered it, or will."""
        entity = self.entity(entity_id)
        if entity.forgotten_ms is not None and asked_ms <= entity.forgotten_ms + (
            _TOMBSTONE_REACH_MS
        ):
            return True
        if any(run.verdict is not None and run.basis_ms >= asked_ms for run in entity.runs):
            return True
        item, newest = self._world.table.items.get(entity_id), entity.newest
        if item is None or newest is None or item.get("run_id") != newest.run_id:
            return False
        if item["state"] == "queued" or item.get("again") is not None:
            return newest.verdict is None
        if item["state"] != "running":
            return False
        snapshot_ms = newest.attempts[-1].snapshot_ms
        return snapshot_ms is None or snapshot_ms >= asked_ms
