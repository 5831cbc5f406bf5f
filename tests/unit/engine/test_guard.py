"""Which calls end an outage, and what the guard makes of errors that nobody expects."""

import asyncio
import random

import pytest

from fraudd.clock import SystemClock
from fraudd.engine.breaker import Breaker
from fraudd.engine.guard import Guard
from fraudd.errors import BackPressure, TransientError, Unavailable
from fraudd.telemetry.clock_skew import ClockSkew


@pytest.fixture
def guard() -> Guard:
    """A guard whose breaker is closed."""
    rng = random.Random(1)
    return Guard(
        Breaker(base_seconds=0.001, max_seconds=0.001, rng=rng),
        ClockSkew(),
        clock=SystemClock(),
        rng=rng,
        visibility_timeout_seconds=120.0,
    )


def call(guard: Guard, part: str, error: Exception | None) -> None:
    """Call a part once. It raises ``error``, or answers."""

    async def attempt() -> None:
        if error is not None:
            raise error

    asyncio.run(guard.once(part, attempt))


def test_an_error_that_the_server_did_not_give_ends_no_outage(guard: Guard) -> None:
    with pytest.raises(Unavailable):
        call(guard, "database", Unavailable("database", "silent"))
    with pytest.raises(TransientError):
        call(guard, "database", TransientError("too_slow", "our own limit", answered=False))
    assert guard.breaker.state == "outage"
    with pytest.raises(TransientError):
        call(guard, "database", TransientError("deadlock", "1213"))
    assert guard.breaker.blocked_by is None


def test_back_pressure_is_no_outage(guard: Guard) -> None:
    with pytest.raises(BackPressure):
        call(guard, "store", BackPressure("store", "ThrottlingException"))
    assert guard.breaker.state == "closed"


def test_an_unexpected_error_of_a_part_is_its_outage(guard: Guard) -> None:
    with pytest.raises(Unavailable, match="store: unexpected KeyError"):
        call(guard, "store", KeyError("Item"))
    assert guard.breaker.state == "outage"


def test_a_bug_while_features_are_read_is_no_outage(guard: Guard) -> None:
    with pytest.raises(ZeroDivisionError):
        call(guard, "database", ZeroDivisionError())
    assert guard.breaker.state == "closed"


def test_a_patient_call_survives_an_unexpected_error(guard: Guard) -> None:
    errors: list[Exception] = [KeyError("Item"), ValueError("no JSON")]

    async def attempt() -> str:
        if errors:
            raise errors.pop()
        return "answer"

    assert asyncio.run(guard.patiently("store", attempt)) == "answer"
    assert guard.breaker.state == "closed"


def test_no_job_waits_for_an_optional_part(guard: Guard) -> None:
    async def attempt() -> None:
        raise Unavailable("bulk_queue", "down")

    with pytest.raises(Unavailable):
        asyncio.run(guard.settling("bulk_queue", attempt))
