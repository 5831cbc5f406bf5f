"""What must hold of every write of a record, checked as it lands."""

from typing import TYPE_CHECKING

from fraudd.engine.breaker import FAULT_TRIAL_SECONDS
from fraudd.prediction.decisions import MAX_DOUBLINGS
from fraudd.prediction.record import ALONE_FROM_DEATHS, SKEW_MARGIN_MS, Lane
from tests.simulation.clocks import true_ms
from tests.simulation.lives import Entity, Run
from tests.simulation.promises import (
    APART_MS,
    BACKED_OFF,
    CLAIMED,
    DELETED,
    HEALTHY,
    NEWEST,
    ONE_RUN,
    OUTAGE,
    SWEPT,
    TRIALS,
)

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.store import Item
    from tests.simulation.world import World


class RecordChecks:
    """Hears of every write."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def written(self, process: "Process | None", entity_id: str, old: "Item", new: "Item") -> None:
        """Check one write, and note what it means for the run."""
        lives = self._world.lives
        entity = lives.entity(entity_id)
        if new["state"] == "deleted":
            if not entity.to_forget:
                self._world.broken(DELETED, entity_id, "a tombstone that nobody asked for")
            entity.forgotten_ms = true_ms(self._world.loop)
            entity.deleted_at = int(str(new["deleted_at"]))
            self._world.look_whether_over()
            return
        ended = self._verdict(process, entity, old, new)
        if new.get("run_id") != old.get("run_id"):
            self._opening(entity, old, ended)
            lives.opened(process, entity_id, str(new["run_id"]), lane_of(new))
        elif process is not None:
            self._moved(process, entity, old, new)
        self._world.look_whether_over()

    def _verdict(self, process: "Process | None", entity: Entity, old: "Item", new: "Item") -> bool:
        """Check a verdict, if the write brings one."""
        lives = self._world.lives
        for name, state in (("result", "done"), ("error", "failed")):
            verdict = new.get(name)
            if not isinstance(verdict, dict) or verdict == old.get(name):
                continue
            run = lives.runs.get(verdict["run_id"])
            if run is None or run is not entity.newest or old.get("run_id") != run.run_id:
                self._world.broken(NEWEST, entity.entity_id, f"a verdict of {verdict['run_id']}")
                return True
            if run.verdict is not None:
                self._world.broken(NEWEST, entity.entity_id, "a second verdict of one run")
            attempt = run.attempts[-1] if run.attempts else None
            if state == "done":
                if attempt is None or attempt.process is not process:
                    self._world.broken(
                        CLAIMED, entity.entity_id, "ended by who does not hold its claim"
                    )
                elif old.get("worker") != attempt.worker:
                    self._world.broken(
                        CLAIMED, entity.entity_id, "ended under a claim that is lost"
                    )
                run.verdict = "done"
                run.basis_ms = (attempt.snapshot_ms if attempt else None) or 0
            else:
                self._check_failure(run, old)
                run.verdict = "failed"
                if old.get("state") == "running" and (
                    attempt is None or old.get("worker") != attempt.worker
                ):
                    self._world.broken(
                        CLAIMED, entity.entity_id, "failed under a claim that is lost"
                    )
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
            and "lane" not in old  # who asks in bulk waits for as long as it takes
            and age > plan.max_wait - APART_MS / 1000
        )
        # Its last claim ended without a verdict, and not beside others.
        lapsing = old.get("state") == "running" and bool(run.attempts[ALONE_FROM_DEATHS:])
        lapsed = lapsing and run.attempts[-1].failure is None
        worn_out = run.failures + run.own_deaths + lapsed >= plan.max_attempts
        if not (run.failed_for_good or run.too_slow >= 2 or expired or worn_out):
            attempts = [one.failure for one in run.attempts]
            self._world.broken(HEALTHY, run.entity_id, f"run {run.run_id} failed after {attempts}")

    def _opening(self, entity: Entity, old: "Item", ended: bool) -> None:
        if old.get("state") in ("queued", "running") and not ended:
            self._world.broken(ONE_RUN, entity.entity_id, "a run was opened beside a pending one")
        if entity.asked_ms < entity.deleted_at - APART_MS and not entity.asking:
            self._world.broken(DELETED, entity.entity_id, "opened though nobody asked since")

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
            if old["state"] == "running" and now <= lease_until + SKEW_MARGIN_MS - APART_MS:
                self._world.broken(CLAIMED, entity.entity_id, "a live claim was taken away")
            self._check_taking_over(process, run, old)
            if now < int(str(old.get("not_before", 0))) - APART_MS:
                self._world.broken(
                    BACKED_OFF, entity.entity_id, "claimed before its back-off was over"
                )
            if int(str(new["lease_until"])) > now + self._world.plan.visibility * 1000:
                self._world.broken(CLAIMED, entity.entity_id, "the lease outlives the visibility")
            self._world.lives.claimed(process, run, str(new["worker"]))
            self._check_probe(process, run)
        elif new.get("lane") != old.get("lane"):
            run.lanes.add("interactive")
            run.promoter, run.promoted_at = process, self._world.loop.time()
        elif new.get("published_at") not in (None, old.get("published_at")):
            self._check_sweep(entity, old)
        elif old["state"] == "running" and new["state"] == "queued":
            if not run.attempts or run.attempts[-1].process is not process:
                self._world.broken(
                    CLAIMED, entity.entity_id, "queued again by who does not hold it"
                )
                return
            if int(str(new["attempts"])) < int(str(old["attempts"])):
                self._world.lives.gave_back(run)
            elif run.attempts[-1].failure is None:
                self._world.broken(
                    OUTAGE, entity.entity_id, "an attempt was counted that did not fail"
                )

    def _check_taking_over(self, process: "Process", run: Run, old: "Item") -> None:
        """Check why a claim is taken over: its holder died, or could not renew it."""
        if old["state"] != "running" or not run.attempts:
            return
        holder = run.attempts[-1].process
        since = run.attempts[-1].claimed_at - self._world.plan.visibility
        well = holder.well(since, self._world.loop.time())
        if well and run.attempts[-1].failure is None:
            self._world.broken(
                CLAIMED, run.entity_id, f"the claim of {holder.name} lapsed in its hands"
            )
        breaker = process.engine.breaker
        answering = breaker.seconds_since_outage(
            "store", self._world.loop.time(), lasting=self._world.plan.visibility / 3
        )
        if 0 < answering < self._world.plan.visibility - 1:
            self._world.broken(
                OUTAGE, run.entity_id, "taken over before its holder could beat again"
            )

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
        if now < due - APART_MS and not raced:
            self._world.broken(
                SWEPT, entity.entity_id, "sent again though nobody may work on it yet"
            )
        if (sent := old.get("published_at")) is None:
            return
        run_id = old["run_id"]
        lane = self._world.bulk_queue if old.get("lane") == "bulk" else self._world.queue
        there = any(one.meaning.run_id == run_id for one in lane.messages)
        wait = plan.requeue_after * 1000 * 2 ** min(int(str(old["requeues"])), MAX_DOUBLINGS)
        if there and not plan.has("stale_counts") and now < int(str(sent)) + wait - APART_MS:
            self._world.broken(SWEPT, entity.entity_id, "sent again though it is in the queue")

    def _check_probe(self, process: "Process", run: Run) -> None:
        """Check that attempts are rare while every run fails, but for what was in hand already."""
        receipt = run.attempts[-1].receipt
        probes = [one.at for one in run.receives if one.receipt == receipt and one.probe]
        if process.engine.breaker.state != "fault" or not probes:
            return
        since = probes[0] - process.probed_at
        if since < FAULT_TRIAL_SECONDS - 1:
            self._world.broken(
                TRIALS, run.entity_id, f"{process.name} probes again after {since:.1f} s"
            )
        process.probed_at = probes[0]


def lane_of(item: "Item") -> Lane:
    """Give the lane of an item's run."""
    return "bulk" if item.get("lane") == "bulk" else "interactive"
