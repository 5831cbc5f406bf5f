"""Reducers: the same as the formula over all rows, wherever the rows are cut."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudd.scoring.reducers.base import UnfitRows
from fraudd.scoring.reducers.series import REDUCERS, begin

EPOCH_2026 = 1_767_225_600.0

# Gaps at the borders of what counts as short, of a step and of a window, and any other.
pauses = st.sampled_from([0.0, 29.75, 30.0, 60.0, 3540.0, 3599.75, 3600.0]) | st.integers(
    0, 80_000
).map(lambda quarters: quarters / 4)
times = st.lists(pauses, max_size=60).map(lambda p: list(accumulate(p, initial=EPOCH_2026))[1:])
counts = st.lists(st.integers(0, 1_000_000), max_size=60).map(
    lambda n: [float(i) for i in sorted(n)]
)
amounts = st.lists(st.integers(-10_000, 10_000_000), max_size=60).map(
    lambda cents: [cent / 100 for cent in cents]
)


def gaps(values: Sequence[float]) -> list[float]:
    return [after - before for before, after in pairwise(values)]


def mean_gap(values: Sequence[float]) -> float:
    return (values[-1] - values[0]) / (len(values) - 1) if len(values) > 1 else math.nan


def gap_variation(values: Sequence[float]) -> float:
    if len(values) < 3 or values[0] == values[-1]:
        return math.nan
    return float(np.std(gaps(values)) / np.mean(gaps(values)))


def short_gap_share(values: Sequence[float]) -> float:
    short = [gap < 30 for gap in gaps(values)]
    return sum(short) / len(short) if short else math.nan


def longest_gap(values: Sequence[float]) -> float:
    return max(gaps(values), default=math.nan)


def velocity(values: Sequence[float]) -> float:
    # A window of an hour begins at each whole minute.
    begins = {value // 60 * 60 - 60 * back for value in values for back in range(60)}
    return max((sum(b <= value < b + 3600 for value in values) for b in begins), default=0)


def night_share(values: Sequence[float]) -> float:
    nightly = [value / 3600 % 24 < 6.5 for value in values]
    return sum(nightly) / len(nightly) if nightly else math.nan


def entropy(values: Sequence[float]) -> float:
    shares = [value / sum(values) for value in values if value]
    return -sum(share * math.log2(share) for share in shares) if shares else math.nan


def largest_share(values: Sequence[float]) -> float:
    return max(values) / sum(values) if sum(values) else math.nan


def gini(values: Sequence[float]) -> float:
    differences = sum(abs(one - other) for one in values for other in values)
    total = sum(values)
    return differences / (2 * len(values) * total) if total else math.nan


def benford(values: Sequence[float]) -> float:
    found = Counter(f"{abs(value):.12e}"[0] for value in values if value)
    n = sum(found.values())
    apart = [abs(found[str(d)] / n - math.log10(1 + 1 / d)) for d in range(1, 10)] if n else []
    return sum(apart) / 9 if apart else math.nan


def round_share(values: Sequence[float]) -> float:
    whole = [round(value * 100) % 50 == 0 for value in values]
    return sum(whole) / len(whole) if whole else math.nan


FORMULAS: dict[str, tuple[Callable[[Sequence[float]], float], float | None]] = {
    "benford": (benford, None),
    "entropy": (entropy, None),
    "gap_variation": (gap_variation, None),
    "gini": (gini, None),
    "largest_share": (largest_share, None),
    "longest_gap": (longest_gap, None),
    "mean_gap": (mean_gap, None),
    "night_share": (night_share, 6.5),
    "round_share": (round_share, 0.5),
    "short_gap_share": (short_gap_share, 30),
    "velocity": (velocity, 3600),
}
OF_COUNTS = ("entropy", "gini", "largest_share")
OF_AMOUNTS = ("benford", "round_share")


def reduced(name: str, values: Sequence[float], cuts: Sequence[int] = ()) -> float:
    reducer = begin(name, FORMULAS[name][1])
    for piece in np.split(np.array(values, dtype=np.float64), sorted(cuts)):
        reducer.add(piece)
    return reducer.result()


def test_every_reducer_has_its_formula_here() -> None:
    assert FORMULAS.keys() == REDUCERS.keys()


@pytest.mark.parametrize("name", FORMULAS)
@given(data=st.data())
def test_any_cut_of_the_rows_gives_what_the_formula_says(name: str, data: st.DataObject) -> None:
    kind = counts if name in OF_COUNTS else amounts if name in OF_AMOUNTS else times
    values = data.draw(kind)
    cuts = data.draw(st.lists(st.integers(0, len(values)), max_size=8))
    expected = pytest.approx(FORMULAS[name][0](values), rel=1e-9, abs=1e-9, nan_ok=True)
    assert reduced(name, values) == expected
    assert reduced(name, values, cuts) == expected
    assert reduced(name, values, range(len(values))) == expected


@given(times)
def test_velocity_is_at_most_a_sixtieth_of_the_window_away_from_exact(values: list[float]) -> None:
    def most_within(seconds: float) -> int:
        return max((sum(v <= w < v + seconds for w in values) for v in values), default=0)

    assert most_within(3600 * 59 / 60) <= reduced("velocity", values) <= most_within(3600)


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("gap_variation", [0, 60, 120, 180], 0.0),
        ("gini", [5, 5, 5, 5], 0.0),
        ("gini", [0, 0, 0, 8], 0.75),
        ("entropy", [3] * 8, 3.0),
        ("entropy", [7], 0.0),
        ("largest_share", [1, 1, 2], 0.5),
        ("night_share", [0, 6.5 * 3600 - 1, 6.5 * 3600, 86_400, -1], 0.6),
        ("short_gap_share", [0, 29.9, 59.9], 0.5),
        ("velocity", [-7200, -10, -5, 3500], 3.0),
        ("round_share", [0.5, 19.99, 100, -1.5], 0.75),
    ],
)
def test_what_an_analyst_expects(name: str, values: list[float], says: float) -> None:
    assert reduced(name, values) == pytest.approx(says, abs=1e-12)


@pytest.mark.parametrize("digit", range(1, 10))
@pytest.mark.parametrize("place", [-6, -2, -1, 0, 1, 2, 9])
def test_first_digits_are_those_that_are_written(digit: int, place: int) -> None:
    """0.3 / 0.1 is 2.9999999999999996."""
    for text in (f"{digit}e{place}", f"{digit}.999999e{place}", f"-{digit}e{place}"):
        shares = [float(d == digit) for d in range(1, 10)]
        law = [math.log10(1 + 1 / d) for d in range(1, 10)]
        expected = sum(abs(s - p) for s, p in zip(shares, law, strict=True)) / 9
        assert reduced("benford", [float(text)]) == pytest.approx(expected)


@pytest.mark.parametrize("name", FORMULAS)
def test_no_rows_say_nothing(name: str) -> None:
    result = reduced(name, [])
    assert result == 0 if name == "velocity" else math.isnan(result)


@pytest.mark.parametrize(
    "name", ["gap_variation", "gini", "longest_gap", "mean_gap", "short_gap_share", "velocity"]
)
@pytest.mark.parametrize("cuts", [[], [2], [1, 2, 3]])
def test_rows_out_of_order_are_refused_wherever_they_are_cut(name: str, cuts: list[int]) -> None:
    with pytest.raises(UnfitRows, match="ascending order: add ORDER BY"):
        reduced(name, [1.0, 5.0, 4.0, 9.0], cuts)


@pytest.mark.parametrize("name", OF_COUNTS)
def test_what_is_no_count_is_refused(name: str) -> None:
    with pytest.raises(UnfitRows, match="needs counts, which are 0 or more"):
        reduced(name, [-1.0, 2.0])


@pytest.mark.parametrize(
    ("name", "number", "says"),
    [
        ("median", None, "reducer median is unknown: use one of benford, entropy, gap_variation"),
        ("night_share", None, r"night_share takes \(COLUMN, HOUR\)"),
        ("entropy", 2.0, r"entropy takes \(COLUMN\)"),
        ("night_share", 24.0, "HOUR must be more than 0 and less than 24"),
        ("velocity", 0.5, "SECONDS must be 1 or more"),
        ("short_gap_share", 0.0, "SECONDS must be more than 0"),
        ("round_share", 0.0, "UNIT must be more than 0"),
    ],
)
def test_what_is_no_reducer_is_refused_with_what_there_is(
    name: str, number: float | None, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        begin(name, number)
