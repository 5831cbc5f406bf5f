"""The protocol of a reducer, which turns one column of any number of rows into one value.

A reducer receives the column piece by piece, without NULLs. Its memory does not grow with the
number of rows. The size of the pieces changes only the last digits of the result.
"""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


class UnfitRows(Exception):
    """The rows break a reducer's rule. The message names the rule."""


class Reducer(Protocol):
    """Reduces a column to a number."""

    def add(self, values: Values) -> None:
        """Add the next piece of the column (n,), without NaN. Raises ``UnfitRows``."""

    def result(self) -> float:
        """Return the value of all pieces, or NaN if they have none."""


class Gaps:
    """The differences between consecutive values, also across the borders of pieces."""

    def __init__(self) -> None:
        self._last = math.nan

    def of(self, values: Values) -> Values:
        """Return the gaps that end in this piece. Raises ``UnfitRows`` if one is negative."""
        if not values.size:
            return values
        gaps = np.diff(values, prepend=self._last)
        if math.isnan(self._last):
            gaps = gaps[1:]
        if gaps.size and gaps.min() < 0:
            raise UnfitRows("needs its rows in ascending order: add ORDER BY to the SELECT")
        self._last = float(values[-1])
        return gaps
