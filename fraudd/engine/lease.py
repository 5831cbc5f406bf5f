"""Keeps one message in flight hidden in SQS, and the lease of its run alive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from fraudd.errors import Unavailable
from fraudd.ports import Clock, Message, Queue, Store
from fraudd.prediction.record import Record, lease_end
from fraudd.prediction.retry import MAX_HELD_SECONDS
from fraudd.prediction.transitions import renewed
from fraudd.telemetry import log

#: A heartbeat comes each third of the visibility timeout and may take a sixth, so one may fail.
_BEATS_PER_TIMEOUT, _BEAT_TIMEOUTS_PER_TIMEOUT = 3, 6


class Lease:
    """The visibility timeout of one message, and the lease of its run.

    ``store`` and ``queue`` raise ``Unavailable`` in an outage, they do not wait for its end.
    """

    def __init__(
        self,
        message: Message,
        *,
        store: Store,
        queue: Queue,
        clock: Clock,
        token: str,
        visibility_timeout_seconds: float,
    ) -> None:
        #: The fencing token. Each claim has its own.
        self.token = token
        #: The message with its newest receipt handle.
        self.message = message
        #: The claim on the run, as long as its lease is renewed.
        self.claim: Record | None = None
        #: Why the job was cancelled: another claim holds the run, or the message was held too long.
        self.ended: Literal["lost", "held_too_long"] | None = None
        self._store = store
        self._queue = queue
        self._clock = clock
        self._visibility_seconds = visibility_timeout_seconds
        self._visible_at = message.received_at + int(visibility_timeout_seconds * 1000)
        self._beating = asyncio.Lock()
        self._stopped = False

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Renew while the block runs. If the lease ends first, the block is cancelled."""
        holder = asyncio.current_task()
        assert holder is not None, "only a task can be cancelled"
        async with asyncio.TaskGroup() as group:
            beats = group.create_task(self._beat_while_held(holder))
            try:
                yield
            finally:
                beats.cancel()

    async def ensure_fresh(self) -> None:
        """Extend the visibility timeout if too little of it is left to start a run.

        Raises ``Unavailable``.
        """
        remaining = self._visible_at - self._clock.now()
        if remaining * _BEATS_PER_TIMEOUT < self._visibility_seconds * 1000:
            async with self._beating:
                await self._hide()

    def until(self) -> int:
        """Return the end of a lease that starts now: before the message is visible again."""
        return lease_end(self._visible_at)

    def take_over(self, newer: Message) -> None:
        """Continue with a newer receipt handle of the same message."""
        self.message = newer
        self._visible_at = newer.received_at + int(self._visibility_seconds * 1000)

    async def seal(self) -> None:
        """Stop renewing the claim. On return no heartbeat is under way."""
        async with self._beating:
            self.claim = None

    async def stop(self) -> None:
        """Stop all renewal. On return no heartbeat is under way."""
        async with self._beating:
            self.claim = None
            self._stopped = True

    async def _beat_while_held(self, holder: "asyncio.Task[object]") -> None:
        while self.ended is None:
            await asyncio.sleep(self._visibility_seconds / _BEATS_PER_TIMEOUT)
            async with self._beating:
                if self._stopped:
                    return
                await self._beat()
                if self._held_too_long():
                    self.ended = self.ended or "held_too_long"
        holder.cancel()

    def _held_too_long(self) -> bool:
        return self._clock.now() - self.message.received_at > MAX_HELD_SECONDS * 1000

    async def _beat(self) -> None:
        """Extend the visibility timeout, then renew the claim, even if the first call fails."""
        if self.claim is not None:
            log.trace(self.claim.traceparent)
        try:
            await self._hide()
        except Unavailable as error:
            log.warning(
                "message.visibility_not_extended",
                **self._names,
                message_id=self.message.message_id,
                error=str(error),
            )
        if self.claim is None:
            return
        now = self._clock.now()
        until = lease_end(now + int(self._visibility_seconds * 1000))
        try:
            async with self._in_time("store"):
                applied = await self._store.apply(renewed(self.claim, lease_until=until))
        except Unavailable as error:
            log.warning("lease.not_renewed", **self._names, error=str(error))
            return
        if not applied.done:
            log.warning("lease.lost", **self._names)
            self.ended = "lost"

    @property
    def _names(self) -> dict[str, Any]:
        """The fields that identify the run in a log line. Before the claim they are None."""
        claim = self.claim
        return {"entity_id": claim and claim.entity_id, "run_id": claim and claim.run_id}

    async def _hide(self) -> None:
        """Hide the message for another visibility timeout, which starts before the call."""
        now = self._clock.now()
        async with self._in_time("queue"):
            await self._queue.hide(self.message, self._visibility_seconds)
        self._visible_at = now + int(self._visibility_seconds * 1000)

    @asynccontextmanager
    async def _in_time(self, part: str) -> AsyncIterator[None]:
        seconds = self._visibility_seconds / _BEAT_TIMEOUTS_PER_TIMEOUT
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise Unavailable(part, f"no answer within {seconds:g} s") from None
