"""Calls of the parts that every run needs: what is out of reach is noticed, and waited for."""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fraudd.engine.breaker import Breaker
from fraudd.errors import BackPressure, RunError, Unavailable
from fraudd.ports import Clock
from fraudd.prediction.retry import back_off
from fraudd.telemetry import log

T = TypeVar("T")

#: Back-off while a part has no room: room is made as soon as somebody else is done.
_ROOM_BASE_SECONDS, _ROOM_MOST_SECONDS = 0.2, 2.0

#: An awaitable that can be asked for again: what is tried again is the call that failed.
Call = Callable[[], Awaitable[T]]


class Guard:
    """Tells the breaker what came of every call, and lets those wait who can."""

    def __init__(self, breaker: Breaker, *, clock: Clock, rng: random.Random) -> None:
        self.breaker = breaker
        self._clock = clock
        self._rng = rng
        self._change = asyncio.Event()

    async def once(self, part: str, call: Call[T]) -> T:
        """Call a part; raises ``Unavailable`` where it is out of reach, or has no room."""
        try:
            answer = await call()
        except BackPressure:
            raise
        except Unavailable as error:
            if self.breaker.failed(part, error.detail, self._clock.monotonic()):
                log.warning("breaker.opened", part=part, error=error.detail)
            self.changed()
            raise
        except RunError:
            self._answered(part)
            raise
        self._answered(part)
        return answer

    async def patiently(self, part: str, call: Call[T]) -> T:
        """Call a part until it answers: through an outage, in turn with all others who wait.

        Where it has no room it is asked again a little later.
        """
        refusals = 0
        while True:
            if wait := self.breaker.enter(part, self._clock.monotonic()):
                await self.wait(wait)
                continue
            try:
                return await self.once(part, call)
            except BackPressure as error:
                log.debug("breaker.no_room", part=part, error=error.detail)
            except Unavailable as error:
                log.debug("breaker.waiting", part=part, error=error.detail)
                continue
            finally:
                self.breaker.left(part)
            refusals += 1
            await asyncio.sleep(
                back_off(
                    refusals,
                    base_seconds=_ROOM_BASE_SECONDS,
                    max_seconds=_ROOM_MOST_SECONDS,
                    rng=self._rng,
                )
            )

    def _answered(self, part: str) -> None:
        if self.breaker.answered(part, self._clock.monotonic()):
            log.info("breaker.closed", part=part)
            self.changed()

    def run_began(self) -> None:
        """Note that an attempt began."""
        self.breaker.run_began(self._clock.monotonic())

    def run_succeeded(self) -> None:
        """Note a run that found its score."""
        if self.breaker.run_succeeded():
            log.info("breaker.closed", part="runs")
            self.changed()

    def run_failed(self, entity_id: str, detail: str) -> None:
        """Note an attempt that failed in passing, or by a bug."""
        if self.breaker.run_failed(entity_id, detail, self._clock.monotonic()):
            log.error("breaker.opened", part="runs", error=detail)
        self.changed()

    def retry(self) -> None:
        """Let what failed be tried at once."""
        self.breaker.retry(self._clock.monotonic())
        self.changed()

    def changed(self) -> None:
        """Wake all who wait, to look again."""
        self._change.set()
        self._change = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Wait until something changes, ``seconds`` at most."""
        try:
            async with asyncio.timeout(None if math.isinf(seconds) else seconds):
                await self._change.wait()
        except TimeoutError:
            return
