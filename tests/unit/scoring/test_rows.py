"""Columns of SQL as numbers."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from fraudd.database.session import Rows
from fraudd.scoring.reducers.base import UnfitRows
from fraudd.scoring.rows import numbers


def column(*values: Any, temporal: bool = False) -> list[float]:
    rows = Rows(["c"], [not temporal], [temporal], [(value,) for value in values])
    return list(numbers(rows)["c"])


def test_numbers_of_every_kind_are_floats_and_null_is_left_out() -> None:
    assert column(1, None, Decimal("2.50"), 0.1, None, True, 2**63) == [1.0, 2.5, 0.1, 1.0, 2.0**63]


def test_times_are_seconds_by_the_session_s_clock() -> None:
    moments = (datetime(1970, 1, 2), None, datetime(1969, 12, 31, 23, 59, 59, 500_000))
    assert column(*moments, temporal=True) == [86_400.0, -0.5]
    assert column(None, date(1970, 1, 3), temporal=True) == [172_800.0]


def test_a_column_without_a_value_or_a_row_is_empty() -> None:
    assert column(None, None) == column(None, temporal=True) == column() == []


@pytest.mark.parametrize("values", [["0000-00-00"], [None, date(2026, 1, 1), "2026-02-30"]])
def test_what_the_calendar_does_not_have_is_refused(values: list[Any]) -> None:
    with pytest.raises(UnfitRows, match=f"column c contains '{values[-1]}', not a date"):
        column(*values, temporal=True)
