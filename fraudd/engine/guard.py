"""Calls of parts through the breaker, which stand still during an outage."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from fraudd.engine.breaker import OPTIONAL_PARTS, Breaker, Go, Wait, WaitForChange
from fraudd.errors import BackPressure, RunError, Unavailable
from fraudd.ports import Clock
from fraudd.prediction.retry import back_off
from fraudd.telemetry import log
from fraudd.telemetry.clock_skew import ClockSkew

T = TypeVar("T")

#: Back-off while a part is out of capacity. It is short: capacity returns when another call ends.
_CAPACITY_BASE_SECONDS, _MAX_CAPACITY_SECONDS = 0.2, 2.0

#: A heartbeat comes each third of the visibility timeout.
BEATS_PER_TIMEOUT = 3

#: One attempt of a call. A retry makes a new attempt.
Attempt = Callable[[], Awaitable[T]]


class Call(Protocol):
    """A way to call a part: a method of ``Guard``."""

    async def __call__(self, part: str, attempt: Attempt[T], *, call: str = "") -> T:
        """Call the part. ``call`` is the kind of call."""


class Guard:
    """Reports the result of each call to the breaker, and makes patient calls wait for it."""

    def __init__(
        self,
        breaker: Breaker,
        skew: ClockSkew,
        *,
        clock: Clock,
        rng: random.Random,
        visibility_timeout_seconds: float,
    ) -> None:
        self.breaker = breaker
        self.skew = skew
        self._clock = clock
        self._rng = rng
        self._visibility_timeout_seconds = visibility_timeout_seconds
        self._change = asyncio.Event()

    async def once(self, part: str, attempt: Attempt[T], *, call: str = "") -> T:
        """Call a part. Raises ``Unavailable`` if it is unreachable or out of capacity."""
        try:
            answer = await attempt()
        except BackPressure:
            raise
        except Unavailable as error:
            self._failed(part, error.detail, call)
            raise
        except RunError as error:
            if error.answered:
                self._answered(part, call)
            raise
        except Exception as error:
            if part == "database":
                raise  # the code that reads features may have a bug, which only its run has
            if not self.breaker.unreachable(part, call):
                log.error("breaker.unexpected_error", traceback=True, part=part)
            detail = f"unexpected {type(error).__name__}: {error}"
            self._failed(part, detail, call)
            raise Unavailable(part, detail) from error
        self._answered(part, call)
        return answer

    async def promptly(self, part: str, attempt: Attempt[T], *, call: str = "") -> T:
        """Call a part once, or raise ``Unavailable`` if its next trial call is not due."""
        if not isinstance(self.breaker.enter(part, self._clock.monotonic(), call), Go):
            raise Unavailable(part, "the next trial call is not due")
        try:
            return await self.once(part, attempt, call=call)
        finally:
            self.breaker.left(part, call)

    async def settling(self, part: str, attempt: Attempt[T], *, call: str = "") -> T:
        """Call a part patiently if every run needs it. No job waits for an optional part."""
        way = self.promptly if part in OPTIONAL_PARTS else self.patiently
        return await way(part, attempt, call=call)

    async def patiently(self, part: str, attempt: Attempt[T], *, call: str = "") -> T:
        """Call a part until it answers.

        In an outage, only one of the waiting calls is the trial call. A part that is out of
        capacity is called again after a short back-off.
        """
        rejections = 0
        while True:
            permission = self.breaker.enter(part, self._clock.monotonic(), call)
            if not isinstance(permission, Go):
                await self.wait(permission)
                continue
            try:
                return await self.once(part, attempt, call=call)
            except BackPressure as error:
                log.debug("breaker.too_many_connections", part=part, error=error.detail)
            except Unavailable as error:
                log.debug("breaker.trial_failed", part=part, error=error.detail)
                continue
            finally:
                self.breaker.left(part, call)
            rejections += 1
            await asyncio.sleep(
                back_off(
                    rejections,
                    base_seconds=_CAPACITY_BASE_SECONDS,
                    max_seconds=_MAX_CAPACITY_SECONDS,
                    rng=self._rng,
                )
            )

    def lease_grace_seconds(self) -> float:
        """Return the seconds for which an expired lease does not yet mean that its holder is gone.

        After an outage of the store, lease holders have one visibility timeout to renew. In a
        shorter outage than the interval of heartbeats, nobody misses one.
        """
        answering = self.breaker.seconds_since_outage(
            "store",
            self._clock.monotonic(),
            lasting=self._visibility_timeout_seconds / BEATS_PER_TIMEOUT,
        )
        return max(0.0, self._visibility_timeout_seconds - answering)

    def is_out(self, part: str, call: str) -> bool:
        """Whether a kind of call failed last, and no trial call is due."""
        return not isinstance(self.breaker.look(part, self._clock.monotonic(), call), Go)

    def run_began(self) -> None:
        """Note that a run began."""
        self.breaker.run_began(self._clock.monotonic())

    def run_succeeded(self) -> None:
        """Note that a run has ended with a verdict."""
        if self.breaker.run_succeeded():
            log.info("breaker.closed", part="runs")
            self.changed()

    def run_failed(self, entity_id: str, detail: str) -> None:
        """Note a transient failure or a bug."""
        if self.breaker.run_failed(entity_id, detail, self._clock.monotonic()):
            log.error("breaker.opened", part="runs", error=detail)
        self.changed()

    def retry(self) -> None:
        """Try all parts and runs again now."""
        self.breaker.retry(self._clock.monotonic())
        self.changed()

    def changed(self) -> None:
        """Wake every task in ``wait``, so that it checks again."""
        self._change.set()
        self._change = asyncio.Event()

    async def wait(self, permission: Wait | WaitForChange) -> None:
        """Wait for a change, or for the seconds of ``permission``."""
        seconds = permission.seconds if isinstance(permission, Wait) else None
        try:
            async with asyncio.timeout(seconds):
                await self._change.wait()
        except TimeoutError:
            return

    def _failed(self, part: str, detail: str, call: str) -> None:
        if self.breaker.failed(part, detail, self._clock.monotonic(), call):
            log.warning("breaker.opened", part=part, error=detail)
        self.changed()

    def _answered(self, part: str, call: str) -> None:
        was_failing = self.breaker.unreachable(part, call)
        if self.breaker.answered(part, self._clock.monotonic(), call):
            log.info("breaker.closed", part=part)
        if was_failing:
            self.changed()
