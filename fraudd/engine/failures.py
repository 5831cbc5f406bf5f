"""Classifies failed attempts, and reports them to the log and to the breaker."""

import random

from fraudd.engine.guard import Guard
from fraudd.engine.job import Job
from fraudd.engine.terms import RetryTerms
from fraudd.errors import PermanentError, RunError, TransientError
from fraudd.ports import Clock, Message
from fraudd.prediction.record import Record
from fraudd.prediction.retry import Fail, Failure, LookAgain, OnFailure, back_off, on_failure
from fraudd.telemetry import log


class Failures:
    """Decides whether a failed attempt ends its run."""

    def __init__(
        self, *, guard: Guard, clock: Clock, rng: random.Random, terms: RetryTerms
    ) -> None:
        self._guard = guard
        self._clock = clock
        self._rng = rng
        self._terms = terms

    def decide(self, job: Job, claim: Record, error: Exception) -> OnFailure:
        """Decide on the attempt that raised ``error``, and report it."""
        failure = classify(error)
        decision = on_failure(
            failure,
            claim,
            now=self._clock.now(),
            limits=self._terms.limits,
            replica_lag_seconds=self._terms.replica_lag_seconds,
            delay_seconds=back_off(
                claim.attempts,
                base_seconds=self._terms.backoff_base_seconds,
                max_seconds=self._terms.backoff_max_seconds,
                rng=self._rng,
            ),
        )
        if failure.kind == "permanent" and job.prescribed is None:
            self._guard.run_succeeded()  # the attempt came to a verdict about the data
        if isinstance(decision, LookAgain):
            log.info("run.recheck_scheduled", **job.names, seconds=decision.seconds)
            return decision
        if failure.kind != "permanent" and job.prescribed is None:
            self._guard.run_failed(claim.entity_id, f"{failure.type}: {failure.detail}")
        log.warning(
            "run.failed" if isinstance(decision, Fail) else "run.attempt_failed",
            traceback=failure.kind == "bug",
            **job.names,
            attempt=claim.attempts,
            type=decision.type if isinstance(decision, Fail) else failure.type,
            detail=failure.detail,
        )
        return decision

    def report_bug(self, job: Job, error: Exception) -> None:
        """Report an error of a job that has no claim, or no longer has one."""
        log.error("message.bug", traceback=True, **job.names)
        if job.entity_id is not None and job.prescribed is None:
            failure = classify(error)
            self._guard.run_failed(job.entity_id, f"{failure.type}: {failure.detail}")

    def delay_seconds(self, message: Message) -> float:
        """Return the delay of a message that could not be settled. It grows with its age.

        Receives would not tell: a copy of the message begins to count them again.
        """
        age_seconds = (self._clock.now() - message.sent_at) / 1000
        base, longest = self._terms.backoff_base_seconds, self._terms.backoff_max_seconds
        return min(longest, max(base, age_seconds)) * self._rng.uniform(0.5, 1.0)


def classify(error: Exception) -> Failure:
    """Turn the error that a run raised into a failure: its kind, type and detail."""
    match error:
        case PermanentError(type=type_, detail=detail):
            return Failure("permanent", type_, detail)
        case TransientError(type="query_timeout" | "too_slow" as type_, detail=detail):
            return Failure("overrun", type_, detail)
        case TransientError(type=type_, detail=detail):
            return Failure("transient", type_, detail)
        case RunError(type=type_, detail=detail):
            return Failure("bug", type_, detail)
        case _:
            # The log has the traceback. A client must not learn about fraudd's internals.
            detail = f"internal error in fraudd ({type(error).__name__})"
            return Failure("bug", "internal", detail)
