"""The rate limiter: a token bucket for each client."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudd.web.rate_limits import RateLimiter


def test_a_burst_is_let_through_and_then_the_rate() -> None:
    limiter = RateLimiter(per_second=2.0, burst=4)
    assert [limiter.take("a", 100.0) for _ in range(4)] == [0.0] * 4
    assert limiter.take("a", 100.0) == pytest.approx(0.5)
    assert limiter.take("a", 100.4) == pytest.approx(0.1)
    assert limiter.take("a", 100.5) == 0.0
    assert limiter.take("a", 100.5) == pytest.approx(0.5)


def test_what_was_saved_up_is_no_more_than_the_burst() -> None:
    limiter = RateLimiter(per_second=1.0, burst=2)
    assert [limiter.take("a", 1e6) == 0.0 for _ in range(3)] == [True, True, False]
    assert [limiter.take("a", 2e6) == 0.0 for _ in range(3)] == [True, True, False]


def test_nobody_is_held_up_by_others() -> None:
    limiter = RateLimiter(per_second=1.0, burst=1)
    assert limiter.take("a", 0.0) == 0.0
    assert limiter.take("a", 0.0) > 0
    assert limiter.take("b", 0.0) == 0.0


def test_who_was_refused_has_not_paid() -> None:
    limiter = RateLimiter(per_second=1.0, burst=1)
    limiter.take("a", 0.0)
    assert [limiter.take("a", now) > 0 for now in (0.2, 0.4, 0.6, 0.8)] == [True] * 4
    assert limiter.take("a", 1.0) == 0.0


def test_memory_is_bounded_and_those_seen_last_are_remembered() -> None:
    limiter = RateLimiter(per_second=1.0, burst=1, max_clients=100)
    for number in range(10_000):
        limiter.take(str(number), 0.0)
        assert len(limiter) <= 100
    assert limiter.take("9999", 0.0) > 0
    assert limiter.take("0", 0.0) == 0.0


@given(
    st.lists(st.floats(0, 10), max_size=200),
    st.floats(0.1, 100),
    st.integers(1, 50),
)
def test_no_sequence_gets_more_than_burst_and_rate(
    pauses: list[float], per_second: float, burst: int
) -> None:
    limiter = RateLimiter(per_second=per_second, burst=burst)
    now = 0.0
    taken = 0
    for pause in pauses:
        now += pause
        taken += limiter.take("a", now) == 0.0
        assert taken <= burst + now * per_second + 1e-6
