"""Keeps one message in hand hidden from others, and the claim on its run alive."""

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

#: Beats come at a third of the visibility and may take a sixth, so that one may fail.
_BEAT_SHARE, _BEAT_TIMEOUT_SHARE = 3, 6


class Lease:
    """One message in hand; ``store`` and ``queue`` answer a beat, or raise ``Unavailable``."""

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
        #: What the claim on the run, if it comes to one, is told from all others by.
        self.token = token
        #: With the newest receipt there is.
        self.message = message
        #: The claim on the run, while it is to be renewed.
        self.claim: Record | None = None
        #: Why the work was cut off: somebody else holds the run, or SQS would take the message.
        self.ended: Literal["lost", "held_too_long"] | None = None
        self._store = store
        self._queue = queue
        self._clock = clock
        self.visibility_seconds = visibility_timeout_seconds
        self._visible_at = message.received_at + int(visibility_timeout_seconds * 1000)
        self._beating = asyncio.Lock()
        self._stopped = False

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Beat while the block runs; where the lease ends before it does, it is cancelled."""
        holder = asyncio.current_task()
        assert holder is not None, "only a task can be cut off"
        async with asyncio.TaskGroup() as group:
            beats = group.create_task(self._beat_while_held(holder))
            try:
                yield
            finally:
                beats.cancel()

    async def fresh(self) -> None:
        """See that enough of the visibility is left to begin with, else renew it.

        Raises ``Unavailable``.
        """
        left = self._visible_at - self._clock.now()
        if left * _BEAT_SHARE < self.visibility_seconds * 1000:
            async with self._beating:
                await self._hide()

    def until(self) -> int:
        """Give the end that a claim made now may have: before the message is seen again."""
        return lease_end(self._visible_at)

    def take_over(self, newer: Message) -> None:
        """Go on with a newer receipt of the same message."""
        self.message = newer
        self._visible_at = newer.received_at + int(self.visibility_seconds * 1000)

    async def seal(self) -> None:
        """Renew the claim no more; the beat in flight has ended on return."""
        async with self._beating:
            self.claim = None

    async def stop(self) -> None:
        """Renew nothing more; the beat in flight has ended on return."""
        async with self._beating:
            self.claim = None
            self._stopped = True

    async def _beat_while_held(self, holder: "asyncio.Task[object]") -> None:
        while self.ended is None:
            await asyncio.sleep(self.visibility_seconds / _BEAT_SHARE)
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
        """Renew the visibility, then the claim: it too where the visibility could not be."""
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
        until = lease_end(now + int(self.visibility_seconds * 1000))
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
        """What a log line calls the run; nothing is known of it before it is claimed."""
        claim = self.claim
        return {"entity_id": claim and claim.entity_id, "run_id": claim and claim.run_id}

    async def _hide(self) -> None:
        """Hide the message for another visibility, counted from before the call."""
        now = self._clock.now()
        async with self._in_time("queue"):
            await self._queue.hide(self.message, self.visibility_seconds)
        self._visible_at = now + int(self.visibility_seconds * 1000)

    @asynccontextmanager
    async def _in_time(self, part: str) -> AsyncIterator[None]:
        seconds = self.visibility_seconds / _BEAT_TIMEOUT_SHARE
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise Unavailable(part, f"no answer within {seconds:g} s") from None
