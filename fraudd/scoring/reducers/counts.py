"""Reducers of counts, as a GROUP BY gives them: how evenly something is spread."""

import math

import numpy as np

from fraudd.scoring.reducers.base import Gaps, UnfitRows, Values


class _Counts:
    """Checks that values are counts, and sums them up."""

    def __init__(self) -> None:
        self.total = 0.0

    def add(self, values: Values) -> None:
        """Take the next piece. Raises ``UnfitRows`` where a value is negative."""
        if values.size and values.min() < 0:
            raise UnfitRows("needs counts, which are never under 0")
        self.total += float(values.sum())


class Entropy:
    """The entropy in bits of what was counted: 0 where all is one, 3 where eight share equally."""

    def __init__(self) -> None:
        self._counts = _Counts()
        self._weighted = 0.0

    def add(self, values: Values) -> None:
        """Take the next piece."""
        self._counts.add(values)
        positive = values[values > 0]
        self._weighted += float((positive * np.log2(positive)).sum())

    def result(self) -> float:
        """Give the entropy; NaN where nothing was counted."""
        total = self._counts.total
        # Never under 0, not even by a rounding error.
        return max(0.0, math.log2(total) - self._weighted / total) if total else math.nan


class LargestShare:
    """The share of the largest count in all that was counted."""

    def __init__(self) -> None:
        self._counts = _Counts()
        self._largest = 0.0

    def add(self, values: Values) -> None:
        """Take the next piece."""
        self._counts.add(values)
        self._largest = float(values.max(initial=self._largest))

    def result(self) -> float:
        """Give the share; NaN where nothing was counted."""
        return self._largest / self._counts.total if self._counts.total else math.nan


class Gini:
    """The Gini coefficient of ascending counts: 0 where all are equal, near 1 where one has all."""

    def __init__(self) -> None:
        self._counts = _Counts()
        self._gaps = Gaps()
        self._rank = 0
        self._ranked = 0.0

    def add(self, values: Values) -> None:
        """Take the next piece."""
        self._counts.add(values)
        self._gaps.of(values)
        ranks = np.arange(self._rank + 1, self._rank + values.size + 1)
        self._ranked += float((ranks * values).sum())
        self._rank += values.size

    def result(self) -> float:
        """Give the coefficient; NaN where nothing was counted."""
        n, total = self._rank, self._counts.total
        return 2 * self._ranked / (n * total) - (n + 1) / n if total else math.nan
