"""Turns the rows of a feature file into values by name, and checks them first."""

import math
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudd.database.session import Rows
from fraudd.errors import PermanentError
from fraudd.scoring.feature_files import FeatureFile
from fraudd.scoring.reducers.base import UnfitRows

_EPOCH = datetime(1970, 1, 1)
#: xgboost computes with 32 bits, and rejects values that they cannot hold.
_LARGEST = float(np.finfo(np.float32).max)


async def one_row(file: FeatureFile, slices: AsyncIterator[Rows]) -> dict[str, float] | None:
    """Return the values of a file that gives one row, or None if the entity does not exist.

    Raises ``PermanentError`` if columns or rows are wrong. A second row ends the reading.
    """
    rows = await anext(slices)
    while len(rows.rows) < 2 and (next_slice := await anext(slices, None)) is not None:
        rows = replace(rows, rows=[*rows.rows, *next_slice.rows])
    _refuse(_problems_of_one_row(file, rows))
    if not rows.rows:
        return None
    values = {
        name: math.nan if value is None else float(value)
        for name, value in zip(rows.columns, rows.rows[0], strict=True)
    }
    _refuse(f"column {problem}" for problem in _too_large(values))
    return values


async def reduced_rows(file: FeatureFile, slices: AsyncIterator[Rows]) -> dict[str, float]:
    """Reduce any number of rows, slice by slice, and return the values by name.

    Raises ``PermanentError`` if the columns or the order of the rows are wrong.
    """
    reducers = [(reduction, reduction.begin()) for reduction in file.reductions]
    async for rows in slices:
        _refuse(_problems_of_columns(file, rows))
        try:
            columns = numbers(rows)
        except UnfitRows as error:
            raise PermanentError("bad_feature", str(error)) from None
        for reduction, reducer in reducers:
            try:
                reducer.add(columns[reduction.column])
            except UnfitRows as error:
                raise PermanentError("bad_feature", f"{reduction} {error}") from None
    results = {str(reduction): reducer.result() for reduction, reducer in reducers}
    _refuse(_too_large(results))
    return {reduction.feature: results[str(reduction)] for reduction, _ in reducers}


def numbers(rows: Rows) -> dict[str, NDArray[np.float64]]:
    """Return the columns of a slice by name, as numbers and without NULLs.

    Numbers, DECIMAL and booleans become floats. DATE, DATETIME and TIMESTAMP become seconds since
    1970-01-01 00:00 in the session's time zone. Raises ``UnfitRows`` for an impossible date, and
    for a number that a model cannot read.
    """
    columns = zip(*rows.rows, strict=True) if rows.rows else ((),) * len(rows.columns)
    return {
        name: _seconds(name, column) if temporal else _floats(name, column)
        for name, temporal, column in zip(rows.columns, rows.temporal, columns, strict=True)
    }


def _refuse(problems: Iterable[str]) -> None:
    if detail := "; ".join(problems):
        raise PermanentError("bad_feature", detail)


def _problems_of_one_row(file: FeatureFile, rows: Rows) -> Iterator[str]:
    declared = [feature.name for feature in file.features]
    yield from _duplicate_columns(rows)
    for name in sorted(set(rows.columns)):
        if name not in declared:
            yield f"column {name} is not declared ('-- feature {name}: ... | ...')"
    for name in declared:
        if name not in rows.columns:
            yield f"declared feature {name} is not a column of the SELECT"
    for name, numeric in zip(rows.columns, rows.numeric, strict=True):
        if not numeric:
            yield f"column {name} is not a number"
    if len(rows.rows) > 1:
        yield "returned more than one row"
    if not rows.rows and not file.exists:
        yield "returned no row; only the file marked '-- exists' may do so"


def _problems_of_columns(file: FeatureFile, rows: Rows) -> Iterator[str]:
    used = {reduction.column for reduction in file.reductions}
    yield from _duplicate_columns(rows)
    for name in sorted(set(rows.columns) - used):
        yield f"no '-- rows:' line uses column {name}: remove it from the SELECT"
    for name in sorted(used - set(rows.columns)):
        yield f"a '-- rows:' line uses column {name}, which is not a column of the SELECT"
    for name, numeric, temporal in zip(rows.columns, rows.numeric, rows.temporal, strict=True):
        if not numeric and not temporal:
            yield f"column {name} is not a number or a date"


def _duplicate_columns(rows: Rows) -> Iterator[str]:
    for name in sorted(set(rows.columns)):
        if rows.columns.count(name) > 1:
            yield f"column {name} appears twice"


def _floats(name: str, column: Sequence[Any]) -> NDArray[np.float64]:
    values = np.array([float(value) for value in column if value is not None], dtype=np.float64)
    if values.size and (largest := float(np.abs(values).max())) > _LARGEST:
        # Checked before a reducer adds and multiplies the values.
        raise UnfitRows(f"column {_size(name, largest)}")
    return values


def _too_large(values: Mapping[str, float]) -> Iterator[str]:
    for name, value in values.items():
        if abs(value) > _LARGEST:
            yield _size(name, value)


def _size(name: str, value: float) -> str:
    return f"{name} is {value:g}, but a model reads numbers up to {_LARGEST:.3g}"


def _seconds(name: str, column: Sequence[Any]) -> NDArray[np.float64]:
    # This is seven times as fast as numpy's own conversion of datetimes.
    moments = [moment for moment in column if moment is not None]
    epoch = _EPOCH if moments and isinstance(moments[0], datetime) else _EPOCH.date()
    try:
        seconds = [(moment - epoch).total_seconds() for moment in moments]
    except TypeError:
        # The driver returns impossible dates as text: 0000-00-00, the 30th of February.
        impossible = next(moment for moment in moments if isinstance(moment, str))
        raise UnfitRows(f"column {name} contains {impossible[:30]!r}, not a date") from None
    return np.array(seconds, dtype=np.float64)
