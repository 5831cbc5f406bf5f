"""The measures of a model, against their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudd.scoring.training.evaluation import average_precision, roc_auc, threshold_for

CASES = st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40)


@given(CASES)
def test_auc_is_the_share_of_pairs_in_the_right_order(cases: list[tuple[bool, int]]) -> None:
    labels = np.array([label for label, _ in cases])
    scores = np.array([score / 5 for _, score in cases])
    pairs = [
        1.0 if fraud > honest else 0.5 if fraud == honest else 0.0
        for fraud in scores[labels]
        for honest in scores[~labels]
    ]
    expected = sum(pairs) / len(pairs) if pairs else math.nan
    assert roc_auc(labels, scores) == pytest.approx(expected, nan_ok=True)


def test_average_precision_of_a_known_ranking() -> None:
    labels = np.array([True, False, True, False])
    scores = np.array([0.9, 0.8, 0.7, 0.1])
    assert average_precision(labels, scores) == pytest.approx((1 + 2 / 3) / 2)


def test_tied_scores_are_found_together() -> None:
    labels = np.array([True, False, False, False])
    assert average_precision(labels, np.full(4, 0.5)) == pytest.approx(0.25)


@given(CASES, st.floats(0.1, 1.0))
def test_the_threshold_keeps_its_precision(cases: list[tuple[bool, int]], wanted: float) -> None:
    labels = np.array([label for label, _ in cases])
    scores = np.array([score / 5 for _, score in cases])
    threshold = threshold_for(wanted, labels, scores)
    flagged = scores >= threshold
    if threshold < 1.0:
        assert labels[flagged].mean() >= wanted
    lower = scores[scores < threshold]
    if lower.size and not flagged.any():
        assert all(labels[scores >= score].mean() < wanted for score in np.unique(scores))
