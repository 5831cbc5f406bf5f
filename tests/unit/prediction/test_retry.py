"""From failure to what is done about it."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudd.prediction.retry import (
    BackOff,
    Disposition,
    Fail,
    FailureClass,
    back_off,
    dispose,
    may_hide,
)


@pytest.mark.parametrize(
    ("failure", "attempts", "overruns", "disposition"),
    [
        ("permanent", 1, 0, Fail(dead_letter=False)),
        ("permanent", 5, 0, Fail(dead_letter=False)),
        ("transient", 4, 1, BackOff(7.0)),
        ("transient", 5, 1, Fail(dead_letter=True)),
        ("bug", 4, 1, BackOff(7.0)),
        ("bug", 5, 1, Fail(dead_letter=True)),
        ("overrun", 1, 0, BackOff(7.0)),
        ("overrun", 5, 0, Fail(dead_letter=True)),
        ("overrun", 2, 1, Fail(dead_letter=False)),
    ],
)
def test_failures(
    failure: FailureClass, attempts: int, overruns: int, disposition: Disposition
) -> None:
    decided = dispose(failure, attempts=attempts, overruns=overruns, max_attempts=5, delay=7.0)
    assert decided == disposition


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
    told = may_hide(
        receive_count=receives, max_receive_count=most, held_seconds=held, seconds=seconds
    )
    assert told is hidden
