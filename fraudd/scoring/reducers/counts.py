"""Reducers of counts, as GROUP BY returns them: how evenly something is distributed."""

import math

import numpy as np

from fraudd.scoring.reducers.base import Gaps, UnfitRows, Values


class _Counts:
    """Checks that the values are counts, and adds them up."""

    def __init__(self) -> None:
        self.total = 0.0

    def add(self, values: Values) -> None:
        """Add the next piece. Raises ``UnfitRows`` if a value is negative."""
        if values.size and values.min() < 0:
            raise UnfitRows("needs counts, which are 0 or more")
        self.total += float(values.sum())


class Entropy:
    """The entropy of the counts in bits: 0 for one group, 3 for eight groups of equal size."""

    def __init__(self) -> None:
        self._counts = _Counts()
        self._weighted = 0.0

    def add(self, values: Values) -> None:
        """Add the next piece."""
        self._counts.add(values)
        positive = values[values > 0]
        self._weighted += float((positive * np.log2(positive)).sum())

    def result(self) -> float:
        """Return the entropy, or NaN if all counts are 0."""
        total = self._counts.total
        # A rounding error must not make it negative.
        return max(0.0, math.log2(total) - self._weighted / total) if total else math.nan


class LargestShare:
    """The largest count as a share of the sum."""

    def __init__(self) -> None:
        self._counts = _Counts()
        self._largest = 0.0

    def add(self, values: Values) -> None:
        """Add the next piece."""
        self._counts.add(values)
        self._largest = float(values.max(initial=self._largest))

    def result(self) -> float:
        """Return the share, or NaN if all counts are 0."""
        return self._largest / self._counts.total if self._counts.total else math.nan


class Gini:
    """The Gini coefficient of ascending counts: 0 if all are equal, near 1 if one has all."""

    def __init__(self) -> None:
        self._counts = _Counts()
        self._gaps = Gaps()
        self._rank = 0
        self._sum_of_ranks = 0.0

    def add(self, values: Values) -> None:
        """Add the next piece."""
        self._counts.add(values)
        self._gaps.of(values)
        ranks = np.arange(self._rank + 1, self._rank + values.size + 1)
        self._sum_of_ranks += float((ranks * values).sum())
        self._rank += values.size

    def result(self) -> float:
        """Return the coefficient, or NaN if all counts are 0."""
        n, total = self._rank, self._counts.total
        return 2 * self._sum_of_ranks / (n * total) - (n + 1) / n if total else math.nan
