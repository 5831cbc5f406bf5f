"""What must hold of messages, polls, permits and connections, checked at each event."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fraudd.engine.breaker import FAULT_RUNS
from fraudd.engine.job import Job
from fraudd.prediction.record import ALONE_FROM_DEATHS, SKEW_MARGIN_MS, Lane
from tests.simulation.clocks import true_ms
from tests.simulation.lives import Run
from tests.simulation.promises import (
    APART_MS,
    CLAIMED,
    CONNECTIONS,
    COVERED,
    DEAD_LETTERED,
    HEALTHY,
    LATE_HEARTBEAT,
    OWN_LANE,
    PERMIT,
    POLLS,
    PRIORITY,
    PROMOTED,
    RELEASED,
    STORED,
    TRIALS,
)
from tests.simulation.queue import Meaning, Receive, Stored

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World


class MessageChecks:
    """Hears of every message that is sent, handed out, hidden, copied, buried or deleted."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def sent(self, stored: Stored) -> None:
        """Note a message in the queue; another service's is a request."""
        meaning = stored.meaning
        if meaning.kind == "request" and meaning.entity_id is not None:
            entity = self._world.lives.entity(meaning.entity_id)
            entity.asked_ms = stored.sent_at
            self._world.requests.append(stored)

    def deleting(self, process: "Process", stored: Stored) -> None:
        """Check that nothing is lost with a message."""
        meaning = stored.meaning
        if stored.copied or (meaning.entity_id is None and stored.buried):
            return
        if meaning.kind == "malformed" or meaning.entity_id is None:
            self._world.broken(STORED, None, "a malformed message was deleted, and no copy kept")
        elif meaning.kind == "request":
            if not self._world.lives.covers(meaning.entity_id, meaning.asked_at):
                self._world.broken(
                    COVERED, meaning.entity_id, "an event was deleted that nothing covers"
                )
            self._check_promoted(meaning)
        else:
            run = self._world.lives.runs.get(meaning.run_id or "")
            item = self._world.table.items.get(meaning.entity_id, {})
            owed = run is not None and run.verdict is None and item.get("run_id") == run.run_id
            if owed:
                self._world.broken(
                    STORED, meaning.entity_id, f"{process.name} deleted a wake-up owed"
                )

    def _check_promoted(self, meaning: Meaning) -> None:
        """Check that another service's event does not wait behind the bulk lane."""
        item = self._world.table.items.get(meaning.entity_id or "", {})
        opened_ms = int(str(item.get("requested_at", 0)))
        # What has begun may be queued again, in its lane, while the event is being deleted.
        waits = item.get("state") == "queued" and "started_at" not in item
        if waits and item.get("lane") == "bulk" and opened_ms < meaning.asked_at - APART_MS:
            self._world.broken(
                PROMOTED, meaning.entity_id, "an event is covered by a run that waits in bulk"
            )

    def burying(self, process: "Process", stored: Stored, reason: str) -> None:
        """Check a message that fraudd itself sends to the dead-letter queue."""
        meaning = stored.meaning
        stored.buried = True
        if meaning.kind == "malformed":
            if reason != "malformed":
                self._world.broken(DEAD_LETTERED, None, f"a malformed message was called {reason}")
            return
        run = self._world.lives.runs.get(meaning.run_id or "")
        if run is None or run.verdict != "failed":
            self._world.broken(
                DEAD_LETTERED, meaning.entity_id, f"{process.name} buried it: {reason}"
            )

    def taken_away(self, stored: Stored) -> None:
        """Check a message that SQS moves to the dead-letter queue."""
        half = self._world.plan.max_receive_count / 2
        for count, receive in enumerate(stored.receives, 1):
            if count >= half and receive.hidden_back:
                self._world.broken(
                    DEAD_LETTERED, stored.meaning.entity_id, f"given back by visibility at {count}"
                )

    def beaten(self, process: "Process", receive: Receive) -> None:
        """Check a beat that reaches the queue: not too late, and in time for the lease."""
        meaning = receive.stored.meaning
        if receive.finished and not process.link.client_gone:
            self._world.broken(
                LATE_HEARTBEAT, meaning.entity_id, f"{process.name} hides what it gave back"
            )
        run = self._world.lives.runs.get(meaning.run_id or "")
        if run is None or not self._held_by(process, run):
            return
        item, now = self._world.table.items[run.entity_id], true_ms(self._world.loop)
        ran_out = int(str(item["lease_until"])) + APART_MS < now
        since = run.attempts[-1].claimed_at - self._world.plan.visibility
        if ran_out and process.well(since, self._world.loop.time()):
            self._world.broken(
                CLAIMED, run.entity_id, f"the lease ran out in the hands of {process.name}"
            )

    def giving_back(self, process: "Process", receive: Receive) -> None:
        """Check a message that is given back: its run is queued by then."""
        run = self._world.lives.runs.get(receive.stored.meaning.run_id or "")
        if run is None or not self._held_by(process, run):
            return
        if run.attempts[-1].receipt == receive.receipt:
            self._world.broken(RELEASED, run.entity_id, f"{process.name} gives back what it holds")

    def _held_by(self, process: "Process", run: Run) -> bool:
        """Whether a process holds the claim on a run, by the record."""
        item = self._world.table.items.get(run.entity_id, {})
        if not run.attempts or item.get("run_id") != run.run_id or item["state"] != "running":
            return False
        attempt = run.attempts[-1]
        return attempt.process is process and attempt.worker == item.get("worker")

    def poll_cut_off(self, process: "Process") -> None:
        """Check a poll that its process does not wait for any more."""
        if not process.dead and not process.released and not self._world.over.is_set():
            self._world.broken(
                POLLS, None, f"{process.name} cuts off its poll, and what that may bring"
            )

    def waking(self, process: "Process", meaning: Meaning, lane: Lane) -> None:
        """Check a wake-up before it is sent."""
        run = self._world.lives.runs.get(meaning.run_id or "")
        if run is not None and lane not in run.lanes:
            self._world.broken(
                OWN_LANE, run.entity_id, f"{process.name} sends its wake-up in the {lane} lane"
            )

    def polling(self, process: "Process", lane: Lane, most: int) -> bool:
        """Check a poll before it goes out; tells whether every run fails, as far as it knows."""
        state = process.engine.breaker.state
        if process.dead:
            return False
        in_hand = len(process.engine.consumers.jobs)
        if process.draining:
            self._world.broken(POLLS, None, f"{process.name} polls while it drains")
        if lane in process.polling:
            self._world.broken(POLLS, None, f"{process.name} has two polls outstanding")
        if abs(process.clock.offset_ms) > 2 * SKEW_MARGIN_MS:
            self._world.broken(POLLS, None, f"{process.name} polls by a clock that is off")
        in_a_row = len(process.failed_in_a_row)
        most_in_a_row = FAULT_RUNS + self._world.plan.consumers
        if in_a_row > most_in_a_row and process.engine.breaker.state == "closed":
            self._world.broken(
                TRIALS, None, f"{process.name} goes on after {in_a_row} runs that failed"
            )
        if state != "closed" and (most > 1 or in_hand or process.polling):
            self._world.broken(
                POLLS, None, f"{process.name} polls for {most}, the breaker open: {state}"
            )
        if lane == "bulk":
            self._check_priority(process, most)
        self._check_permits(process, most)
        return state == "fault"

    def _check_priority(self, process: "Process", most: int) -> None:
        """Check that the interactive lane has nothing, and that a pair is left to it."""
        if "interactive" not in process.polling and process.brought.get("interactive", True):
            self._world.broken(
                PRIORITY, None, f"{process.name} polls the bulk lane before the other"
            )
        permits, consumers = process.permits.limit, self._world.plan.consumers
        if min(permits, consumers) < 2:
            return  # they take turns with the only one
        # What must be alone has all of them, whatever lane it is of.
        jobs = [one for one in process.engine.consumers.jobs if _of_bulk(one)]
        reading = sum(1 for one in process.unread() if _of_bulk(one))
        if reading + most >= permits or len(jobs) + most >= consumers:
            self._world.broken(
                PRIORITY,
                None,
                f"{process.name} would hold {reading + most} of {permits} permits and"
                f" {len(jobs) + most} of {consumers} consumers for the bulk lane",
            )

    def received(self, process: "Process", receives: Sequence[Receive], *, in_fault: bool) -> None:
        """Check what a poll brought."""
        in_hand = {job.lease.message.message_id for job in process.engine.consumers.jobs}
        for receive in receives:
            receive.delivered = True
            receive.probe = in_fault
            message_id = receive.stored.message_id
            twice = sum(1 for one in receives if one.stored.message_id == message_id) > 1
            if twice or message_id in in_hand:
                self._renew(process, message_id)
            run = self._world.lives.runs.get(receive.stored.meaning.run_id or "")
            if run is not None:
                run.receives.append(receive)
        self._check_permits(process, len({one.stored.message_id for one in receives}))

    def _renew(self, process: "Process", message_id: str) -> None:
        for one in self._world.receives:
            if one.process is process and one.stored.message_id == message_id:
                one.renewed = True

    def _check_permits(self, process: "Process", more: int) -> None:
        unread = [one for one in process.unread() if not self._waits_alone(one.entity_id or "-")]
        more += sum(process.polling.values())
        if len(unread) + more > process.permits.in_use:
            self._world.broken(
                PERMIT,
                None,
                f"{process.name} has {process.permits.in_use} permits in use for {len(unread)}"
                f" messages in hand and {more} to come",
            )

    def _waits_alone(self, entity_id: str) -> bool:
        """Whether a run of it died: only such a one may wait, without a permit, for all of them."""
        runs = self._world.lives.entity(entity_id).runs
        return any(attempt.died for run in runs for attempt in run.attempts)

    def reading(
        self, process: "Process", number: int, reading: dict[int, str], entity_id: str
    ) -> None:
        """Check a read before it begins."""
        permits = process.permits
        items = self._world.table.items
        killers = [
            one
            for one in (*reading.values(), entity_id)
            if int(str(items.get(one, {}).get("deaths", 0))) >= ALONE_FROM_DEATHS
        ]
        if killers and reading:
            self._world.broken(
                HEALTHY, entity_id, f"{killers[0]} kills, and is not worked on alone"
            )
        if number in reading or not 0 <= number < permits.maximum:
            self._world.broken(
                CONNECTIONS, entity_id, f"{process.name} reads twice on permit {number}"
            )
        if len(reading) + 1 > permits.in_use:
            self._world.broken(
                CONNECTIONS,
                entity_id,
                f"{process.name} reads {len(reading) + 1} at once with {permits.in_use} permits",
            )


def _of_bulk(job: Job) -> bool:
    return job.lease.message.lane == "bulk" and not job.alone
