"""Columns of SQL as numbers."""

import math
import re
from collections.abc import AsyncIterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from fraudd.database.session import Rows
from fraudd.errors import PermanentError
from fraudd.scoring.feature_files import Feature, FeatureFile
from fraudd.scoring.reducers.base import UnfitRows
from fraudd.scoring.rows import numbers, one_row


def column(*values: Any, temporal: bool = False) -> list[float]:
    rows = Rows(["c"], [not temporal], [temporal], [(value,) for value in values])
    return list(numbers(rows)["c"])


def test_numbers_of_every_kind_are_floats_and_null_is_left_out() -> None:
    assert column(1, None, Decimal("2.50"), 0.1, None, True, 2**63) == [1.0, 2.5, 0.1, 1.0, 2.0**63]


@pytest.mark.parametrize("value", [3.5e38, -1e300, math.inf, Decimal("1e60")])
def test_a_number_that_a_model_cannot_read_is_refused(value: Any) -> None:
    with pytest.raises(UnfitRows, match=r"column c is .*, but a model reads numbers up to 3\.4e"):
        column(1, None, value)


async def test_a_value_of_one_row_that_a_model_cannot_read_is_refused() -> None:
    file = FeatureFile(
        name="f.sql",
        sql="SELECT 1",
        features=[Feature(name="c", description="c", text="c")],
        reductions=[],
        exists=False,
    )

    async def slices(value: Any) -> AsyncIterator[Rows]:
        yield Rows(["c"], [True], [False], [(value,)])

    assert await one_row(file, slices(-3.4e38)) == {"c": -3.4e38}
    for value in (3.5e38, -math.inf):
        with pytest.raises(PermanentError, match=re.escape(f"column c is {value:g}")) as failed:
            await one_row(file, slices(value))
        assert failed.value.type == "bad_feature"


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
