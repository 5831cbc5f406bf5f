"""Computes a run: read the features under the permit, give the permit back, score."""

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Any

from fraudd.engine.backlog import RunTimes
from fraudd.engine.guard import Guard
from fraudd.engine.job import Job
from fraudd.engine.terms import RunTerms
from fraudd.engine.test_entities import prescribed_run
from fraudd.errors import Unavailable
from fraudd.ports import Clock, FeatureValues, Model, Scored, Scorer
from fraudd.prediction.record import Record
from fraudd.telemetry import log
from fraudd.telemetry.metrics import Metrics


class Computation:
    """Computes runs. ``scorer`` returns the SQL and the model in use now.

    They are one value, so that a model never scores the features of other SQL.
    """

    def __init__(
        self,
        *,
        scorer: Callable[[], Scorer],
        guard: Guard,
        clock: Clock,
        metrics: Metrics,
        run_times: RunTimes,
        terms: RunTerms,
    ) -> None:
        self._scorer = scorer
        self._guard = guard
        self._clock = clock
        self._metrics = metrics
        self._run_times = run_times
        self._terms = terms

    async def compute(self, job: Job, claim: Record) -> dict[str, Any]:
        """Compute a claimed run and return the result to store. Raises ``RunError``."""
        job.prescribed = prescribed_run(claim.entity_id) if self._terms.test_entities else None
        if job.prescribed is None:
            self._guard.run_began()
        job.phase = "database"
        try:
            features, model = await self._features(job, claim)
        except Exception:
            self._leave_database(job)
            raise
        self._leave_database(job)
        began = self._clock.monotonic()
        job.phase = "model"
        scored = model.score(features.values) if job.prescribed is None else job.prescribed.scored
        assert scored is not None, "a test entity without a score has failed before"
        now = self._clock.now()
        timing = {
            "waited": max(0, (claim.started_at or now) - claim.requested_at),
            "claiming": round(job.claiming_seconds * 1000),
            "connecting": features.connecting_ms,
            "database": round(job.worked_seconds * 1000),
            "model": round((self._clock.monotonic() - began) * 1000),
            "total": max(0, now - claim.requested_at),
        }
        if job.prescribed is None:
            self._metrics.run_computed(timing, features.files_ms, scored.score)
        log.info("run.computed", **job.names, score=round(scored.score, 4), **timing)
        return job.test_mark | _result(features, scored, model.version, now, timing)

    async def _features(self, job: Job, claim: Record) -> tuple[FeatureValues, Model]:
        if job.prescribed is None:
            return await self._guard.patiently("database", lambda: self._read(job, claim))
        # A test entity needs no database, so its run must not occupy a connection permit.
        self._give_back_permit(job)
        await asyncio.sleep(job.prescribed.seconds)
        return job.prescribed.features(self._clock.now()), self._scorer().model

    async def _read(self, job: Job, claim: Record) -> tuple[FeatureValues, Model]:
        """Read the features. Only the last try counts, because outages ended the others.

        Each try takes the SQL in use at that time, and the model that belongs to it. If the SQL
        was the cause of the failure, a reload with fixed SQL helps runs that already wait.
        """
        began = self._clock.monotonic()
        scorer = self._scorer()
        try:
            values = await scorer.features.read(
                claim.entity_id, job.permit, seconds=self._terms.timeout_seconds
            )
        except Unavailable:
            raise
        except Exception:
            job.worked_seconds = self._clock.monotonic() - began
            raise
        job.worked_seconds = self._clock.monotonic() - began
        return values, scorer.model

    def _leave_database(self, job: Job) -> None:
        """Give the permit back for the next run. A run that must be alone keeps all permits."""
        if job.prescribed is None:
            self._run_times.add(job.claiming_seconds + job.worked_seconds)
        if not job.alone:
            self._give_back_permit(job)

    def _give_back_permit(self, job: Job) -> None:
        job.permit.release()
        self._guard.changed()


def _result(
    features: FeatureValues, scored: Scored, model_version: str, now: int, timing: Mapping[str, int]
) -> dict[str, Any]:
    """Return the part of a stored result that the computation knows."""
    return {
        "score": scored.score,
        "decision": scored.decision,
        "model": model_version,
        "as_of": features.as_of,
        "scored_at": now,
        "reasons": list(scored.reasons),
        "timing_ms": {**timing, "files": dict(features.files_ms)},
        # DynamoDB has no NaN: a missing value is stored as null.
        "features": {
            name: None if math.isnan(value) else value for name, value in features.values.items()
        },
    }
