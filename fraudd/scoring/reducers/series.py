"""The reducers that a feature file can name, and those of times and amounts."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraudd.scoring.reducers.base import Gaps, Reducer, Values
from fraudd.scoring.reducers.counts import Entropy, Gini, LargestShare

_DAY_SECONDS = 24 * 3600
#: ``velocity`` divides its window into this number of steps, and keeps one count for each.
_STEPS = 60
#: The last step and the 59 before it, relative to the last.
_LAST_STEPS = np.arange(1 - _STEPS, 1.0)
#: The numbers at which the first digit changes, parsed as SQL's decimals are.
_DIGIT_BORDERS = np.array(
    [float(f"{d}e{place}") for place in range(-307, 309) for d in range(1, 10)]
)
#: https://en.wikipedia.org/wiki/Benford%27s_law
_BENFORD = np.log10(1 + 1 / np.arange(1, 10))
#: Cents are not exact in binary, so this distance from a whole number counts as whole.
_ROUND_TOLERANCE = 1e-6


class OfGaps:
    """Another reducer's result for the gaps between consecutive values."""

    def __init__(self, reducer: Reducer) -> None:
        self._gaps = Gaps()
        self._reducer = reducer

    def add(self, values: Values) -> None:
        """Add the next piece."""
        self._reducer.add(self._gaps.of(values))

    def result(self) -> float:
        """Return the result."""
        return self._reducer.result()


class Mean:
    """The mean of the values."""

    def __init__(self) -> None:
        self._count = 0
        self._total = 0.0

    def add(self, values: Values) -> None:
        """Add the next piece."""
        self._count += values.size
        self._total += float(values.sum())

    def result(self) -> float:
        """Return the mean, or NaN if there are no values."""
        return self._total / self._count if self._count else math.nan


class Largest:
    """The largest value."""

    def __init__(self) -> None:
        self._largest = -math.inf

    def add(self, values: Values) -> None:
        """Add the next piece."""
        self._largest = float(values.max(initial=self._largest))

    def result(self) -> float:
        """Return the value, or NaN if there are none."""
        return self._largest if self._largest > -math.inf else math.nan


class Variation:
    """The coefficient of variation: the standard deviation divided by the mean."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = 0.0
        self._squares = 0.0

    def add(self, values: Values) -> None:
        """Add the next piece, after Chan, Golub and LeVeque. A sum of squares loses digits."""
        if not values.size:
            return
        mean = float(values.mean())
        difference, count = mean - self._mean, self._count + values.size
        self._squares += float(np.square(values - mean).sum())
        self._squares += difference * difference * self._count * values.size / count
        self._mean += difference * values.size / count
        self._count = count

    def result(self) -> float:
        """Return the variation, or NaN if there are under two values or the mean is 0."""
        if self._count < 2 or self._mean == 0:
            return math.nan
        return math.sqrt(self._squares / self._count) / self._mean


class Share:
    """The share of the values that meet a condition."""

    def __init__(self, condition: Callable[[Values], NDArray[np.bool_]]) -> None:
        self._condition = condition
        self._count = 0
        self._matches = 0

    def add(self, values: Values) -> None:
        """Add the next piece."""
        self._count += values.size
        self._matches += int(np.count_nonzero(self._condition(values)))

    def result(self) -> float:
        """Return the share, or NaN if there are no values."""
        return self._matches / self._count if self._count else math.nan


class Velocity:
    """The largest number of values within a window of time, for example orders in an hour.

    Time is divided into steps of a sixtieth of the window. A window begins where a step begins.
    So the result lies between the exact maxima for 59/60 of the window and for the whole window,
    and needs sixty counts, however many values there are.

    How it works, with six values and a window of 3 steps instead of 60::

        step of the value   1  1  2  2  4  7
        running count       1  2  3  4  5  6   all values up to this one
        outside             0  0  0  0  2  5   those that are 3 or more steps older
        in the window       1  2  3  4  3  1   the difference: the largest, 4, is the result

    Between two pieces only the counts of the last sixty steps are kept.
    """

    def __init__(self, seconds: float) -> None:
        if seconds < 1:
            raise ValueError("SECONDS must be 1 or more")
        self._gaps = Gaps()
        self._step_seconds = seconds / _STEPS
        self._last_step = -math.inf
        # The number of values in each of the sixty steps that end with the last step.
        self._counts = np.zeros(_STEPS)
        self._maximum = 0.0

    def add(self, values: Values) -> None:
        """Add the next piece."""
        self._gaps.of(values)
        # The kept steps with their counts come first, then each value with the count 1.
        steps = np.concatenate([self._last_step + _LAST_STEPS, values // self._step_seconds])
        counts = np.concatenate([self._counts, np.ones(values.size)])
        running_count = np.append(0, np.cumsum(counts))
        outside = running_count[np.searchsorted(steps, steps - _STEPS, side="right")]
        self._maximum = max(self._maximum, float((running_count[1:] - outside).max()))
        self._last_step = steps[-1]
        # Running counts at the sixty-one borders of the last sixty steps: differences are counts.
        borders = self._last_step + np.append(-_STEPS, _LAST_STEPS)
        self._counts = np.diff(running_count[np.searchsorted(steps, borders, side="right")])

    def result(self) -> float:
        """Return the count, which is 0 if there are no values."""
        return self._maximum


class Benford:
    """The mean absolute deviation of the first digits from Benford's law, log10(1 + 1/digit).

    Nigrini, *Benford's Law* (2012), calls a deviation over 0.015 nonconformity if there are some
    thousand amounts. A few amounts always deviate. Signs and zeros are ignored.
    """

    def __init__(self) -> None:
        self._digits = np.zeros(9, dtype=np.int64)

    def add(self, values: Values) -> None:
        """Add the next piece."""
        place = np.searchsorted(_DIGIT_BORDERS, np.abs(values), side="right")
        self._digits += np.bincount((place[place > 0] - 1) % 9, minlength=9)

    def result(self) -> float:
        """Return the deviation, or NaN if no value has a first digit."""
        count = self._digits.sum()
        return float(np.abs(self._digits / count - _BENFORD).mean()) if count else math.nan


def _short_gap_share(seconds: float) -> Reducer:
    if seconds <= 0:
        raise ValueError("SECONDS must be more than 0")
    return OfGaps(Share(lambda gaps: gaps < seconds))


def _night_share(hour: float) -> Reducer:
    if not 0 < hour < 24:
        raise ValueError("HOUR must be more than 0 and less than 24")
    return Share(lambda times: np.mod(times, _DAY_SECONDS) < hour * 3600)


def _round_share(unit: float) -> Reducer:
    if unit <= 0:
        raise ValueError("UNIT must be more than 0")
    return Share(
        lambda amounts: np.abs(amounts / unit - np.rint(amounts / unit)) < _ROUND_TOLERANCE
    )


@dataclass(frozen=True, slots=True)
class ReducerType:
    """How to make a reducer, and the name of its number if it takes one."""

    make: Callable[..., Reducer]
    number: str | None = None


#: Every reducer by the name that a feature file calls it.
REDUCERS: Mapping[str, ReducerType] = {
    "benford": ReducerType(Benford),
    "entropy": ReducerType(Entropy),
    "gap_variation": ReducerType(lambda: OfGaps(Variation())),
    "gini": ReducerType(Gini),
    "largest_share": ReducerType(LargestShare),
    "longest_gap": ReducerType(lambda: OfGaps(Largest())),
    "mean_gap": ReducerType(lambda: OfGaps(Mean())),
    "night_share": ReducerType(_night_share, "HOUR"),
    "round_share": ReducerType(_round_share, "UNIT"),
    "short_gap_share": ReducerType(_short_gap_share, "SECONDS"),
    "velocity": ReducerType(Velocity, "SECONDS"),
}


def begin(name: str, number: float | None) -> Reducer:
    """Make a new reducer. Raises ``ValueError`` if its name or number is wrong."""
    if (reducer := REDUCERS.get(name)) is None:
        raise ValueError(f"reducer {name} is unknown: use one of {', '.join(REDUCERS)}")
    if (reducer.number is None) != (number is None):
        arguments = "(COLUMN)" if reducer.number is None else f"(COLUMN, {reducer.number})"
        raise ValueError(f"{name} takes {arguments}")
    return reducer.make() if number is None else reducer.make(number)
