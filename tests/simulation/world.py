"""The simulated world: its parts, its daemons, and its end."""

import asyncio
import contextvars
import random
import traceback
from dataclasses import dataclass
from typing import Any, Literal

from fraudd.telemetry.metrics import Metrics
from tests.simulation.answer_checks import AnswerChecks
from tests.simulation.database import Database
from tests.simulation.end_checks import EndChecks
from tests.simulation.faults import Faults
from tests.simulation.lives import Lives
from tests.simulation.loop import NumberedTask, VirtualLoop, cancel_all
from tests.simulation.message_checks import MessageChecks
from tests.simulation.plan import Plan
from tests.simulation.process import HOME, Process
from tests.simulation.queue import QueueService, Receive, Stored
from tests.simulation.record_checks import RecordChecks
from tests.simulation.store import Table
from tests.simulation.topics import TopicService
from tests.simulation.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The broken promise, or the crash, that ended a seed."""

    kind: Literal["safety", "liveness", "crash"]
    promise: str
    entity_id: str | None
    detail: str
    at: float


class World:
    """Everything outside fraudd, and the daemons."""

    def __init__(self, plan: Plan, loop: VirtualLoop) -> None:
        self.plan = plan
        self.loop = loop
        self.trace = Trace()
        #: Of all daemons together: nothing decides by them, and a registry takes a millisecond.
        self.metrics = Metrics()
        self.network = random.Random(f"network {plan.seed}")
        self.rng = random.Random(f"world {plan.seed}")
        self.faults = Faults(plan)
        self.lives = Lives(self)
        self.record_checks = RecordChecks(self)
        self.message_checks = MessageChecks(self)
        self.answer_checks = AnswerChecks(self)
        self.end_checks = EndChecks(self)
        self.table = Table(self)
        self.queue = QueueService(self, "interactive")
        self.bulk_queue = QueueService(self, "bulk")
        self.queues = [self.queue, self.bulk_queue] if plan.has("bulk") else [self.queue]
        self.topics = TopicService(self)
        self.database = Database(self)
        #: Requests of other services that reached the queue.
        self.requests: list[Stored] = []
        self.failure: Failure | None = None
        #: ``over`` is set at the end of the seed. After ``closing`` there are no new requests.
        self.over = asyncio.Event()
        self.closing = False
        self._offsets = [self._offset(number) for number in range(plan.daemons)]
        self._daemons: dict[int, Process] = {}
        self._serial = 0
        self._started_runs: set[str] = set()
        self._all: list[Process] = []
        loop.adopt = self._adopt

    def note(self, who: str, entity_id: str | None, what: str, **details: Any) -> None:
        """Add an event to the trace."""
        self.trace.add(self.loop.time(), who, entity_id, what, **details)

    def fail(
        self,
        kind: Literal["safety", "liveness", "crash"],
        promise: str,
        entity_id: str | None,
        detail: str,
    ) -> None:
        """End the seed with a failure."""
        self.note("world", entity_id, "BROKEN", promise=promise, detail=detail)
        if self.failure is None:
            self.failure = Failure(
                kind=kind,
                promise=promise,
                entity_id=entity_id,
                detail=detail,
                at=self.loop.time(),
            )
        self.over.set()

    def broken(self, promise: str, entity_id: str | None, detail: str) -> None:
        """Report a broken promise. The first one ends the seed."""
        self.fail("safety", promise, entity_id, detail)

    def crashed(self, process: Process, error: BaseException) -> None:
        """Report an exception of the engine."""
        if isinstance(error, asyncio.CancelledError) and self.over.is_set():
            return
        text = "".join(traceback.format_exception(error))
        self.fail("crash", "the engine raises nothing", None, f"{process.name}\n{text}")

    # Daemons

    def start_all(self) -> None:
        """Start every daemon."""
        for number in range(self.plan.daemons):
            self._start(number)

    def alive(self) -> list[Process]:
        """Return the running processes."""
        return [one for one in self._daemons.values() if not one.dead and not one.ended]

    def serving(self) -> list[Process]:
        """Return the processes that accept requests."""
        return [one for one in self._daemons.values() if one.serves]

    def close(self) -> None:
        """End all processes, and close the loop."""
        self.over.set()
        for process in self._all:
            process.dead = True
        cancel_all(self.loop)
        self.loop.close()

    def gone(self, process: Process) -> None:
        """Restart a daemon whose process died or ended."""
        delay = self.rng.uniform(0.5, 20.0) if self.faults.on else 1.0
        self.loop.call_later(delay, self._start, process.number)

    def _start(self, number: int) -> None:
        self._serial += 1
        process = Process(self, number, self._serial, self._offsets[number])
        self._daemons[number] = process
        self._all.append(process)
        process.start()

    def _offset(self, number: int) -> int:
        if self.plan.has("clock_minutes_off") and number and number == self.plan.daemons - 1:
            self.faults.strike("clock_minutes_off")
            return self.rng.choice((-1, 1)) * self.rng.randint(30_000, 600_000)
        if self.plan.has("clock_skewed"):
            self.faults.strike("clock_skewed")
            return self.rng.randint(-1000, 1000)
        return 0

    def _adopt(self, task: NumberedTask, context: contextvars.Context | None) -> None:
        home = HOME.get() if context is None else context.get(HOME)
        if home is not None:
            home.adopt(task)

    def start(self, run_id: str) -> bool:
        """Note that a client got ``started`` for a run. Return whether it is the first one."""
        if run_id in self._started_runs:
            return False
        self._started_runs.add(run_id)
        return True

    # The queues of all lanes

    @property
    def messages(self) -> list[Stored]:
        """Return the messages of all queues."""
        return [one for queue in self.queues for one in queue.messages]

    @property
    def receives(self) -> list[Receive]:
        """Return all receives, past and present."""
        return [one for queue in self.queues for one in queue.receives]

    @property
    def dead(self) -> list[Stored]:
        """Return all dead letters."""
        return [one for queue in self.queues for one in queue.dead]

    # The end

    def pending(self) -> list[str]:
        """Return the entities with a pending run."""
        return [
            entity_id
            for entity_id, item in self.table.items.items()
            if item["state"] in ("queued", "running")
        ]

    def silent(self) -> dict[str, str]:
        """Return the pending runs that have no wake-up message, with their entities."""
        if self.topics.under_way:
            return {}
        woken = {message.meaning.run_id for message in self.messages}
        pending = {str(self.table.items[entity].get("run_id")): entity for entity in self.pending()}
        return {run_id: entity for run_id, entity in pending.items() if run_id not in woken}

    def look_whether_over(self) -> None:
        """End the seed if no run is pending and nothing is in flight."""
        if not self.closing or self.topics.under_way or self.messages or self.pending():
            return
        self.over.set()
