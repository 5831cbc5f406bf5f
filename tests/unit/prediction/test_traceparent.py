"""Which trace a run belongs to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudd.prediction.record import new_run_id
from fraudd.prediction.traceparent import new_traceparent, parse_traceparent, trace_id
from tests.conftest import NOW

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = f"00-{TRACE}-{PARENT}-01"


def test_a_valid_one_is_carried_as_it_is() -> None:
    assert parse_traceparent(GIVEN) == GIVEN
    assert trace_id(GIVEN) == TRACE


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert parse_traceparent(f"cc-{TRACE}-{PARENT}-01-what-comes") == GIVEN
    assert parse_traceparent(f"cc-{TRACE}-{PARENT}-01") == GIVEN


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "nonsense",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-01\n",
        f" 00-{TRACE}-{PARENT}-01",
    ],
)
def test_anything_else_is_ignored(given: str | None) -> None:
    assert parse_traceparent(given) is None


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    assert parse_traceparent(text) is None or len(text) >= 55


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**80 - 1))
def test_a_trace_of_a_runs_own_is_valid_and_tells_the_run(now: int, bits: int) -> None:
    begun = new_traceparent(new_run_id(now or 1, bits))
    assert parse_traceparent(begun) == begun
    assert int(trace_id(begun), 16) == (now or 1) << 80 | bits


def test_runs_have_traces_of_their_own() -> None:
    assert new_traceparent(new_run_id(NOW, 1)) != new_traceparent(new_run_id(NOW, 2))
