"""Heartbeats: no error of one ends its job, and a wrong clock makes no lease too long."""

import asyncio
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from fraudd.engine.breaker import Breaker
from fraudd.engine.guard import Guard
from fraudd.engine.lease import Lease
from fraudd.ports import Message
from fraudd.prediction.record import Record, Transition, lease_end
from fraudd.telemetry.clock_skew import ClockSkew
from tests.stack.times import NOW

VISIBILITY_SECONDS = 0.03
CLAIM = Record(entity_id="shop-1", state="running", run_id="R", requested_at=NOW, worker="w1")


class Stopped:
    """A clock that stands still."""

    def now(self) -> int:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def lease_and_guard(
    apply: Callable[[Transition], Any], hide: Callable[[], None]
) -> tuple[Lease, Guard]:
    """A lease whose calls go to two functions."""

    async def applied(transition: Transition) -> Any:
        return apply(transition)

    async def hidden(message: Message, seconds: float) -> None:
        hide()

    store: Any = SimpleNamespace(apply=applied)
    queue: Any = SimpleNamespace(hide=hidden)
    rng = random.Random(1)
    guard = Guard(
        Breaker(base_seconds=1.0, max_seconds=1.0, rng=rng),
        ClockSkew(),
        clock=Stopped(),
        rng=rng,
        visibility_timeout_seconds=VISIBILITY_SECONDS,
    )
    message = Message(
        message_id="m",
        receipt_handle="r",
        body="",
        attributes={},
        receive_count=1,
        sent_at=NOW,
        received_at=NOW,
    )
    lease = Lease(
        message,
        store=store,
        queue=queue,
        guard=guard,
        clock=Stopped(),
        token="w1",
        visibility_timeout_seconds=VISIBILITY_SECONDS,
    )
    lease.claim = CLAIM
    return lease, guard


def test_a_heartbeat_that_fails_in_any_way_does_not_end_its_job() -> None:
    calls: list[str] = []
    third = asyncio.Event()

    def apply(transition: Transition) -> Any:
        calls.append("apply")
        if len(calls) >= 6:
            third.set()
        raise ZeroDivisionError

    def hide() -> None:
        calls.append("hide")
        raise ZeroDivisionError

    async def job(lease: Lease) -> str:
        async with lease.kept():
            await third.wait()
            return "done"

    lease, _ = lease_and_guard(apply, hide)
    assert asyncio.run(job(lease)) == "done"
    assert calls[:6] == ["hide", "apply"] * 3


def test_a_fresh_message_is_no_answer_of_the_queue() -> None:
    def hide() -> None:
        raise AssertionError("the message is fresh")

    lease, guard = lease_and_guard(lambda _: None, hide)
    guard.breaker.failed("queue", "down", 0.0, "settle")
    asyncio.run(lease.ensure_fresh(guard.once))
    assert guard.breaker.state == "outage"


@pytest.mark.parametrize("off_ms", [3_600_000, -3_600_000])
def test_a_wrong_clock_writes_no_wrong_lease(off_ms: int) -> None:
    written: list[int] = []
    renewed = asyncio.Event()

    def apply(transition: Transition) -> Any:
        written.append(int(str(transition.sets["lease_until"])))
        renewed.set()
        return SimpleNamespace(done=True)

    lease, guard = lease_and_guard(apply, lambda: None)
    for _ in range(2):
        guard.skew.answered(date=NOW - off_ms, sent=NOW, received=NOW)

    async def job() -> None:
        async with lease.kept():
            await renewed.wait()

    asyncio.run(job())
    right = lease_end(NOW - off_ms + int(VISIBILITY_SECONDS * 1000))
    assert abs(written[0] - right) < 1000, "the date of an answer has whole seconds"
