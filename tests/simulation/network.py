"""The way from one daemon to the parts of the world: slow, cut, and dishonest about what landed.

A request that was sent is carried out even where whoever sent it is gone by then; an answer may
be lost although the request was carried out.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeVar

from fraudd.errors import Unavailable
from tests.simulation.clocks import true_ms

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

T = TypeVar("T")

Part = Literal["store", "queue", "bulk_queue", "topics", "database"]
#: What becomes of one try of one call.
Fate = Literal[
    "well",
    "slow",
    "refused",
    "throttled",
    "request_lost",
    "answer_lost",
    "dies_before",
    "dies_during",
    "dies_after",
]

#: An answer slower than this may upset whoever counts a visibility from it.
SLOW_SECONDS = 1.0


class Crashed(BaseException):
    """Whoever called is a process that died: nothing it does reaches the world."""


class Failed(Exception):
    """One try of a call brought no answer, or an error."""


class Link:
    """One process's way to the world."""

    def __init__(self, world: "World", process: "Process") -> None:
        self._world = world
        self._process = process
        self._network = world.network
        #: Whether nobody waits any more for the answer to what is carried out just now.
        self.client_gone = False

    async def call(
        self, part: Part, act: Callable[[], T], *, about: str | None, tries: int = 3
    ) -> T:
        """Have ``act`` carried out by a part, as an SDK does it: tried again where it failed."""
        for left in reversed(range(tries)):
            try:
                return await self._once(part, act, about)
            except Failed as failure:
                if not left:
                    self._hurt(about)
                    raise Unavailable(part, str(failure)) from None
            await asyncio.sleep(self._world.network.uniform(0.02, 0.3))
        raise AssertionError("the last try returns or raises")

    async def poll(
        self,
        part: Part,
        register: Callable[[Callable[[T], None], Callable[[], bool]], None],
        *,
        wait: float,
    ) -> T:
        """Have a part answer in its own time: ``register`` gets the way to answer."""
        process, world = self._process, self._world
        self._must_live()
        loop = world.loop
        sent = process.clock.now()
        fate = self._fate(part, None)
        answer: asyncio.Future[T] = loop.create_future()
        there = self._latency(fate)

        def arrive() -> None:
            register(reply, lambda: answer.cancelled() or process.dead)
            if fate == "dies_during":
                process.crash("while it polled")

        def reply(found: T) -> None:
            if fate != "answer_lost":
                loop.call_later(self._latency(fate), _resolve, answer, found)

        too_late: asyncio.TimerHandle | None = None
        if fate in ("refused", "throttled"):
            loop.call_later(2 * there, _fail, answer, fate)
        elif fate == "request_lost":
            loop.call_later(wait + 10, _fail, answer, fate)
        else:
            loop.call_later(there, arrive)
            too_late = loop.call_later(wait + 10, _fail, answer, fate)
        try:
            return await self._answered(answer, sent, fate)
        except Failed as failure:
            self._hurt(None)
            raise Unavailable(part, str(failure)) from None
        finally:
            if too_late is not None:
                too_late.cancel()

    async def _once(self, part: Part, act: Callable[[], T], about: str | None) -> T:
        self._must_live()
        world, loop = self._world, self._world.loop
        sent = self._process.clock.now()
        fate = self._fate(part, about)
        answer: asyncio.Future[T] = loop.create_future()
        there = self._latency(fate)

        def arrive() -> None:
            self.client_gone = answer.done()
            found = act()
            if fate == "dies_during":
                self._process.crash("when its call had landed")
            elif fate != "answer_lost":
                loop.call_later(self._latency(fate), _resolve, answer, found)

        if fate in ("refused", "throttled"):
            loop.call_later(2 * there, _fail, answer, fate)
        elif fate != "request_lost":
            loop.call_later(there, arrive)
        if fate in ("slow", "request_lost", "answer_lost"):
            loop.call_later(world.plan.read_timeout, _fail, answer, fate)
        return await self._answered(answer, sent, fate)

    async def _answered(self, answer: "asyncio.Future[T]", sent: int, fate: Fate) -> T:
        process = self._process
        try:
            found = await answer
        except asyncio.CancelledError:
            self._must_live()
            if fate != "well":
                process.hurt_at.append(self._world.loop.time())
            raise
        if fate == "dies_after":
            process.crash("before it had seen the answer")
        self._must_live()
        now = true_ms(self._world.loop)
        process.skew.answered(
            date=now // 1000 * 1000, sent=sent, received=now + process.clock.offset_ms
        )
        return found

    def _must_live(self) -> None:
        if self._process.dead:
            raise Crashed

    def _fate(self, part: Part, about: str | None) -> Fate:
        fate = self._world.faults.fate(self._process, part)
        if fate != "well":
            self._process.disturbed = True
            self._world.note(self._process.name, about, f"{part} {fate}")
            self._world.lives.disturb(about, fate)
        if fate == "slow":
            self._process.hurt_at.append(self._world.loop.time())
        if fate == "dies_before":
            self._process.crash("before its call was sent")
            raise Crashed
        return fate

    def _hurt(self, about: str | None) -> None:
        self._process.failed_at.append(self._world.loop.time())
        self._process.hurt_at.append(self._world.loop.time())
        self._world.lives.hurt(about)

    def _latency(self, fate: Fate) -> float:
        if fate == "slow":
            return self._network.uniform(0.5, 1.5 * self._world.plan.read_timeout)
        return 0.001 + 0.019 * self._network.random()


def _resolve(answer: "asyncio.Future[T]", found: T) -> None:
    if not answer.done():
        answer.set_result(found)


def _fail(answer: "asyncio.Future[T]", fate: Fate) -> None:
    if not answer.done():
        answer.set_exception(Failed("no answer" if fate.endswith(("lost", "well")) else fate))
