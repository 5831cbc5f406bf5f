"""Token buckets: how much each caller may do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudd.web.buckets import Buckets


def test_a_burst_is_let_through_and_then_the_rate() -> None:
    buckets = Buckets(per_second=2.0, burst=4)
    assert [buckets.take("a", 100.0) for _ in range(4)] == [0.0] * 4
    assert buckets.take("a", 100.0) == pytest.approx(0.5)
    assert buckets.take("a", 100.4) == pytest.approx(0.1)
    assert buckets.take("a", 100.5) == 0.0
    assert buckets.take("a", 100.5) == pytest.approx(0.5)


def test_what_was_saved_up_is_no_more_than_the_burst() -> None:
    buckets = Buckets(per_second=1.0, burst=2)
    assert [buckets.take("a", 1e6) == 0.0 for _ in range(3)] == [True, True, False]
    assert [buckets.take("a", 2e6) == 0.0 for _ in range(3)] == [True, True, False]


def test_nobody_is_held_up_by_others() -> None:
    buckets = Buckets(per_second=1.0, burst=1)
    assert buckets.take("a", 0.0) == 0.0
    assert buckets.take("a", 0.0) > 0
    assert buckets.take("b", 0.0) == 0.0


def test_who_was_refused_has_not_paid() -> None:
    buckets = Buckets(per_second=1.0, burst=1)
    buckets.take("a", 0.0)
    assert [buckets.take("a", now) > 0 for now in (0.2, 0.4, 0.6, 0.8)] == [True] * 4
    assert buckets.take("a", 1.0) == 0.0


def test_memory_is_bounded_and_those_seen_last_are_remembered() -> None:
    buckets = Buckets(per_second=1.0, burst=1, most_keys=100)
    for number in range(10_000):
        buckets.take(str(number), 0.0)
        assert len(buckets) <= 100
    assert buckets.take("9999", 0.0) > 0
    assert buckets.take("0", 0.0) == 0.0


@given(
    st.lists(st.floats(0, 10), max_size=200),
    st.floats(0.1, 100),
    st.integers(1, 50),
)
def test_no_sequence_gets_more_than_burst_and_rate(
    pauses: list[float], per_second: float, burst: int
) -> None:
    buckets = Buckets(per_second=per_second, burst=burst)
    now = 0.0
    taken = 0
    for pause in pauses:
        now += pause
        taken += buckets.take("a", now) == 0.0
        assert taken <= burst + now * per_second + 1e-6
