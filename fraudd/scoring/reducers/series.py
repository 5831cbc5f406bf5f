"""The reducers that a feature file can name, and most of what they are made of."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraudd.scoring.reducers.base import Gaps, Reducer, Values
from fraudd.scoring.reducers.counts import Entropy, Gini, LargestShare

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


class OfGaps:
    """Another reducer's result for the gaps between each value and the next."""

    def __init__(self, reducer: Reducer) -> None:
        self._gaps = Gaps()
        self._reducer = reducer

    def add(self, values: Values) -> None:
        """Take the next piece."""
        self._reducer.add(self._gaps.of(values))

    def result(self) -> float:
        """Give the result."""
        return self._reducer.result()


class Mean:
    """The mean."""

    def __init__(self) -> None:
        self._count = 0
        self._total = 0.0

    def add(self, values: Values) -> None:
        """Take the next piece."""
        self._count += values.size
        self._total += float(values.sum())

    def result(self) -> float:
        """Give the mean; NaN where there are no values."""
        return self._total / self._count if self._count else math.nan


class Largest:
    """The largest value."""

    def __init__(self) -> None:
        self._largest = -math.inf

    def add(self, values: Values) -> None:
        """Take the next piece."""
        self._largest = float(values.max(initial=self._largest))

    def result(self) -> float:
        """Give the value; NaN where there are none."""
        return self._largest if self._largest > -math.inf else math.nan


class Variation:
    """The standard deviation over the mean."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = 0.0
        self._squares = 0.0

    def add(self, values: Values) -> None:
        """Take the next piece, after Chan, Golub and LeVeque: a plain sum of squares cancels."""
        if not values.size:
            return
        mean = float(values.mean())
        apart, count = mean - self._mean, self._count + values.size
        self._squares += float(np.square(values - mean).sum())
        self._squares += apart * apart * self._count * values.size / count
        self._mean += apart * values.size / count
        self._count = count

    def result(self) -> float:
        """Give the variation; NaN under two values, and where the mean is 0."""
        if self._count < 2 or self._mean == 0:
            return math.nan
        return math.sqrt(self._squares / self._count) / self._mean


class Share:
    """The share of the values for which something holds."""

    def __init__(self, holds: Callable[[Values], NDArray[np.bool_]]) -> None:
        self._holds = holds
        self._count = 0
        self._holding = 0

    def add(self, values: Values) -> None:
        """Take the next piece."""
        self._count += values.size
        self._holding += int(np.count_nonzero(self._holds(values)))

    def result(self) -> float:
        """Give the share; NaN where there are no values."""
        return self._holding / self._count if self._count else math.nan


class Velocity:
    """The most values in a window that begins at a multiple of a sixtieth of its length.

    So it is at most the most in any window of that length, and at least the most in any window
    of 59/60 of it: the price of remembering sixty counts, however many values there are.
    """

    def __init__(self, seconds: float) -> None:
        if seconds < 1:
            raise ValueError("SECONDS must be 1 or more")
        self._gaps = Gaps()
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


def _short_gap_share(seconds: float) -> Reducer:
    if seconds <= 0:
        raise ValueError("SECONDS must be over 0")
    return OfGaps(Share(lambda gaps: gaps < seconds))


def _night_share(hour: float) -> Reducer:
    if not 0 < hour < 24:
        raise ValueError("HOUR must be over 0 and under 24")
    return Share(lambda times: np.mod(times, _DAY_SECONDS) < hour * 3600)


def _round_share(unit: float) -> Reducer:
    if unit <= 0:
        raise ValueError("UNIT must be over 0")
    return Share(
        lambda amounts: np.abs(amounts / unit - np.rint(amounts / unit)) < _ROUND_TOLERANCE
    )


@dataclass(frozen=True, slots=True)
class Kind:
    """How a reducer is made, and what its number is called, if it takes one."""

    make: Callable[..., Reducer]
    number: str | None = None


#: Every reducer by the name that a feature file calls it.
REDUCERS: Mapping[str, Kind] = {
    "benford": Kind(Benford),
    "entropy": Kind(Entropy),
    "gap_variation": Kind(lambda: OfGaps(Variation())),
    "gini": Kind(Gini),
    "largest_share": Kind(LargestShare),
    "longest_gap": Kind(lambda: OfGaps(Largest())),
    "mean_gap": Kind(lambda: OfGaps(Mean())),
    "night_share": Kind(_night_share, "HOUR"),
    "round_share": Kind(_round_share, "UNIT"),
    "short_gap_share": Kind(_short_gap_share, "SECONDS"),
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
