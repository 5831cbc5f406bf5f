"""Keeps one message in flight hidden in SQS, and the lease of its run alive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from fraudd.engine.guard import BEATS_PER_TIMEOUT, Call, Guard
from fraudd.errors import Unavailable
from fraudd.ports import Clock, Message, Queue, Store
from fraudd.prediction.record import Record, lease_end
from fraudd.prediction.retry import MAX_HELD_SECONDS
from fraudd.prediction.transitions import renewed
from fraudd.telemetry import log

#: A heartbeat may take a sixth of the visibility timeout, so one of two may fail.
_BEAT_TIMEOUTS_PER_TIMEOUT = 6


class Lease:
    """The visibility timeout of one message, and the lease of its run.

    ``store`` reports to the guard itself and does not wait for the end of an outage. ``queue`` is
    the queue without a guard.
    """

    def __init__(
        self,
        message: Message,
        *,
        store: Store,
        queue: Queue,
        guard: Guard,
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
        self._guard = guard
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

    async def ensure_fresh(self, call: Call) -> None:
        """Extend the visibility timeout if too little of it is left to start a run.

        ``call`` is the way to call the queue. Without a call, the guard learns nothing.
        """
        remaining = self._visible_at - self._clock.now()
        if remaining * BEATS_PER_TIMEOUT < self._visibility_seconds * 1000:
            await call(self.message.part, self._hide_between_beats, call="settle")

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
            await asyncio.sleep(self._visibility_seconds / BEATS_PER_TIMEOUT)
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
            await self._guard.once(self.message.part, self._hide, call="settle")
        except Exception as error:  # a heartbeat never ends its job
            log.warning(
                "message.visibility_not_extended",
                **self._names,
                message_id=self.message.message_id,
                error=str(error),
            )
        if self.claim is None:
            return
        until = lease_end(self._true_now() + int(self._visibility_seconds * 1000))
        try:
            async with self._in_time("store"):
                applied = await self._store.apply(renewed(self.claim, lease_until=until))
        except Exception as error:
            log.warning("lease.not_renewed", **self._names, error=str(error))
            return
        if not applied.done:
            log.warning("lease.lost", **self._names)
            self.ended = "lost"

    def _true_now(self) -> int:
        """Return the time by the clock of AWS if this clock is known to be wrong.

        Other daemons compare the end of the lease with their clocks. With a wrong clock, they
        would take a run over too early, or long after its holder has died.
        """
        skew = self._guard.skew
        off_seconds = 0.0 if skew.blocked_by is None else skew.off_seconds
        return self._clock.now() - int(off_seconds * 1000)

    @property
    def _names(self) -> dict[str, Any]:
        """The fields that identify the run in a log line. Before the claim they are None."""
        claim = self.claim
        return {"entity_id": claim and claim.entity_id, "run_id": claim and claim.run_id}

    async def _hide_between_beats(self) -> None:
        async with self._beating:
            await self._hide()

    async def _hide(self) -> None:
        """Hide the message for another visibility timeout, which starts before the call."""
        now = self._clock.now()
        async with self._in_time(self.message.part):
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
