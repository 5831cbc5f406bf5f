"""What one column of any number of rows comes to: how it is given, and to whom.

A reducer is given a column piece by piece, NULLs left out, and needs memory that does not grow
with the rows. Where the pieces are cut changes nothing but the last digits.
"""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


class UnfitRows(Exception):
    """The rows are not what a reducer needs. The message says what that is."""


class Reducer(Protocol):
    """Reduces a column to a number."""

    def add(self, values: Values) -> None:
        """Take the next piece of the column (n,), without NaN. Raises ``UnfitRows``."""

    def result(self) -> float:
        """Tell what all pieces come to; NaN where that is nothing."""


class Gaps:
    """The differences from each value to the next, across the borders of pieces."""

    def __init__(self) -> None:
        self._last = math.nan

    def of(self, values: Values) -> Values:
        """Give the gaps that end in this piece. Raises ``UnfitRows`` where one is negative."""
        if not values.size:
            return values
        gaps = np.diff(values, prepend=self._last)
        if math.isnan(self._last):
            gaps = gaps[1:]
        if gaps.size and gaps.min() < 0:
            raise UnfitRows("needs its rows in ascending order: ORDER BY")
        self._last = float(values[-1])
        return gaps
