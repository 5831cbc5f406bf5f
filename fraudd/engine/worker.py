"""The life of one message in hand: claim its run, compute it, settle it."""

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from fraudd.engine.backlog import RunTimes
from fraudd.engine.claims import Claims
from fraudd.engine.guard import Guard
from fraudd.engine.lease import Lease
from fraudd.engine.sandbox import Trial, trial
from fraudd.engine.settlement import Outcome, Settlement
from fraudd.errors import PermanentError, RunError, TransientError, Unavailable
from fraudd.ports import Clock, FeatureValues, Model, Permit, Permits, Scorer, Store
from fraudd.prediction.events import MalformedEvent, parse_request
from fraudd.prediction.formats import TRACEPARENT, parse_traceparent
from fraudd.prediction.record import Record
from fraudd.prediction.retry import BackOff, Fail, FailureClass, back_off, dispose
from fraudd.prediction.transitions import backed_off, released
from fraudd.telemetry import log
from fraudd.telemetry.clock_skew import ClockSkew
from fraudd.telemetry.metrics import Metrics


@dataclass(kw_only=True)
class Job:
    """One message in hand and the permit it came with; what ``/v1/status`` shows of it."""

    lease: Lease
    permit: Permit
    entity_id: str | None = None
    run_id: str | None = None
    phase: Literal["claiming", "waiting_alone", "database", "model", "storing"] = "claiming"
    #: Of a test entity: what comes of it.
    trial: Trial | None = None
    #: Whether nothing may run beside it: the process has died with this run before.
    alone: bool = False
    #: Seconds that it took to claim the run, once it was its turn.
    claiming_seconds: float = 0.0
    #: Seconds of reading so far, outages apart.
    worked_seconds: float = 0.0

    @property
    def names(self) -> dict[str, Any]:
        """What a log line calls the job."""
        return {"entity_id": self.entity_id, "run_id": self.run_id}


class Worker:
    """Works on jobs. ``settlement`` waits through outages, ``parting`` does not.

    ``scorer`` gives what makes scores now: features of one are never scored by another's model.
    """

    def __init__(
        self,
        *,
        claiming: Claims,
        settlement: Settlement,
        parting: Settlement,
        store: Store,
        scorer: Callable[[], Scorer],
        permits: Permits,
        guard: Guard,
        skew: ClockSkew,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        run_times: RunTimes,
        held: dict[str, Lease],
        run_timeout_seconds: float,
        replica_lag_seconds: float,
        max_attempts: int,
        backoff_base_seconds: float,
        backoff_max_seconds: float,
        test_entities: bool,
    ) -> None:
        self._claiming = claiming
        self._settlement = settlement
        self._parting = parting
        self._store = store
        self._scorer = scorer
        self._permits = permits
        self._guard = guard
        self._skew = skew
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._run_times = run_times
        self._held = held
        self._job_timeout_seconds = run_timeout_seconds
        self._replica_lag_seconds = replica_lag_seconds
        self._max_attempts = max_attempts
        self._backoff_base_seconds = backoff_base_seconds
        self._backoff_max_seconds = backoff_max_seconds
        self._test_entities = test_entities

    async def work(self, job: Job) -> Outcome:
        """Carry one message through and say what came of it.

        Raises nothing but ``CancelledError``: then this daemon stops, and what is in hand is
        given back first.
        """
        lease = job.lease
        # Until the record tells; what keeps the message hidden meanwhile logs this one throughout.
        log.trace(parse_traceparent(lease.message.attributes.get(TRACEPARENT)))
        first = self._held.setdefault(lease.message.message_id, lease)
        try:
            async with lease.kept():
                return await self._work(job)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if lease.ended is not None and task is not None and task.uncancel() == 0:
                return await self._let_go(job)
            await self._release(job)
            raise
        except Exception:
            log.error("message.bug", traceback=True, **job.names)
            return "bug"
        finally:
            if first is lease:
                del self._held[lease.message.message_id]

    async def _work(self, job: Job) -> Outcome:
        message = job.lease.message
        if self._skew.blocked_by is not None:
            return await self._settlement.give_back(job.lease, seconds=0)
        try:
            event = parse_request(
                message.body, attributes=message.attributes, sent_at=message.sent_at
            )
        except MalformedEvent as error:
            await self._settlement.bury(job.lease, reason="malformed", detail=error.detail)
            return "malformed"
        job.entity_id, job.run_id = event.entity_id, event.run_id
        began = self._clock.monotonic()
        claim = await self._claiming.claim(job.lease, event, lambda: self._wait_alone(job))
        job.claiming_seconds += self._clock.monotonic() - began
        if not isinstance(claim, Record):
            return claim
        job.lease.claim = claim
        log.trace(claim.traceparent)
        job.trial = trial(claim.entity_id) if self._test_entities else None
        self._guard.run_began()
        try:
            found = await self._compute(job, claim)
        except Exception as error:
            return await self._dispose(job, claim, error)
        job.phase = "storing"
        began = self._clock.monotonic()
        outcome = await self._settlement.complete(job.lease, claim, found)
        self._metrics.run_seconds.labels("storing").observe(self._clock.monotonic() - began)
        return outcome

    async def _wait_alone(self, job: Job) -> None:
        """Change the permit for all of them, in the line of those who must be alone.

        The run is not claimed meanwhile: were the process to die, the wait would count as an
        attempt of this one.
        """
        job.alone, job.phase = True, "waiting_alone"
        began = self._clock.monotonic()
        job.permit.release()
        job.permit = await self._permits.acquire_all()
        job.claiming_seconds -= self._clock.monotonic() - began
        job.phase = "claiming"

    async def _compute(self, job: Job, claim: Record) -> dict[str, Any]:
        """Read the features under the permit, give it back, score; gives the result to store."""
        job.phase = "database"
        if job.trial is None:
            features, model = await self._guard.patiently(
                "database", lambda: self._read(job, claim)
            )
        else:
            # It needs no database, keeps nobody from it, and tells nothing about it.
            self._give_back_permit(job)
            await asyncio.sleep(job.trial.seconds)
            features, model = job.trial.features(self._clock.now()), self._scorer().model
        self._leave_database(job)
        began = self._clock.monotonic()
        job.phase = "model"
        scored = model.score(features.values) if job.trial is None else job.trial.scored
        assert scored is not None, "a trial without a score has failed"
        now = self._clock.now()
        timing = {
            "waited": max(0, (claim.started_at or now) - claim.requested_at),
            "claiming": round(job.claiming_seconds * 1000),
            "connecting": features.connecting_ms,
            "database": round(job.worked_seconds * 1000),
            "model": round((self._clock.monotonic() - began) * 1000),
            "total": max(0, now - claim.requested_at),
        }
        if job.trial is None:
            self._guard.run_succeeded()
            self._metrics.run_computed(timing, features.files_ms, scored.score)
        log.info("run.computed", **job.names, score=round(scored.score, 4), **timing)
        return _test_mark(job) | {
            "score": scored.score,
            "decision": scored.decision,
            "model": model.version,
            "as_of": features.as_of,
            "scored_at": now,
            "reasons": list(scored.reasons),
            "timing_ms": {**timing, "files": dict(features.files_ms)},
            "features": {
                name: None if math.isnan(value) else value
                for name, value in features.values.items()
            },
        }

    async def _read(self, job: Job, claim: Record) -> tuple[FeatureValues, Model]:
        """Read the features within what is left of the job's time, which outages do not use up.

        Gives the model that they are for, too. Each try takes what there is now: where the SQL
        was at fault, what is in hand is to go on with the one that mends it.
        """
        began = self._clock.monotonic()
        left = self._job_timeout_seconds - job.worked_seconds
        scorer = self._scorer()
        try:
            values = await scorer.features.read(claim.entity_id, job.permit, seconds=left)
            return values, scorer.model
        finally:
            job.worked_seconds += self._clock.monotonic() - began

    def _leave_database(self, job: Job) -> None:
        """Give the permit back, for the next run to read; what is alone keeps all of them."""
        if job.trial is None:
            self._run_times.add(job.claiming_seconds + job.worked_seconds)
        if not job.alone:
            self._give_back_permit(job)

    def _give_back_permit(self, job: Job) -> None:
        job.permit.release()
        self._guard.changed()

    async def _dispose(self, job: Job, claim: Record, error: Exception) -> Outcome:
        """Carry out what a failed attempt comes to."""
        if job.phase == "database":
            self._leave_database(job)
        job.phase = "storing"
        failure, type_, detail = classify(error)
        if type_ == "entity_unknown" and (seconds := self._unseen_for(claim)):
            log.info("run.second_look", **job.names, seconds=seconds)
            later = released(claim, not_before=self._clock.now() + int(seconds * 1000))
            requeued = await self._settlement.requeue(job.lease, later, seconds=seconds)
            return "retried" if requeued else "superseded"
        if failure != "permanent":
            self._guard.run_failed(claim.entity_id, f"{type_}: {detail}")
        delay = back_off(
            claim.attempts,
            base_seconds=self._backoff_base_seconds,
            max_seconds=self._backoff_max_seconds,
            rng=self._rng,
        )
        disposition = dispose(
            failure,
            attempts=claim.attempts,
            overruns=claim.overruns,
            max_attempts=self._max_attempts,
            delay=delay,
        )
        if failure == "overrun" and disposition == Fail(dead_letter=False):
            type_ = "too_slow"
        log.warning(
            "run.failed" if isinstance(disposition, Fail) else "run.attempt_failed",
            traceback=failure == "bug",
            **job.names,
            attempt=claim.attempts,
            type=type_,
            detail=detail,
        )
        match disposition:
            case Fail(dead_letter):
                return await self._settlement.fail(
                    job.lease,
                    claim,
                    {"type": type_, "detail": detail} | _test_mark(job),
                    dead_letter=dead_letter,
                )
            case BackOff(seconds):
                later = backed_off(
                    claim,
                    not_before=self._clock.now() + int(seconds * 1000),
                    overran=failure == "overrun",
                )
                requeued = await self._settlement.requeue(job.lease, later, seconds=seconds)
                return "retried" if requeued else "superseded"

    def _unseen_for(self, claim: Record) -> float:
        """Seconds for which a replica need not show yet what was there at the request."""
        waited = (self._clock.now() - claim.requested_at) / 1000
        return max(0.0, self._replica_lag_seconds - waited)

    async def _let_go(self, job: Job) -> Outcome:
        """End a job whose lease has ended before it did."""
        if job.lease.ended == "lost":
            return "superseded"
        await self._release(job)
        return "released"

    async def _release(self, job: Job) -> None:
        """Give run and message back unfinished; what cannot be reached runs out by itself.

        The record is asked whether the claim stands: this may have been cut off in mid-claim.
        """
        try:
            if job.entity_id is not None:
                record = await self._store.get(job.entity_id)
                if record is not None and record.worker == job.lease.token:
                    await self._parting.requeue(job.lease, released(record), seconds=0)
                    return
            await self._parting.give_back(job.lease, seconds=0)
        except Unavailable as error:
            log.warning("message.left", **job.names, error=str(error))


def _test_mark(job: Job) -> dict[str, Any]:
    """What tells the verdict on a test entity from all others."""
    return {} if job.trial is None else {"test": True}


def classify(error: Exception) -> tuple[FailureClass, str, str]:
    """Turn what a run raised into its failure class, type and detail."""
    match error:
        case PermanentError(type=type_, detail=detail):
            return "permanent", type_, detail
        case TransientError(type="query_timeout" | "too_slow" as type_, detail=detail):
            return "overrun", type_, detail
        case TransientError(type=type_, detail=detail):
            return "transient", type_, detail
        case RunError(type=type_, detail=detail):
            return "bug", type_, detail
        case _:
            # What it was stands in the log; a caller learns nothing of our insides.
            return "bug", "internal", f"an error of fraudd's own ({type(error).__name__})"
