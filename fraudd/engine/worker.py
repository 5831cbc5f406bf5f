"""The life of a message: parse it, claim its run, compute the run, settle or release both."""

import asyncio

from fraudd.engine.claims import Claimed, Claims, Settled
from fraudd.engine.computation import Computation
from fraudd.engine.failures import Failures
from fraudd.engine.guard import Guard
from fraudd.engine.job import Job
from fraudd.engine.settlement import Outcome, Settlement
from fraudd.errors import PermanentError, Unavailable
from fraudd.ports import Clock, Permits
from fraudd.prediction.events import MalformedEvent, parse_request
from fraudd.prediction.formats import TRACEPARENT, parse_traceparent
from fraudd.prediction.record import Record
from fraudd.prediction.retry import BackOff, Fail, LookAgain
from fraudd.prediction.transitions import backed_off, released
from fraudd.telemetry import log


class Worker:
    """Works on jobs. ``settlement`` waits through outages, ``prompt_settlement`` does not."""

    def __init__(
        self,
        *,
        claims: Claims,
        computation: Computation,
        failures: Failures,
        settlement: Settlement,
        prompt_settlement: Settlement,
        permits: Permits,
        guard: Guard,
        clock: Clock,
    ) -> None:
        self._claims = claims
        self._computation = computation
        self._failures = failures
        self._settlement = settlement
        self._prompt_settlement = prompt_settlement
        self._permits = permits
        self._guard = guard
        self._clock = clock

    async def work(self, job: Job) -> Outcome:
        """Process one message and return its outcome.

        Raises only ``CancelledError``, if the daemon stops. Before that, it releases the run and
        the message.
        """
        lease = job.lease
        # The trace of the message. The trace of the record replaces it when the run is claimed.
        log.trace(parse_traceparent(lease.message.attributes.get(TRACEPARENT)))
        with self._claims.holding(lease):
            try:
                async with lease.kept():
                    try:
                        return await self._work(job)
                    except Exception as error:
                        return await self._settle_error(job, error)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if lease.ended is not None and task is not None and task.uncancel() == 0:
                    return await self._end_without_lease(job)
                await self._release(job)
                raise

    async def _work(self, job: Job) -> Outcome:
        lease, message = job.lease, job.lease.message
        if self._guard.skew.blocked_by is not None:
            await self._settlement.release_message(lease, seconds=0)
            return "released_before_run"
        try:
            event = parse_request(
                message.body, attributes=message.attributes, sent_at=message.sent_at
            )
        except MalformedEvent as error:
            self._leave_database(job)
            await self._settlement.dead_letter(lease, reason="malformed", detail=error.detail)
            return "malformed"
        job.entity_id = event.entity_id
        job.run_id = event.run_id or event.presumed_run_id
        began = self._clock.monotonic()
        claim = await self._claims.claim(
            lease,
            event,
            wait_alone=lambda: self._wait_alone(job),
            leave_database=lambda: self._leave_database(job),
        )
        job.claiming_seconds += self._clock.monotonic() - began
        match claim:
            case Claimed(record):
                lease.claim = job.claim = record
                log.trace(record.traceparent)
                return await self._run(job, record)
            case Settled(outcome):
                return outcome

    async def _run(self, job: Job, claim: Record) -> Outcome:
        try:
            result = await self._computation.compute(job, claim)
        except Exception as error:
            job.phase = "storing"
            return await self._settle_failure(job, claim, error)
        job.phase = "storing"
        try:
            outcome = await self._settlement.complete(job.lease, claim, result)
        except PermanentError as error:
            return await self._settle_failure(job, claim, error)
        if outcome == "done" and job.prescribed is None:
            self._guard.run_succeeded()
        return outcome

    async def _settle_error(self, job: Job, error: Exception) -> Outcome:
        """End a job after an error that is not about its run's features. Never raises.

        A run that is still claimed fails this attempt. Otherwise only the message is left: it
        comes back, and the next job does what this one could not.
        """
        try:
            if not isinstance(error, Unavailable):
                claim, job.claim = job.claim, None
                if claim is not None:
                    record = await self._settlement.still_claimed(job.lease, claim.entity_id)
                    if record is not None:
                        return await self._settle_failure(job, record, error)
                self._failures.report_bug(job, error)
            seconds = self._failures.delay_seconds(job.lease.message)
            await self._prompt_settlement.release_message(job.lease, seconds=seconds)
        except Exception as second:
            unreachable = isinstance(second, Unavailable)
            log.warning(
                "message.not_released", traceback=not unreachable, **job.names, error=str(second)
            )
        return "released" if isinstance(error, Unavailable) else "bug"

    async def _settle_failure(self, job: Job, claim: Record, error: Exception) -> Outcome:
        match self._failures.decide(job, claim, error):
            case Fail(type_, detail, dead_letter):
                why = {"type": type_, "detail": detail} | job.test_mark
                return await self._settlement.fail(job.lease, claim, why, dead_letter=dead_letter)
            case BackOff(seconds, overran):
                not_before = self._clock.now() + int(seconds * 1000)
                queued = backed_off(claim, not_before=not_before, overran=overran)
            case LookAgain(seconds):
                queued = released(claim, not_before=self._clock.now() + int(seconds * 1000))
        requeued = await self._settlement.requeue(job.lease, queued, seconds=seconds)
        return "retried" if requeued else "superseded"

    async def _wait_alone(self, job: Job) -> None:
        """Exchange the permit for all permits, so that no other run is computed meanwhile.

        The run is not claimed during this wait. If the process died in it, that would count as
        an attempt of this run.
        """
        job.alone, job.phase = True, "waiting_alone"
        began = self._clock.monotonic()
        job.permit.release()
        job.permit = await self._permits.acquire_all()
        job.claiming_seconds -= self._clock.monotonic() - began
        job.phase = "claiming"

    async def _end_without_lease(self, job: Job) -> Outcome:
        """End a job whose lease ended before the job did."""
        if job.lease.ended == "lost":
            return "superseded"
        await self._release(job)
        return "released"

    async def _release(self, job: Job) -> None:
        """Release the unfinished run and its message.

        If this fails, the visibility timeout and the lease expire instead. Never raises.
        """
        try:
            await self._prompt_settlement.release_run(job.lease, job.entity_id)
        except Exception as error:
            log.warning("message.not_released", **job.names, error=str(error))

    def _leave_database(self, job: Job) -> None:
        """Give the permit back for the next run: this message needs no database."""
        job.needs_database = False
        job.permit.release()
        self._guard.changed()
