"""Calls of the parts that every run needs: what is out of reach is noticed, and waited for."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from fraudd import log
from fraudd.breaker import Breaker
from fraudd.ports import Clock, RunError, Unavailable

T = TypeVar("T")

#: An awaitable that can be asked for again: what is tried again is the call that failed.
Call = Callable[[], Awaitable[T]]


class Gate:
    """Tells the breaker what came of every call, and lets those wait who can."""

    def __init__(self, breaker: Breaker, *, clock: Clock) -> None:
        self.breaker = breaker
        self._clock = clock
        self._change = asyncio.Event()

    async def once(self, part: str, call: Call[T]) -> T:
        """Call a part; raises ``Unavailable`` where it is out of reach."""
        try:
            answer = await call()
        except Unavailable as error:
            if self.breaker.failed(part, error.detail, self._clock.monotonic()):
                log.warning("breaker.opened", part=part, reason=error.detail)
            self.changed()
            raise
        except RunError:
            self._answered(part)
            raise
        self._answered(part)
        return answer

    async def patiently(self, part: str, call: Call[T]) -> T:
        """Call a part until it answers: through an outage, in turn with all others who wait."""
        while True:
            if wait := self.breaker.enter(part, self._clock.monotonic()):
                await self.wait(wait)
                continue
            try:
                return await self.once(part, call)
            except Unavailable as error:
                log.debug("gate.waiting", part=part, reason=error.detail)
            finally:
                self.breaker.left(part)

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
            log.error("breaker.opened", part="runs", reason=detail)
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


async def to_its_end(call: Coroutine[Any, Any, T]) -> T:
    """Await a call that has a time-out of its own, though we are cancelled meanwhile.

    Whoever is cut off in mid-write cannot tell whether the write will land.
    """
    # In no TaskGroup, which would cancel it: it is awaited here whatever happens.
    task = asyncio.create_task(call)  # noqa: TID251
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
