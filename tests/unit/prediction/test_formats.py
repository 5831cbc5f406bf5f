"""ULIDs, times, and traces as their standards define them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudd.prediction.formats import (
    ULID,
    new_traceparent,
    new_ulid,
    parse_traceparent,
    rfc3339,
    trace_id,
)
from tests.stack.times import NOW

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
    begun = new_traceparent(new_ulid(now or 1, bits))
    assert parse_traceparent(begun) == begun
    assert int(trace_id(begun), 16) == (now or 1) << 80 | bits


def test_runs_have_traces_of_their_own() -> None:
    assert new_traceparent(new_ulid(NOW, 1)) != new_traceparent(new_ulid(NOW, 2))


def test_times_are_rfc_3339_in_utc_with_milliseconds() -> None:
    assert rfc3339(1_700_000_000_007) == "2023-11-14T22:13:20.007Z"


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**80 - 1))
def test_run_ids_are_ulids_that_sort_by_time(now: int, bits: int) -> None:
    run_id = new_ulid(now, bits)
    assert ULID.fullmatch(run_id)
    assert now == 2**48 - 1 or run_id < new_ulid(now + 1, 0)
