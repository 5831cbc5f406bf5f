"""What a failed attempt leads to, row by row; back-off; how a message is released."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudd.prediction.record import Record
from fraudd.prediction.retry import (
    BackOff,
    Fail,
    Failure,
    Limits,
    LookAgain,
    OnFailure,
    back_off,
    may_hide,
    on_failure,
)
from tests.stack.times import NOW

CLAIM = Record(entity_id="e", state="running", run_id="r", requested_at=NOW, worker="w")
UNKNOWN = Failure("permanent", "entity_unknown", "d")
PERMANENT = Failure("permanent", "nan", "d")
TRANSIENT = Failure("transient", "deadlock", "d")
OVERRUN = Failure("overrun", "query_timeout", "d")
BUG = Failure("bug", "internal", "d")


@pytest.mark.parametrize(
    ("failure", "attempts", "overruns", "decision"),
    [
        (PERMANENT, 1, 0, Fail("nan", "d", dead_letter=False)),
        (PERMANENT, 5, 1, Fail("nan", "d", dead_letter=False)),
        (TRANSIENT, 4, 1, BackOff(7.0, overran=False)),
        (TRANSIENT, 5, 1, Fail("deadlock", "d", dead_letter=True)),
        (BUG, 4, 1, BackOff(7.0, overran=False)),
        (BUG, 5, 1, Fail("internal", "d", dead_letter=True)),
        (OVERRUN, 1, 0, BackOff(7.0, overran=True)),
        (OVERRUN, 5, 0, Fail("query_timeout", "d", dead_letter=True)),
        (OVERRUN, 2, 1, Fail("too_slow", "d", dead_letter=False)),
        (OVERRUN, 5, 1, Fail("too_slow", "d", dead_letter=False)),
    ],
)
def test_failures(failure: Failure, attempts: int, overruns: int, decision: OnFailure) -> None:
    claim = replace(CLAIM, attempts=attempts, overruns=overruns)
    assert decided(failure, claim, seconds_later=0.0) == decision


@pytest.mark.parametrize(
    ("failure", "seconds_later", "decision"),
    [
        (UNKNOWN, 0.0, LookAgain(3.0)),
        (UNKNOWN, 2.5, LookAgain(0.5)),
        (UNKNOWN, -1.0, LookAgain(4.0)),
        (UNKNOWN, 3.0, Fail("entity_unknown", "d", dead_letter=False)),
        (UNKNOWN, 9.0, Fail("entity_unknown", "d", dead_letter=False)),
        (PERMANENT, 0.0, Fail("nan", "d", dead_letter=False)),
    ],
)
def test_an_entity_may_be_unknown_only_to_a_replica_that_lags(
    failure: Failure, seconds_later: float, decision: OnFailure
) -> None:
    for attempts in (1, 5):
        claim = replace(CLAIM, attempts=attempts)
        assert decided(failure, claim, seconds_later=seconds_later, lag=3.0) == decision


def decided(
    failure: Failure, claim: Record, *, seconds_later: float, lag: float = 0.0
) -> OnFailure:
    return on_failure(
        failure,
        claim,
        now=NOW + int(seconds_later * 1000),
        limits=Limits(max_attempts=5, max_wait_seconds=None),
        replica_lag_seconds=lag,
        delay_seconds=7.0,
    )


@given(st.integers(1, 10_000), st.integers())
def test_back_off_stays_within_its_ceiling(times: int, seed: int) -> None:
    delay = back_off(times, base_seconds=2.0, max_seconds=60.0, rng=random.Random(seed))
    assert 0 <= delay <= min(60.0, 2.0 * 2 ** min(times - 1, 32))


def test_back_off_spreads_over_all_of_its_range() -> None:
    rng = random.Random(1)
    delays = [back_off(3, base_seconds=2.0, max_seconds=60.0, rng=rng) for _ in range(500)]
    assert min(delays) < 0.5
    assert max(delays) > 7.5


@pytest.mark.parametrize(
    ("receives", "most", "held", "seconds", "hidden"),
    [
        (4, 10, 0, 60, True),
        (5, 10, 0, 60, False),
        (1, 3, 0, 0, True),
        (2, 3, 0, 0, False),
        (1, 1, 0, 0, False),
        (999, None, 0, 60, True),
        (1, 10, 41_400, 0, True),
        (1, 10, 41_400, 1, False),
    ],
)
def test_a_message_goes_back_by_a_copy_before_sqs_could_take_it(
    receives: int, most: int | None, held: float, seconds: float, hidden: bool
) -> None:
    may = may_hide(
        receive_count=receives, max_receive_count=most, held_seconds=held, seconds=seconds
    )
    assert may is hidden
