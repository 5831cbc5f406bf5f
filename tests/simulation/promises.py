"""What fraudd promises, checked at every event of the world and once more at its end."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from fraudd.breaker import FAULT_PROBE_SECONDS, FAULT_RUNS
from fraudd.prediction import ALONE_FROM_DEATHS, SKEW_MARGIN_MS, Record
from fraudd.verdict import MOST_DOUBLINGS
from tests.simulation.clocks import true_ms
from tests.simulation.lives import Entity, Run
from tests.simulation.queue import Receive, Stored

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.store import Item
    from tests.simulation.world import World

ENDS: Final = "every accepted request ends within its bound"
NEWEST: Final = "an older run never overwrites a newer one"
CLAIMED: Final = "a run is worked on under one live claim"
DURABLE: Final = "a message is deleted only after what it asked for is durable"
BURIED: Final = "no healthy message is dead-lettered"
OUTAGE: Final = "an outage, or a drain, costs no attempt"
HEALTHY: Final = "a healthy run never fails"
COVERED: Final = "an event is covered by a run that read after it was sent"
RECEIVES: Final = "a receive begins an attempt, unless the world is to blame"
CONNECTIONS: Final = "no more connections than permits"
PERMIT: Final = "no message is held without a permit"
READABLE: Final = "who was told 202 never finds 404 or an older state"
ONE_RUN: Final = "concurrent requests open one run"
ANNOUNCED: Final = "every run that ended is announced"
AFTER_DURABLE: Final = "nothing is announced before it is durable"
POLLS: Final = "no poll while something is wrong or the daemon drains"
DRAINED: Final = "after a drain no message stays hidden"
BACKED_OFF: Final = "a run is not claimed before its back-off is over"
FORGOTTEN: Final = "what is forgotten stays forgotten"
BOUNDED: Final = "nothing grows without bound"
SWEPT: Final = "a wake-up is sent again only where it is lost"
LET_GO: Final = "whoever is done with a message lets go of it"
LATE_BEAT: Final = "no late beat undoes what was decided"
PROBES: Final = "one fault that hits every run costs one attempt a probe"

PROMISES: Final = (
    ENDS, NEWEST, CLAIMED, DURABLE, BURIED, OUTAGE, HEALTHY, COVERED, RECEIVES, CONNECTIONS,
    PERMIT, READABLE, ONE_RUN, ANNOUNCED, AFTER_DURABLE, POLLS, DRAINED, BACKED_OFF, FORGOTTEN,
    BOUNDED, PROBES, SWEPT, LET_GO, LATE_BEAT,
)  # fmt: skip

#: How far two clocks that are taken for right may be apart, and what whole numbers cut off.
_APART_MS = SKEW_MARGIN_MS + 10
#: Tasks that a process has at rest, and for each message in hand.
_TASKS_AT_REST, _TASKS_EACH = 8, 6


class Promises:
    """Hears of everything that happens; a promise that is broken ends the seed."""

    def __init__(self, world: "World") -> None:
        self._world = world

    # The record

    def written(self, process: "Process | None", entity_id: str, old: "Item", new: "Item") -> None:
        """Check one write, and note what it means for the run."""
        lives = self._world.lives
        entity = lives.entity(entity_id)
        if new["state"] == "forgotten":
            if not entity.to_forget:
                self.broken(FORGOTTEN, entity_id, "a tombstone that nobody asked for")
            entity.forgotten_ms = true_ms(self._world.loop)
            entity.forgotten_at = int(str(new["forgotten_at"]))
            self.settled()
            return
        ended = self._verdict(process, entity, old, new)
        if new.get("run_id") != old.get("run_id"):
            self._opening(entity, old, ended)
            lives.opened(process, entity_id, str(new["run_id"]))
        elif process is not None:
            self._moved(process, entity, old, new)
        self.settled()

    def _verdict(self, process: "Process | None", entity: Entity, old: "Item", new: "Item") -> bool:
        """Check a verdict, if the write brings one."""
        lives = self._world.lives
        for name, state in (("result", "done"), ("error", "failed")):
            verdict = new.get(name)
            if not isinstance(verdict, dict) or verdict == old.get(name):
                continue
            run = lives.runs.get(verdict["run_id"])
            if run is None or run is not entity.newest or old.get("run_id") != run.run_id:
                self.broken(NEWEST, entity.entity_id, f"a verdict of {verdict['run_id']}")
                return True
            if run.verdict is not None:
                self.broken(NEWEST, entity.entity_id, "a second verdict of one run")
            attempt = run.attempts[-1] if run.attempts else None
            if state == "done":
                if attempt is None or attempt.process is not process:
                    self.broken(CLAIMED, entity.entity_id, "ended by who does not hold its claim")
                elif old.get("worker") != attempt.worker:
                    self.broken(CLAIMED, entity.entity_id, "ended under a claim that is lost")
                run.verdict = "done"
                run.basis_ms = (attempt.snapshot_ms if attempt else None) or 0
            else:
                self._check_failure(run, old)
                run.verdict = "failed"
                if old.get("state") == "running" and (
                    attempt is None or old.get("worker") != attempt.worker
                ):
                    self.broken(CLAIMED, entity.entity_id, "failed under a claim that is lost")
                run.basis_ms = true_ms(self._world.loop)
                if attempt is not None and old.get("state") == "running":
                    run.basis_ms = attempt.snapshot_ms or attempt.claimed_ms
            run.ender, run.ended_at = process, self._world.loop.time()
            return True
        return False

    def _check_failure(self, run: Run, old: "Item") -> None:
        plan = self._world.plan
        age = (true_ms(self._world.loop) - int(str(old.get("requested_at", 0)))) / 1000
        expired = (
            plan.max_wait is not None
            and "started_at" not in old
            and age > plan.max_wait - _APART_MS / 1000
        )
        worn_out = run.failures + run.own_deaths >= plan.max_attempts
        if not (run.failed_for_good or run.too_slow >= 2 or expired or worn_out):
            attempts = [one.failure for one in run.attempts]
            self.broken(HEALTHY, run.entity_id, f"run {run.run_id} failed after {attempts}")

    def _opening(self, entity: Entity, old: "Item", ended: bool) -> None:
        if old.get("state") in ("queued", "running") and not ended:
            self.broken(ONE_RUN, entity.entity_id, "a run was opened beside a pending one")
        if entity.asked_ms < entity.forgotten_at - _APART_MS and not entity.asking:
            self.broken(FORGOTTEN, entity.entity_id, "opened though nobody asked since")

    def _moved(self, process: "Process", entity: Entity, old: "Item", new: "Item") -> None:
        """Check a claim, and a run that is queued again."""
        run = entity.newest
        if run is None:
            return
        now = true_ms(self._world.loop)
        if new.get("worker") != old.get("worker"):
            run.changed_at = self._world.loop.time()
        if new.get("worker") is not None and new.get("worker") != old.get("worker"):
            lease_until = int(str(old.get("lease_until", 0)))
            if old["state"] == "running" and now <= lease_until + SKEW_MARGIN_MS - _APART_MS:
                self.broken(CLAIMED, entity.entity_id, "a live claim was taken away")
            self._check_taking_over(process, run, old)
            if now < int(str(old.get("not_before", 0))) - _APART_MS:
                self.broken(BACKED_OFF, entity.entity_id, "claimed before its back-off was over")
            if int(str(new["lease_until"])) > now + self._world.plan.visibility * 1000:
                self.broken(CLAIMED, entity.entity_id, "the lease outlives the visibility")
            self._world.lives.claimed(process, run, str(new["worker"]))
            self._check_probe(process, run)
        elif new.get("published_at") not in (None, old.get("published_at")):
            self._check_sweep(entity, old)
        elif old["state"] == "running" and new["state"] == "queued":
            if not run.attempts or run.attempts[-1].process is not process:
                self.broken(CLAIMED, entity.entity_id, "queued again by who does not hold it")
                return
            if int(str(new["attempts"])) < int(str(old["attempts"])):
                self._world.lives.gave_back(run)
            elif run.attempts[-1].failure is None:
                self.broken(OUTAGE, entity.entity_id, "an attempt was counted that did not fail")

    def _check_taking_over(self, process: "Process", run: Run, old: "Item") -> None:
        """Check why a claim is taken over: its holder died, or could not renew it."""
        if old["state"] != "running" or not run.attempts:
            return
        holder = run.attempts[-1].process
        since = run.attempts[-1].claimed_at - self._world.plan.visibility
        well = holder.well(since, self._world.loop.time())
        if well and run.attempts[-1].failure is None:
            self.broken(CLAIMED, run.entity_id, f"the claim of {holder.name} lapsed in its hands")
        breaker = process.engine.breaker
        answering = breaker.answering_for("store", self._world.loop.time())
        if 0 < answering < self._world.plan.visibility - 1:
            self.broken(OUTAGE, run.entity_id, "taken over before its holder could beat again")

    def _check_sweep(self, entity: Entity, old: "Item") -> None:
        """Check a wake-up that is sent again."""
        now, plan = true_ms(self._world.loop), self._world.plan
        due = int(str(old.get("not_before", 0)))
        if old["state"] == "running":
            due = int(str(old.get("lease_until", 0))) + SKEW_MARGIN_MS
        newest = entity.newest
        changed_at = newest.changed_at if newest else 0.0
        # The sweeper reads, then writes: what changed between the two is no fault of its.
        raced = self._world.loop.time() - changed_at < 4 * plan.read_timeout + 2
        if now < due - _APART_MS and not raced:
            self.broken(SWEPT, entity.entity_id, "sent again though nobody may work on it yet")
        if (sent := old.get("published_at")) is None:
            return
        run_id = old["run_id"]
        there = any(one.meaning.run_id == run_id for one in self._world.queue.messages)
        wait = plan.requeue_after * 1000 * 2 ** min(int(str(old["requeues"])), MOST_DOUBLINGS)
        if there and not plan.has("stale_counts") and now < int(str(sent)) + wait - _APART_MS:
            self.broken(SWEPT, entity.entity_id, "sent again though it is in the queue")

    def _check_probe(self, process: "Process", run: Run) -> None:
        """Check that attempts are rare while every run fails, but for what was in hand already."""
        mine = [one.at for one in run.receives if one.process is process]
        in_hand = len(process.engine.consumers.jobs)
        if process.engine.breaker.state != "fault" or in_hand > 1 or not mine:
            return
        since = mine[-1] - process.probed_at
        if since < FAULT_PROBE_SECONDS - 1:
            self.broken(PROBES, run.entity_id, f"{process.name} probes again after {since:.1f} s")
        process.probed_at = mine[-1]

    # Messages

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
            self.broken(DURABLE, None, "a malformed message was deleted, and no copy kept")
        elif meaning.kind == "request":
            if not self._world.lives.covers(meaning.entity_id, meaning.asked_at):
                self.broken(COVERED, meaning.entity_id, "an event was deleted that nothing covers")
        else:
            run = self._world.lives.runs.get(meaning.run_id or "")
            item = self._world.table.items.get(meaning.entity_id, {})
            owed = run is not None and run.verdict is None and item.get("run_id") == run.run_id
            if owed:
                self.broken(DURABLE, meaning.entity_id, f"{process.name} deleted a wake-up owed")

    def burying(self, process: "Process", stored: Stored, reason: str) -> None:
        """Check a message that fraudd itself sends to the dead-letter queue."""
        meaning = stored.meaning
        stored.buried = True
        if meaning.kind == "malformed":
            if reason != "malformed":
                self.broken(BURIED, None, f"a malformed message was called {reason}")
            return
        run = self._world.lives.runs.get(meaning.run_id or "")
        if run is None or run.verdict != "failed":
            self.broken(BURIED, meaning.entity_id, f"{process.name} buried it: {reason}")

    def taken_away(self, stored: Stored) -> None:
        """Check a message that SQS moves to the dead-letter queue."""
        half = self._world.plan.max_receive_count / 2
        for count, receive in enumerate(stored.receives, 1):
            if count >= half and receive.hidden_back:
                self.broken(
                    BURIED, stored.meaning.entity_id, f"given back by visibility at {count}"
                )

    def beaten(self, process: "Process", receive: Receive) -> None:
        """Check a beat that reaches the queue: not too late, and in time for the lease."""
        meaning = receive.stored.meaning
        if receive.given_back and not process.link.client_gone:
            self.broken(LATE_BEAT, meaning.entity_id, f"{process.name} hides what it gave back")
        run = self._world.lives.runs.get(meaning.run_id or "")
        if run is None or not self._held_by(process, run):
            return
        item, now = self._world.table.items[run.entity_id], true_ms(self._world.loop)
        ran_out = int(str(item["lease_until"])) + _APART_MS < now
        since = run.attempts[-1].claimed_at - self._world.plan.visibility
        if ran_out and process.well(since, self._world.loop.time()):
            self.broken(CLAIMED, run.entity_id, f"the lease ran out in the hands of {process.name}")

    def giving_back(self, process: "Process", receive: Receive) -> None:
        """Check a message that is given back: its run is queued by then."""
        run = self._world.lives.runs.get(receive.stored.meaning.run_id or "")
        if run is None or not self._held_by(process, run):
            return
        if run.attempts[-1].receipt == receive.receipt:
            self.broken(LET_GO, run.entity_id, f"{process.name} gives back what it holds")

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
            self.broken(POLLS, None, f"{process.name} cuts off its poll, and what that may bring")

    def polling(self, process: "Process", most: int) -> None:
        """Check a poll before it goes out."""
        if process.dead:
            return
        in_hand = len(process.engine.consumers.jobs)
        if process.draining:
            self.broken(POLLS, None, f"{process.name} polls while it drains")
        if process.polling:
            self.broken(POLLS, None, f"{process.name} has two polls outstanding")
        if abs(process.clock.offset_ms) > 2 * SKEW_MARGIN_MS:
            self.broken(POLLS, None, f"{process.name} polls by a clock that is off")
        in_a_row = len(process.failed_in_a_row)
        most_in_a_row = FAULT_RUNS + self._world.plan.consumers
        if in_a_row > most_in_a_row and process.engine.breaker.state == "closed":
            self.broken(PROBES, None, f"{process.name} goes on after {in_a_row} runs that failed")
        state = process.engine.breaker.state
        if state != "closed" and (most > 1 or in_hand):
            self.broken(POLLS, None, f"{process.name} polls for {most}, the breaker open: {state}")
        self._check_permits(process, most)

    def received(self, process: "Process", receives: Sequence[Receive]) -> None:
        """Check what a poll brought."""
        in_hand = {job.lease.message.message_id for job in process.engine.consumers.jobs}
        for receive in receives:
            receive.delivered = True
            message_id = receive.stored.message_id
            twice = sum(1 for one in receives if one.stored.message_id == message_id) > 1
            if twice or message_id in in_hand:
                self._renew(process, message_id)
            run = self._world.lives.runs.get(receive.stored.meaning.run_id or "")
            if run is not None:
                run.receives.append(receive)
        self._check_permits(process, len({one.stored.message_id for one in receives}))

    def _renew(self, process: "Process", message_id: str) -> None:
        for one in self._world.queue.receives:
            if one.process is process and one.stored.message_id == message_id:
                one.renewed = True

    def _check_permits(self, process: "Process", more: int) -> None:
        unread = [entity_id for entity_id in process.unread() if not self._waits_alone(entity_id)]
        if len(unread) + more > process.permits.in_use:
            self.broken(
                PERMIT,
                None,
                f"{process.name} has {process.permits.in_use} permits in use for {len(unread)}"
                f" messages in hand and {more} to come",
            )

    def _waits_alone(self, entity_id: str) -> bool:
        """Whether a run of it died: only such a one may wait, without a permit, for all of them."""
        runs = self._world.lives.entity(entity_id).runs
        return any(attempt.died for run in runs for attempt in run.attempts)

    # The database

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
            self.broken(HEALTHY, entity_id, f"{killers[0]} kills, and is not worked on alone")
        if number in reading or not 0 <= number < permits.limit:
            self.broken(CONNECTIONS, entity_id, f"{process.name} reads twice on permit {number}")
        if len(reading) + 1 > permits.in_use:
            self.broken(
                CONNECTIONS,
                entity_id,
                f"{process.name} reads {len(reading) + 1} at once with {permits.in_use} permits",
            )

    # Announcements and answers

    def announced(self, process: "Process", entity_id: str, run_id: str, type_: str) -> None:
        """Check an announcement that reaches the topic."""
        self._world.note(process.name, entity_id, "announced", run=run_id, type=type_)
        run = self._world.lives.runs.get(run_id)
        if run is None or type_ != f"fraudd.prediction.{run.verdict}":
            self.broken(AFTER_DURABLE, entity_id, f"{type_} of {run_id}")
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
    ) -> None:
        """Check what a caller was told, against how things stood when it began to ask."""
        lives = self._world.lives
        entity = lives.entity(entity_id)
        if record is None:
            if since.promised and not self._may_be_gone(entity, since):
                self.broken(READABLE, entity_id, f"404 at {process.name}")
            return
        run = lives.runs.get(record.run_id)
        if run is None:
            self.broken(READABLE, entity_id, f"a run that nobody opened: {record.run_id}")
            return
        if run.number < since.number:
            self.broken(READABLE, entity_id, f"run {run.number} after run {since.number}")
        elif run.number == since.number and since.ended and record.pending:
            self.broken(READABLE, entity_id, "pending though its end was there to be read")
        if started and not self._world.start(run.run_id):
            self.broken(ONE_RUN, entity_id, "two callers started one run")
        if record.pending:
            entity.told_ms = max(entity.told_ms, since.at_ms)

    def _may_be_gone(self, entity: Entity, since: "Standing") -> bool:
        if entity.forgotten_ms is not None and entity.forgotten_ms >= since.told_ms - _APART_MS:
            return True
        # A verdict that is past its time to live is not shown any more.
        return self._world.plan.ttl < 3600

    # The ends

    def ended(self, process: "Process") -> None:
        """Check a process that has drained."""
        now = self._world.loop.time()
        if not process.draining:
            self.broken(BOUNDED, None, f"{process.name} ended though nobody stopped it")
        if process.permits.in_use:
            self.broken(BOUNDED, None, f"{process.name} ended with permits in use")
        if process.disturbed or process.skew.trouble is not None:
            return
        mine = [one for one in self._world.queue.receives if one.process is process]
        # Of a message that SQS holds twice one is settled; the other runs out.
        let_go = {one.stored.message_id for one in mine if one.given_back}
        for receive in mine:
            stored = receive.stored
            if stored.deleted or stored.message_id in let_go:
                continue
            entity_id = stored.meaning.entity_id or ""
            if self._world.lives.entity(entity_id).forgotten_ms is not None:
                continue  # who finds the run forgotten leaves the message to who gets it next
            if receive.delivered and stored.receives[-1] is receive and stored.visible_at > now:
                self.broken(DRAINED, stored.meaning.entity_id, f"{process.name} left it hidden")

    def task_started(self, process: "Process") -> None:
        """Check that tasks do not pile up."""
        plan = self._world.plan
        asking = process.asking
        most = _TASKS_AT_REST + _TASKS_EACH * plan.consumers + asking
        if len(process.tasks) > most and not process.dead:
            self.broken(BOUNDED, None, f"{process.name} has {len(process.tasks)} tasks")

    def settled(self) -> None:
        """Tell who waits for the end that something came to an end."""
        self._world.look_whether_over()

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
            gone = stored.deleted and stored not in self._world.queue.dead
            if gone and not lives.covers(meaning.entity_id, meaning.asked_at):
                self.broken(COVERED, meaning.entity_id, "an event that nothing covers")
        for receive in self._world.queue.receives:
            if (why := self._wasted(receive)) is not None:
                self.broken(RECEIVES, receive.stored.meaning.entity_id, why)
        self._all_let_go()
        for process in self._world.alive():
            if process.permits.in_use > 10 or process.engine.consumers.jobs:
                self.broken(BOUNDED, None, f"{process.name} holds something at rest")

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
            self.broken(ENDS, run.entity_id, f"{opener.name} did not publish what it opened")
        # Who tries again to write what had landed may find a newer end, which was announced.
        newest = run is entity.newest
        if ender is None or run.hurt or not newest or stopped:
            return
        visibility = self._world.plan.visibility
        if ender.well(run.ended_at - 15, run.ended_at + visibility):
            late = (run.announced_at or float("inf")) - run.ended_at
            if late > visibility / 2 + 1:
                self.broken(ANNOUNCED, run.entity_id, f"{ender.name} did not say that it ended")

    def _all_let_go(self) -> None:
        """Check that every message in hand was deleted or given back."""
        for receive in self._world.queue.receives:
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
            kept = receive.delivered and not (receive.given_back or receive.renewed)
            if kept and process.obeyed(receive.at - 1, end):
                self.broken(LET_GO, entity_id, f"{process.name} kept it")

    def _all_announced(self, entity: Entity) -> None:
        for run in reversed(entity.runs):
            if run.verdict is None:
                continue
            if run.announced:
                return
            # What SQS took away between the two is announced once it is sent back.
            dead = any(one.meaning.run_id == run.run_id for one in self._world.queue.dead)
            short_lived = self._world.plan.ttl < 3600  # nobody can announce what has expired
            gone = short_lived and entity.entity_id not in self._world.table.items
            if entity.forgotten_ms is None and not dead and not gone:
                self.broken(ANNOUNCED, entity.entity_id, f"run {run.run_id} ended unheard")

    def _wasted(self, receive: Receive) -> str | None:
        """Say which receive came to nothing though the world did nothing to it."""
        process, stored = receive.process, receive.stored
        run = self._world.lives.runs.get(stored.meaning.run_id or "")
        if receive.attempted or receive.excuse is not None or run is None:
            return None
        if not receive.delivered or process.dead or process.disturbed or process.released:
            return None
        if run.disturbed or run.wake_ups > 1 or process.skew.trouble is not None:
            return None
        if any(one.process.dead or one.process.disturbed for one in stored.receives):
            return None
        if run.verdict == "failed" and not run.attempts:
            return None  # nobody began it in time
        if self._world.plan.has("clock_skewed") and receive is not stored.receives[0]:
            return None  # its back-off was over by one clock, not by another
        return f"message {stored.message_id} was received at {receive.at:.3f} for nothing"

    def broken(self, promise: str, entity_id: str | None, detail: str) -> None:
        """Report a broken promise; the first one ends the seed."""
        self._world.fail("safety", promise, entity_id, detail)


class Standing:
    """How things stand for an entity at the moment somebody begins to ask."""

    def __init__(self, entity: Entity, at_ms: int) -> None:
        self.at_ms = at_ms
        newest = entity.newest
        self.number = newest.number if newest is not None else -1
        self.ended = newest is not None and newest.verdict is not None
        self.told_ms = entity.told_ms
        self.promised = entity.told_ms >= 0
