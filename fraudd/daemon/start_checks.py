"""Checks the database, the queues and the topics at the start, and goes on until all have passed.

Look-ups must not wait for the database. So a check that gets no answer goes on in the background,
and the daemon serves meanwhile. It receives no messages until every check has passed.
"""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from fraudd.aio import gather
from fraudd.engine.breaker import Wait, WaitForChange
from fraudd.errors import Misconfigured, Unavailable
from fraudd.prediction.retry import back_off
from fraudd.telemetry import log

T = TypeVar("T")

#: The longest wait of clients for a part that accepts connections and says nothing.
_FIRST_SECONDS = 1.0
#: If the database has answered, a wrong file must be found before the daemon serves.
_ANSWERING_SECONDS = 20.0
#: Wait between two tests that found a problem. A reload or SIGHUP ends the wait.
_BASE_SECONDS, _MAX_SECONDS = 5.0, 60.0


class Gate(Protocol):
    """The part of the engine that the checks need."""

    async def patiently(self, part: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Call a part of the breaker until it answers."""

    async def wait(self, permission: Wait | WaitForChange) -> None:
        """Wait for a change, or for some seconds."""

    def hold(self, reason: str | None) -> None:
        """Receive no messages for ``reason``. None: receive them."""


@dataclass(slots=True)
class _Check:
    attempt: Callable[[], Awaitable[None]]
    passed: bool = False
    problems: Sequence[str] = ()
    #: Set when the first attempt has ended.
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class StartChecks:
    """The checks by part of the breaker. ``answering``: whether the database has answered."""

    def __init__(
        self,
        checks: Mapping[str, Callable[[], Awaitable[None]]],
        *,
        gate: Gate,
        answering: Callable[[], bool],
        rng: random.Random,
    ) -> None:
        self._checks = {part: _Check(attempt) for part, attempt in checks.items()}
        self._gate = gate
        self._answering = answering
        self._rng = rng
        #: Whether the daemon serves, so that a problem no longer prevents the start.
        self._serving = False
        self._report()

    async def first(self) -> None:
        """Wait for the first results, but not for a part that says nothing.

        Raises ``Misconfigured`` with every problem that is known by then.
        """
        if not await self._answered_within(_FIRST_SECONDS) and self._answering():
            await self._answered_within(_ANSWERING_SECONDS)
        problems = [problem for check in self._checks.values() for problem in check.problems]
        if problems:
            raise Misconfigured(*problems)
        self._serving = True

    async def run(self) -> None:
        """Check until every check has passed."""
        await gather(self._pass(part, check) for part, check in self._checks.items())

    async def _answered_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                for check in self._checks.values():
                    await check.answered.wait()
        except TimeoutError:
            return False
        return True

    async def _pass(self, part: str, check: _Check) -> None:
        for failures in itertools.count(1):
            if check.passed:
                return
            await self._gate.patiently(part, lambda: self._try(check))
            self._report()
            if check.problems:
                if self._serving:
                    log.error("start.check_failed", part=part, problems=check.problems)
                seconds = back_off(
                    failures, base_seconds=_BASE_SECONDS, max_seconds=_MAX_SECONDS, rng=self._rng
                )
                await self._gate.wait(Wait(seconds))

    async def _try(self, check: _Check) -> None:
        """Run a check. A problem is an answer, too: the part is reachable."""
        try:
            await check.attempt()
        except Misconfigured as error:
            check.problems = error.problems
        except Unavailable:
            check.answered.set()
            raise
        else:
            check.passed, check.problems = True, ()
        check.answered.set()

    def _report(self) -> None:
        """Hold the polls until every check has passed."""
        open_checks = {part: check for part, check in self._checks.items() if not check.passed}
        if not open_checks:
            self._gate.hold(None)
            return
        problems = [problem for check in open_checks.values() for problem in check.problems]
        waiting = f"not checked since the start: {', '.join(open_checks)}"
        self._gate.hold("; ".join(problems) or waiting)
