"""The life of one message in hand: claim its run, compute it, settle it."""

import asyncio
import math
import random
from dataclasses import dataclass
from typing import Any, Literal

from fraudd import log
from fraudd.claiming import Claiming
from fraudd.event import MalformedEvent, parse_request
from fraudd.limiter import RunTimes
from fraudd.metrics import Metrics
from fraudd.ports import (
    Clock,
    Features,
    Message,
    Model,
    PermanentError,
    Permit,
    RunError,
    TransientError,
    Unavailable,
)
from fraudd.prediction import Record, backed_off, released
from fraudd.retry import BackOff, Fail, FailureClass, Release, back_off, dispose
from fraudd.settlement import Outcome, Settlement


@dataclass(kw_only=True)
class Job:
    """One message in hand and the permit it came with; what ``/v1/status`` shows of it."""

    message: Message
    permit: Permit
    entity_id: str | None = None
    run_id: str | None = None
    phase: Literal["claiming", "database", "model", "storing"] = "claiming"

    @property
    def names(self) -> dict[str, Any]:
        """What a log line calls the job."""
        return {"entity_id": self.entity_id, "run_id": self.run_id}


class Worker:
    """Works on jobs; holds nothing of its own between them."""

    def __init__(
        self,
        *,
        claiming: Claiming,
        settlement: Settlement,
        features: Features,
        model: Model,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        run_times: RunTimes,
        job_timeout_seconds: float,
        max_attempts: int,
        backoff_base_seconds: float,
        backoff_max_seconds: float,
    ) -> None:
        self._claiming = claiming
        self._settlement = settlement
        self._features = features
        self._model = model
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._run_times = run_times
        self._job_timeout_seconds = job_timeout_seconds
        self._max_attempts = max_attempts
        self._backoff_base_seconds = backoff_base_seconds
        self._backoff_max_seconds = backoff_max_seconds

    async def work(self, job: Job) -> Outcome:
        """Carry one message through and say what came of it.

        What is not finished here is left to the message, which comes back. Raises nothing but
        ``CancelledError``; a run that is being computed by then is queued again first.
        """
        try:
            return await self._work(job)
        except Unavailable as error:
            log.warning("job.left", **job.names, reason=str(error))
            return "unavailable"
        except Exception:
            log.error("job.bug", traceback=True, **job.names)
            return "bug"

    async def _work(self, job: Job) -> Outcome:
        try:
            event = parse_request(job.message.body)
        except MalformedEvent as error:
            await self._settlement.bury(job.message, reason="malformed", detail=error.detail)
            return "malformed"
        job.entity_id, job.run_id = event.entity_id, event.run_id
        claim = await self._claiming.claim(job.message, event)
        if not isinstance(claim, Record):
            return claim
        try:
            found = await self._compute(job, claim)
        except asyncio.CancelledError:
            await self._release(job, claim)
            raise
        except Exception as error:
            job.permit.release()
            job.phase = "storing"
            return await self._dispose(job, claim, error)
        job.phase = "storing"
        return await self._settlement.complete(job.message, claim, found)

    async def _compute(self, job: Job, claim: Record) -> dict[str, Any]:
        """Read the features under the permit, give it back, score; gives the result to store."""
        began = self._clock.monotonic()
        job.phase = "database"
        # Nobody renews the lease, so the work may not outlast it.
        left = ((claim.lease_until or 0) - self._clock.now()) / 1000
        deadline = min(self._job_timeout_seconds, left)
        try:
            async with asyncio.timeout(deadline):
                features = await self._features.read(claim.entity_id, job.permit)
        except TimeoutError:
            detail = f"its features took longer than {deadline:.0f} s"
            raise TransientError("too_slow", detail) from None
        job.permit.release()
        read = self._clock.monotonic()
        job.phase = "model"
        scored = self._model.score(features.values)
        now = self._clock.now()
        timing = {
            "waited": max(0, (claim.started_at or now) - claim.requested_at),
            "database": round((read - began) * 1000),
            "model": round((self._clock.monotonic() - read) * 1000),
            "total": max(0, now - claim.requested_at),
        }
        self._run_times.add(read - began)
        self._metrics.run_computed(timing, scored.score)
        log.info("run.computed", **job.names, score=round(scored.score, 4), **timing)
        return {
            "score": scored.score,
            "decision": scored.decision,
            "model": self._model.version,
            "as_of": features.as_of,
            "scored_at": now,
            "reasons": list(scored.reasons),
            "timing_ms": timing,
            "features": {
                name: None if math.isnan(value) else value
                for name, value in features.values.items()
            },
        }

    async def _dispose(self, job: Job, claim: Record, error: Exception) -> Outcome:
        """Carry out what a failed attempt comes to."""
        failure, type_, detail = classify(error)
        delay = back_off(
            # An outage gives the attempt back, so there the receives tell how long it lasts.
            job.message.receive_count if failure == "infrastructure" else claim.attempts,
            base_seconds=self._backoff_base_seconds,
            max_seconds=self._backoff_max_seconds,
            rng=self._rng,
        )
        disposition = dispose(
            failure, attempts=claim.attempts, max_attempts=self._max_attempts, delay=delay
        )
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
                    job.message, claim, type_=type_, detail=detail, dead_letter=dead_letter
                )
            case BackOff(seconds):
                later = backed_off(claim, not_before=self._clock.now() + int(seconds * 1000))
                requeued = await self._settlement.requeue(job.message, later, seconds=seconds)
                return "retried" if requeued else "superseded"
            case Release(seconds):
                await self._settlement.requeue(job.message, released(claim), seconds=seconds)
                return "unavailable"

    async def _release(self, job: Job, claim: Record) -> None:
        """Give a run back because this daemon stops; where that fails its lease runs out."""
        try:
            await self._settlement.requeue(job.message, released(claim), seconds=0)
        except Unavailable as error:
            log.warning("job.left", **job.names, reason=str(error))


def classify(error: Exception) -> tuple[FailureClass, str, str]:
    """Turn what a run raised into its failure class, type and detail."""
    match error:
        case PermanentError(type=type_, detail=detail):
            return "permanent", type_, detail
        case TransientError(type=type_, detail=detail):
            return "transient", type_, detail
        case Unavailable(part=part, detail=detail):
            return "infrastructure", f"{part}_unavailable", detail
        case RunError(type=type_, detail=detail):
            return "bug", type_, detail
        case _:
            # What it was stands in the log; a caller learns nothing of our insides.
            return "bug", "internal", f"an error of fraudd's own ({type(error).__name__})"
