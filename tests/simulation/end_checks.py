"""What can be told only once a process, or everything, has come to its end."""

from typing import TYPE_CHECKING

from tests.simulation.lives import Entity, Run
from tests.simulation.promises import (
    BOUNDED,
    COVERED,
    DRAINED,
    ENDS,
    PROMOTED,
    PUBLISHED,
    RECEIVES,
    RELEASED,
)
from tests.simulation.queue import Receive

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

#: Tasks that a process has at rest, and for each message in hand.
_TASKS_AT_REST, _TASKS_EACH = 8, 6
#: A sweep sends up to ten wake-up messages at the same time.
_TASKS_OF_SWEEP = 10
#: Sampler and poller of the bulk lane.
_TASKS_OF_BULK = 2


class EndChecks:
    """Looks at processes that end, and at the whole at its end."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def ended(self, process: "Process") -> None:
        """Check a process that has drained."""
        now = self._world.loop.time()
        if not process.draining:
            self._world.broken(BOUNDED, None, f"{process.name} ended though nobody stopped it")
        if process.permits.in_use:
            self._world.broken(BOUNDED, None, f"{process.name} ended with permits in use")
        if process.disturbed or process.skew.blocked_by is not None:
            return
        mine = [one for one in self._world.receives if one.process is process]
        # Of a message that SQS holds twice one is settled; the other runs out.
        finished = {one.stored.message_id for one in mine if one.finished}
        for receive in mine:
            stored = receive.stored
            if stored.deleted or stored.message_id in finished:
                continue
            entity_id = stored.meaning.entity_id or ""
            if self._world.lives.entity(entity_id).forgotten_ms is not None:
                continue  # who finds the run forgotten leaves the message to who gets it next
            if receive.delivered and stored.receives[-1] is receive and stored.visible_at > now:
                self._world.broken(
                    DRAINED, stored.meaning.entity_id, f"{process.name} left it hidden"
                )

    def task_started(self, process: "Process") -> None:
        """Check that tasks do not pile up."""
        plan = self._world.plan
        asking = 2 * process.asking  # a call, and the write that it must not cut off
        at_rest = _TASKS_AT_REST + _TASKS_OF_BULK * plan.has("bulk")
        most = at_rest + _TASKS_EACH * plan.consumers + asking + _TASKS_OF_SWEEP
        if len(process.tasks) > most and not process.dead:
            self._world.broken(BOUNDED, None, f"{process.name} has {len(process.tasks)} tasks")

    def at_the_end(self) -> None:
        """Check what can only be told once everything pending has ended."""
        lives = self._world.lives
        for entity in lives.entities.values():
            self._all_announced(entity)
            for run in entity.runs:
                self._all_at_once(run)
        for stored in self._world.requests:
            meaning = stored.meaning
            assert meaning.entity_id is not None
            gone = stored.deleted and stored not in self._world.dead
            if gone and not lives.covers(meaning.entity_id, meaning.asked_at):
                self._world.broken(COVERED, meaning.entity_id, "an event that nothing covers")
        for receive in self._world.receives:
            if (why := self._wasted(receive)) is not None:
                self._world.broken(RECEIVES, receive.stored.meaning.entity_id, why)
        self._all_let_go()
        for process in self._world.alive():
            if process.permits.in_use > 10 or process.engine.consumers.jobs:
                self._world.broken(BOUNDED, None, f"{process.name} holds something at rest")

    def _all_at_once(self, run: Run) -> None:
        """Check that who opens or ends a run goes on to the next step itself."""
        opener, ender = run.opener, run.ender
        entity = self._world.lives.entity(run.entity_id)
        stopped = entity.forgotten_ms is not None
        if (
            opener is not None
            and opener.well(run.opened_at - 15, run.opened_at + 60)
            and not (run.published_by_opener or stopped)
        ):
            self._world.broken(ENDS, run.entity_id, f"{opener.name} did not publish what it opened")
        promoter = run.promoter
        if (
            promoter is not None
            and promoter.well(run.promoted_at - 15, run.promoted_at + 60)
            and not (run.published_by_promoter or stopped)
        ):
            self._world.broken(
                PROMOTED, run.entity_id, f"{promoter.name} did not publish what it moved"
            )
        # Who tries again to write what had landed may find a newer end, which was announced.
        newest = run is entity.newest
        if ender is None or run.hurt or not newest or stopped:
            return
        visibility = self._world.plan.visibility
        if ender.well(run.ended_at - 15, run.ended_at + visibility):
            late = (run.announced_at or float("inf")) - run.ended_at
            if late > visibility / 2 + 1:
                self._world.broken(
                    PUBLISHED, run.entity_id, f"{ender.name} did not say that it ended"
                )

    def _all_let_go(self) -> None:
        """Check that every message in hand was deleted or given back."""
        for receive in self._world.receives:
            process, stored = receive.process, receive.stored
            entity_id = stored.meaning.entity_id
            if entity_id is not None:
                entity = self._world.lives.entity(entity_id)
                run = self._world.lives.runs.get(stored.meaning.run_id or "")
                by_another = run is not None and (
                    run is not entity.newest
                    or run.wake_ups > 1
                    or any(attempt.failure == "lapsed" for attempt in run.attempts)
                )
                if entity.forgotten_ms is not None or by_another:
                    continue  # who finds the run gone leaves the message to who gets it next
            later = [one.at for one in stored.receives if one.at > receive.at]
            end = min(later, default=self._world.loop.time())
            kept = receive.delivered and not (receive.finished or receive.renewed)
            if kept and process.obeyed(receive.at - 1, end):
                self._world.broken(RELEASED, entity_id, f"{process.name} kept it")

    def _all_announced(self, entity: Entity) -> None:
        for run in reversed(entity.runs):
            if run.verdict is None:
                continue
            if run.announced:
                return
            # What SQS took away between the two is announced once it is sent back.
            dead = any(one.meaning.run_id == run.run_id for one in self._world.dead)
            short_lived = self._world.plan.ttl < 3600  # nobody can announce what has expired
            gone = short_lived and entity.entity_id not in self._world.table.items
            if entity.forgotten_ms is None and not dead and not gone:
                self._world.broken(PUBLISHED, entity.entity_id, f"run {run.run_id} ended unheard")

    def _wasted(self, receive: Receive) -> str | None:
        """Say which receive came to nothing though the world did nothing to it."""
        process, stored = receive.process, receive.stored
        run = self._world.lives.runs.get(stored.meaning.run_id or "")
        if receive.attempted or receive.excuse is not None or run is None:
            return None
        if not receive.delivered or process.dead or process.disturbed or process.released:
            return None
        if run.disturbed or run.wake_ups > 1 or process.skew.blocked_by is not None:
            return None
        if any(one.process.dead or one.process.disturbed for one in stored.receives):
            return None
        if run.verdict == "failed" and not run.attempts:
            return None  # nobody began it in time
        if self._world.lives.entity(run.entity_id).forgotten_ms is not None and not run.attempts:
            return None  # it was forgotten while it was being claimed
        if self._world.plan.has("clock_skewed") and receive is not stored.receives[0]:
            return None  # its back-off was over by one clock, not by another
        return f"message {stored.message_id} was received at {receive.at:.3f} for nothing"
