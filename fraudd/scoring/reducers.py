"""Reducers: what one column of any number of rows comes to, in memory that does not grow.

A reducer is given a column piece by piece, NULLs left out; where the pieces are cut changes nothing
but the last digits. It gives NaN where the rows say nothing. ``REDUCERS`` has them by name.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

_DAY_SECONDS = 24 * 3600
#: A window slides by this share of itself; ``velocity`` remembers so many counts.
_STEPS = 60
_BACK = np.arange(1 - _STEPS, 1.0)
#: Where first digits change: every number of one digit that a float holds, read as SQL's are.
_DIGIT_BORDERS = np.array(
    [float(f"{d}e{place}") for place in range(-307, 309) for d in range(1, 10)]
)
#: https://en.wikipedia.org/wiki/Benford%27s_law
_BENFORD = np.log10(1 + 1 / np.arange(1, 10))
#: How far from a whole number of units still counts as one: cents are not exact in binary.
_ROUND_TOLERANCE = 1e-6


class UnfitRows(Exception):
    """The rows are not what a reducer needs. The message says what that is."""


class Reducer(Protocol):
    """Reduces a column to a number."""

    def add(self, values: Values) -> None:
        """Take the next piece of the column (n,), without NaN. Raises ``UnfitRows``."""

    def result(self) -> float:
        """Tell what all pieces come to; NaN where that is nothing."""


class _Gaps:
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


class MeanGap:
    """The mean gap between a value and the next."""

    def __init__(self) -> None:
        self._gaps = _Gaps()
        self._count = 0
        self._total = 0.0

    def add(self, values: Values) -> None:
        """Take the next piece."""
        gaps = self._gaps.of(values)
        self._count += gaps.size
        self._total += float(gaps.sum())

    def result(self) -> float:
        """Give the mean; NaN under two values."""
        return self._total / self._count if self._count else math.nan


class GapVariation:
    """The standard deviation of the gaps over their mean: 0 for a metronome, 1 for chance."""

    def __init__(self) -> None:
        self._gaps = _Gaps()
        self._count = 0
        self._mean = 0.0
        self._squares = 0.0

    def add(self, values: Values) -> None:
        """Take the next piece, after Chan, Golub and LeVeque: a plain sum of squares cancels."""
        gaps = self._gaps.of(values)
        if not gaps.size:
            return
        mean = float(gaps.mean())
        apart, count = mean - self._mean, self._count + gaps.size
        self._squares += float(np.square(gaps - mean).sum())
        self._squares += apart * apart * self._count * gaps.size / count
        self._mean += apart * gaps.size / count
        self._count = count

    def result(self) -> float:
        """Give the variation; NaN under two gaps, and where all are 0."""
        if self._count < 2 or self._mean == 0:
            return math.nan
        return math.sqrt(self._squares / self._count) / self._mean


class ShortGapShare:
    """The share of the gaps that are shorter than a number of seconds."""

    def __init__(self, seconds: float) -> None:
        if seconds <= 0:
            raise ValueError("SECONDS must be over 0")
        self._gaps = _Gaps()
        self._seconds = seconds
        self._count = 0
        self._short = 0

    def add(self, values: Values) -> None:
        """Take the next piece."""
        gaps = self._gaps.of(values)
        self._count += gaps.size
        self._short += int(np.count_nonzero(gaps < self._seconds))

    def result(self) -> float:
        """Give the share; NaN under two values."""
        return self._short / self._count if self._count else math.nan


class LongestGap:
    """The longest gap between a value and the next."""

    def __init__(self) -> None:
        self._gaps = _Gaps()
        self._longest = math.nan

    def add(self, values: Values) -> None:
        """Take the next piece."""
        gaps = self._gaps.of(values)
        if gaps.size:
            self._longest = float(np.fmax(self._longest, gaps.max()))

    def result(self) -> float:
        """Give the gap; NaN under two values."""
        return self._longest


class Velocity:
    """The most values in a window that begins at a multiple of a sixtieth of its length.

    So it is at most the most in any window of that length, and at least the most in any window
    of 59/60 of it: the price of remembering sixty counts, however many values there are.
    """

    def __init__(self, seconds: float) -> None:
        if seconds < 1:
            raise ValueError("SECONDS must be 1 or more")
        self._gaps = _Gaps()
        self._step_seconds = seconds / _STEPS
        # The step of the last value, and how many values were in each of the sixty up to it.
        self._step = -math.inf
        self._counts = np.zeros(_STEPS)
        self._most = 0.0

    def add(self, values: Values) -> None:
        """Take the next piece."""
        self._gaps.of(values)
        steps = np.concatenate([self._step + _BACK, values // self._step_seconds])
        until = np.cumsum(np.concatenate([self._counts, np.ones(values.size)]))
        # What stands up to each step, less what stands before the window that ends with it.
        before = np.searchsorted(steps, steps - _STEPS, side="right")
        self._most = max(self._most, float((until - np.append(0, until)[before]).max()))
        self._step = steps[-1]
        # The counts up to each of the last sixty steps, and from them those in each.
        up_to = np.searchsorted(steps, self._step + np.append(-_STEPS, _BACK), side="right")
        self._counts = np.diff(np.append(0, until)[up_to])

    def result(self) -> float:
        """Give the count; 0 where there are no values."""
        return self._most


class NightShare:
    """The share of the times of day that are before an hour."""

    def __init__(self, hour: float) -> None:
        if not 0 < hour < 24:
            raise ValueError("HOUR must be over 0 and under 24")
        self._until_seconds = hour * 3600
        self._count = 0
        self._night = 0

    def add(self, values: Values) -> None:
        """Take the next piece."""
        self._count += values.size
        self._night += int(np.count_nonzero(np.mod(values, _DAY_SECONDS) < self._until_seconds))

    def result(self) -> float:
        """Give the share; NaN where there are no values."""
        return self._night / self._count if self._count else math.nan


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
        self._gaps = _Gaps()
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


class Benford:
    """How far the first digits are from Benford's law: the mean of the nine absolute differences.

    The shares of the digits are compared with log10(1 + 1/digit), after Nigrini, *Benford's Law*
    (2012), who calls a difference over 0.015 nonconformity, given some thousand amounts; a few
    amounts are far from any law. A sign is left out, and so is a 0.
    """

    def __init__(self) -> None:
        self._digits = np.zeros(9, dtype=np.int64)

    def add(self, values: Values) -> None:
        """Take the next piece."""
        place = np.searchsorted(_DIGIT_BORDERS, np.abs(values), side="right")
        self._digits += np.bincount((place[place > 0] - 1) % 9, minlength=9)

    def result(self) -> float:
        """Give the distance; NaN where no value has a first digit."""
        count = self._digits.sum()
        return float(np.abs(self._digits / count - _BENFORD).mean()) if count else math.nan


class RoundShare:
    """The share of the amounts that are whole multiples of a unit."""

    def __init__(self, unit: float) -> None:
        if unit <= 0:
            raise ValueError("UNIT must be over 0")
        self._unit = unit
        self._count = 0
        self._round = 0

    def add(self, values: Values) -> None:
        """Take the next piece."""
        units = values / self._unit
        self._count += values.size
        self._round += int(np.count_nonzero(np.abs(units - np.rint(units)) < _ROUND_TOLERANCE))

    def result(self) -> float:
        """Give the share; NaN where there are no values."""
        return self._round / self._count if self._count else math.nan


@dataclass(frozen=True, slots=True)
class Kind:
    """How a reducer is made, and what its number is called, if it takes one."""

    make: Callable[..., Reducer]
    number: str | None = None


#: Every reducer by the name that a feature file calls it.
REDUCERS: Mapping[str, Kind] = {
    "benford": Kind(Benford),
    "entropy": Kind(Entropy),
    "gap_variation": Kind(GapVariation),
    "gini": Kind(Gini),
    "largest_share": Kind(LargestShare),
    "longest_gap": Kind(LongestGap),
    "mean_gap": Kind(MeanGap),
    "night_share": Kind(NightShare, "HOUR"),
    "round_share": Kind(RoundShare, "UNIT"),
    "short_gap_share": Kind(ShortGapShare, "SECONDS"),
    "velocity": Kind(Velocity, "SECONDS"),
}


def begin(name: str, number: float | None) -> Reducer:
    """Make a reducer that has seen nothing yet.

    Raises ``ValueError`` where there is none of that name, or ``number`` is not what it takes.
    """
    if (kind := REDUCERS.get(name)) is None:
        raise ValueError(f"reducer {name} is unknown; there are {', '.join(REDUCERS)}")
    if (kind.number is None) != (number is None):
        takes = "(COLUMN)" if kind.number is None else f"(COLUMN, {kind.number})"
        raise ValueError(f"{name} takes {takes}")
    return kind.make() if number is None else kind.make(number)
