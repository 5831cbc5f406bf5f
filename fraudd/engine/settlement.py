"""Settles messages in a fixed order: store, announce, delete.

First the outcome is stored, then its completion event is published, then the message is deleted.
After a crash between two steps, the message comes back and repeats the rest. The heartbeat ends
before a message is deleted or released, so that a late heartbeat cannot hide the message again.
"""

import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Literal

from fraudd.engine.lease import Lease
from fraudd.engine.terms import ResultTerms
from fraudd.errors import PermanentError, RunError
from fraudd.ports import Applied, Clock, Ports
from fraudd.prediction.body import ended
from fraudd.prediction.events import completion
from fraudd.prediction.formats import new_ulid
from fraudd.prediction.record import Record, Transition
from fraudd.prediction.retry import MAX_DELAY_SECONDS, may_hide
from fraudd.prediction.transitions import completed, failed, released, unrenewed
from fraudd.telemetry import log
from fraudd.telemetry.metrics import Metrics

#: docs/reference.md explains each one.
Outcome = Literal[
    "done",
    "failed",
    "retried",
    "released_before_run",
    "handed_over",
    "announced",
    "opened",
    "asked_again",
    "covered",
    "superseded",
    "entity_deleted",
    "malformed",
    "released",
    "bug",
]

#: A claimed record changes only if another request comes. That does not happen 20 times in a row.
_MAX_ROUNDS = 20


class Settlement:
    """Ends runs, and deletes or releases their messages. Every call may raise ``Unavailable``.

    ``publish`` sends the wake-up message of a run that has none. ``note_ended`` gets the record of
    each run that has ended.
    """

    def __init__(
        self,
        *,
        ports: Ports,
        publish: Callable[[Record], Awaitable[None]],
        note_ended: Callable[[Record], None],
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        terms: ResultTerms,
    ) -> None:
        self._ports = ports
        self._publish_run = publish
        self._note_ended = note_ended
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._terms = terms

    async def complete(self, lease: Lease, claim: Record, result: Mapping[str, Any]) -> Outcome:
        """Store the result of a claimed run, announce it, delete the message."""
        began = self._clock.monotonic()
        now = self._clock.now()
        result = {**_common(claim, now, self._terms.result_ttl_seconds), **result}
        end = partial(completed, result=result, now=now)
        stored = await self._finish(lease, claim, end)
        self._metrics.run_seconds.labels("storing").observe(self._clock.monotonic() - began)
        return "done" if stored else "superseded"

    async def fail(
        self, lease: Lease, claim: Record, why: Mapping[str, Any], *, dead_letter: bool
    ) -> Outcome:
        """Store the failure of a run, announce it, delete the message.

        ``why`` has the ``type`` and the ``detail`` of the failure. ``dead_letter`` keeps a copy of
        the message with both for the operator.
        """
        now = self._clock.now()
        error = {**_common(claim, now, self._terms.failed_ttl_seconds), **why}
        end = partial(failed, error=error, now=now)
        stored = await self._finish(lease, claim, end, dead_letter=why if dead_letter else None)
        return "failed" if stored else "superseded"

    async def announce(self, lease: Lease, record: Record, run_id: str) -> Outcome:
        """Publish the completion event of a run again, from its record. Delete the message."""
        await self._announce(record, run_id)
        await self._wake_next(record, run_id)
        await self.delete(lease)
        return "announced"

    async def release_run(self, lease: Lease, entity_id: str | None) -> None:
        """Queue an unfinished run again without counting its attempt, and release its message.

        The record tells whether the run is claimed, because a claim may have been interrupted.
        """
        if entity_id is not None:
            record = await self.still_claimed(lease, entity_id)
            if record is not None:
                await self.requeue(lease, released(record), seconds=0)
                return
        await self.release_message(lease, seconds=0)

    async def still_claimed(self, lease: Lease, entity_id: str) -> Record | None:
        """Return the record of an entity if its run is claimed under this lease."""
        record = await self._ports.store.get(entity_id)
        return record if record is not None and record.worker == lease.token else None

    async def requeue(self, lease: Lease, transition: Transition, *, seconds: float) -> bool:
        """Queue the run again, then release its message for ``seconds`` from now.

        False if the claim was lost. Then the message is left to the new holder of the run.
        """
        await lease.seal()
        applied = await self._ports.store.apply(transition)
        if applied.done:
            await self.release_message(lease, seconds=seconds)
        return applied.done

    async def release_message(self, lease: Lease, *, seconds: float) -> None:
        """Make a message visible again in ``seconds``. No other place releases messages."""
        await lease.stop()
        message = lease.message
        queue = self._ports.queues[message.lane]
        if may_hide(
            receive_count=message.receive_count,
            max_receive_count=queue.max_receive_count,
            held_seconds=(self._clock.now() - message.received_at) / 1000,
            seconds=seconds,
        ):
            await queue.hide(message, seconds)
        else:
            await queue.send_again(message, min(seconds, MAX_DELAY_SECONDS))
            self._metrics.deleted.inc()

    async def delete(self, lease: Lease) -> None:
        """Delete a message."""
        await lease.stop()
        await self._ports.queues[lease.message.lane].delete(lease.message)
        self._metrics.deleted.inc()

    async def dead_letter(
        self, lease: Lease, *, reason: str, detail: str, claim: Record | None = None
    ) -> None:
        """Move a message to the dead-letter queue with the reason. ``claim`` is its run, if any."""
        await lease.stop()
        queue = self._ports.queues[lease.message.lane]
        await queue.dead_letter(lease.message, reason=reason, detail=detail)
        self._metrics.dead_lettered.labels(reason).inc()
        log.warning(
            "message.dead_lettered",
            entity_id=claim and claim.entity_id,
            run_id=claim and claim.run_id,
            message_id=lease.message.message_id,
            reason=reason,
            detail=detail,
        )

    async def _finish(
        self,
        lease: Lease,
        claim: Record,
        end: Callable[..., Transition],
        *,
        dead_letter: Mapping[str, Any] | None = None,
    ) -> bool:
        """Store, announce, then delete the message. False if another claim holds the run by now.

        ``end`` makes the transition from a record and a ``next_run_id``. ``dead_letter`` has the
        type and the detail to keep with a copy of the message.
        """
        if (record := await self._store_and_announce(lease, claim, end)) is None:
            return False
        try:
            if dead_letter is None:
                await self.delete(lease)
            else:
                reason, detail = dead_letter["type"], dead_letter["detail"]
                await self.dead_letter(lease, reason=reason, detail=detail, claim=claim)
        finally:
            await self._wake_next(record, claim.run_id)
        return True

    async def _store_and_announce(
        self, lease: Lease, claim: Record, end: Callable[..., Transition]
    ) -> Record | None:
        """Store the end of a run and announce it. None if another claim holds the run by now.

        A request that comes while the run is computed changes the record. Then the transition is
        made again from the changed record.
        """
        await lease.seal()
        record: Record | None = claim
        holds = claim.worker == lease.token
        for _ in range(_MAX_ROUNDS):
            if record is None or not _is_claimed(record, claim):
                break
            if not holds and record.lease_until != claim.lease_until:
                break  # its holder is alive
            next_run_id = new_ulid(self._clock.now(), self._rng.getrandbits(80))
            transition = end(record, next_run_id=next_run_id)
            applied = await self._apply_end(
                transition if holds else unrenewed(transition, claim), claim
            )
            record = applied.record
            if applied.done and record is not None:
                self._note_ended(record)
                await self._announce(record, claim.run_id)
                return record
        log.warning("run.superseded", entity_id=claim.entity_id, run_id=claim.run_id)
        return None

    async def _apply_end(self, transition: Transition, claim: Record) -> Applied:
        """Store the end of a run. Raises ``PermanentError`` if the store refuses this outcome."""
        try:
            return await self._ports.store.apply(transition)
        except RunError as error:
            if error.type != "refused_by_aws" or transition.sets.get("result") is None:
                raise
            raise PermanentError(
                "result_too_large", f"the store refused the result of {claim.entity_id}"
            ) from error

    async def _wake_next(self, record: Record, run_id: str) -> None:
        """Send the wake-up message of the run that started in the same write, if any."""
        if record.state == "queued" and record.run_id != run_id and record.published_at is None:
            log.trace(record.traceparent)
            log.info("run.opened", entity_id=record.entity_id, run_id=record.run_id)
            await self._publish_run(record)

    async def _announce(self, record: Record, run_id: str) -> None:
        await self._ports.topics.announce(
            completion(ended(record, run_id), source=self._terms.source)
        )


def _is_claimed(record: Record, claim: Record) -> bool:
    """Return whether ``claim`` still holds the run. Other requests may have changed ``again``."""
    return (record.run_id, record.state, record.worker) == (
        claim.run_id,
        claim.state,
        claim.worker,
    )


def _common(record: Record, now: int, ttl_seconds: float) -> dict[str, Any]:
    """Return the attributes that a stored result and a stored error have in common."""
    return {
        "run_id": record.run_id,
        "requested_at": record.requested_at,
        "started_at": record.started_at,
        "finished_at": now,
        "attempts": record.attempts,
        "traceparent": record.traceparent,
        "expires_at": now // 1000 + int(ttl_seconds),
    }
