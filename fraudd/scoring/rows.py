"""What the rows of a feature file come to: its values by name, or why there are none."""

import math
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace

from fraudd.database.session import Rows
from fraudd.errors import PermanentError
from fraudd.scoring.columns import numbers
from fraudd.scoring.feature_files import FeatureFile
from fraudd.scoring.reducers.base import UnfitRows


async def one_row(file: FeatureFile, slices: AsyncIterator[Rows]) -> dict[str, float] | None:
    """Name the values of a file's one row; None where it has none, because nobody is there.

    Raises ``PermanentError`` where it is not right; a second row ends the reading.
    """
    rows = await anext(slices)
    while len(rows.rows) < 2 and (more := await anext(slices, None)) is not None:
        rows = replace(rows, rows=[*rows.rows, *more.rows])
    _refuse(_wrong_with_one_row(file, rows))
    if not rows.rows:
        return None
    return {
        name: math.nan if value is None else float(value)
        for name, value in zip(rows.columns, rows.rows[0], strict=True)
    }


async def reduced(file: FeatureFile, slices: AsyncIterator[Rows]) -> dict[str, float]:
    """Reduce a file's rows, however many, slice by slice; gives the values by name.

    Raises ``PermanentError`` where the columns or their order are not right.
    """
    reducing = [(reduction, reduction.begin()) for reduction in file.reductions]
    async for rows in slices:
        _refuse(_wrong_with_columns(file, rows))
        try:
            columns = numbers(rows)
        except UnfitRows as error:
            raise PermanentError("bad_feature", str(error)) from None
        for reduction, reducer in reducing:
            try:
                reducer.add(columns[reduction.column])
            except UnfitRows as error:
                raise PermanentError("bad_feature", f"{reduction} {error}") from None
    return {reduction.feature: reducer.result() for reduction, reducer in reducing}


def _refuse(problems: Iterable[str]) -> None:
    if told := "; ".join(problems):
        raise PermanentError("bad_feature", told)


def _wrong_with_one_row(file: FeatureFile, rows: Rows) -> Iterator[str]:
    declared = [feature.name for feature in file.features]
    yield from _twice(rows)
    for name in sorted(set(rows.columns)):
        if name not in declared:
            yield f"column {name} is not declared ('-- feature {name}: ... | ...')"
    for name in declared:
        if name not in rows.columns:
            yield f"declared feature {name} is no column of the SELECT"
    for name, numeric in zip(rows.columns, rows.numeric, strict=True):
        if not numeric:
            yield f"column {name} is not a number"
    if len(rows.rows) > 1:
        yield "gave more than one row"
    if not rows.rows and not file.exists:
        yield "gave no row; only the file marked '-- exists' may"


def _wrong_with_columns(file: FeatureFile, rows: Rows) -> Iterator[str]:
    wanted = {reduction.column for reduction in file.reductions}
    yield from _twice(rows)
    for name in sorted(set(rows.columns) - wanted):
        yield f"column {name} is in no '-- rows:' line: leave it out of the SELECT"
    for name in sorted(wanted - set(rows.columns)):
        yield f"column {name} of a '-- rows:' line is no column of the SELECT"
    for name, numeric, temporal in zip(rows.columns, rows.numeric, rows.temporal, strict=True):
        if not numeric and not temporal:
            yield f"column {name} is neither a number nor a date"


def _twice(rows: Rows) -> Iterator[str]:
    for name in sorted(set(rows.columns)):
        if rows.columns.count(name) > 1:
            yield f"column {name} comes twice"
