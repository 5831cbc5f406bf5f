"""How a message in hand is settled: after the record, and in one order, whatever fails.

The verdict is stored, then announced, then the message is deleted. A crash between any two
steps repeats the rest when the message comes back, and loses nothing.
"""

from collections.abc import Mapping
from typing import Any, Literal

from fraudd import log
from fraudd.answer import ended
from fraudd.event import completion
from fraudd.metrics import Metrics
from fraudd.ports import Clock, Message, Queue, Store, Topics
from fraudd.prediction import Record, Transition, completed, failed

Outcome = Literal[
    "done",
    "failed",
    "retried",
    "given_back",
    "announced",
    "opened",  # a run, for another service
    "superseded",
    "covered",
    "malformed",
    "unavailable",
    "bug",
]


class Settlement:
    """Ends runs and lets go of their messages. Every call may raise ``Unavailable``."""

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue,
        topics: Topics,
        clock: Clock,
        metrics: Metrics,
        result_ttl_seconds: float,
        failed_ttl_seconds: float,
        source: str,
    ) -> None:
        self._store = store
        self._queue = queue
        self._topics = topics
        self._clock = clock
        self._metrics = metrics
        self._result_ttl_seconds = result_ttl_seconds
        self._failed_ttl_seconds = failed_ttl_seconds
        self._source = source

    async def complete(self, message: Message, claim: Record, found: Mapping[str, Any]) -> Outcome:
        """Store what a claimed run found, announce it, delete the message."""
        now = self._clock.now()
        result = {**_identity(claim, now, self._result_ttl_seconds), **found}
        if not await self._end(completed(claim, result=result, now=now)):
            return "superseded"
        await self.delete(message)
        return "done"

    async def fail(
        self, message: Message, record: Record, *, type_: str, detail: str, dead_letter: bool
    ) -> Outcome:
        """Store why a run failed, announce it, delete the message.

        ``dead_letter`` keeps a copy of the message for the operator, with the reason on it.
        """
        now = self._clock.now()
        why = {"type": type_, "detail": detail}
        error = {**_identity(record, now, self._failed_ttl_seconds), **why}
        if not await self._end(failed(record, error=error, now=now)):
            return "superseded"
        if dead_letter:
            await self.bury(message, reason=type_, detail=detail)
        else:
            await self.delete(message)
        return "failed"

    async def announce(self, message: Message, record: Record, run_id: str) -> Outcome:
        """Announce the end of a run once more, as the record has it; delete the message."""
        await self._publish(record, run_id)
        await self.delete(message)
        return "announced"

    async def requeue(self, message: Message, transition: Transition, *, seconds: float) -> bool:
        """Queue the run again, then hide its message for ``seconds``.

        Where the claim was lost meanwhile the message is left to whoever holds the run now.
        """
        applied = await self._store.apply(transition)
        if applied.done:
            await self._queue.hide(message, seconds)
        return applied.done

    async def give_back(self, message: Message, *, until: int) -> Outcome:
        """Hide a message that came too early until ``until`` (epoch milliseconds)."""
        await self._queue.hide(message, max(0, until - self._clock.now()) / 1000)
        return "given_back"

    async def delete(self, message: Message) -> None:
        """Be done with a message."""
        await self._queue.delete(message)
        self._metrics.deleted.inc()

    async def bury(self, message: Message, *, reason: str, detail: str) -> None:
        """Move a message to the dead-letter queue, saying why."""
        await self._queue.dead_letter(message, reason=reason, detail=detail)
        self._metrics.dead_lettered.labels(reason).inc()
        log.warning(
            "message.dead_lettered", message_id=message.message_id, reason=reason, detail=detail
        )

    async def _end(self, transition: Transition) -> bool:
        """Store a verdict and announce it, unless somebody else holds the run by now."""
        run_id = str(transition.expects["run_id"])
        applied = await self._store.apply(transition)
        if not applied.done or applied.record is None:
            log.warning("run.superseded", entity_id=transition.entity_id, run_id=run_id)
            return False
        await self._publish(applied.record, run_id)
        return True

    async def _publish(self, record: Record, run_id: str) -> None:
        await self._topics.announce(completion(ended(record, run_id), source=self._source))


def _identity(record: Record, now: int, ttl_seconds: float) -> dict[str, Any]:
    """What a stored result and a stored error have in common: whose they are, how long kept."""
    return {
        "run_id": record.run_id,
        "requested_at": record.requested_at,
        "started_at": record.started_at,
        "finished_at": now,
        "attempts": record.attempts,
        "expires_at": now // 1000 + int(ttl_seconds),
    }
