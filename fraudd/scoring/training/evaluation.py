"""Measures how well scores separate frauds from honest entities."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.bool_]
Scores = NDArray[np.floating[Any]]


def roc_auc(labels: Labels, scores: Scores) -> float:
    """Return the probability that a fraud scores higher than an honest entity (shapes (n,)).

    A tie counts half. The result is NaN if either class is empty.
    """
    _, group, size = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(size) - (size - 1) / 2)[group]
    frauds = int(labels.sum())
    pairs = frauds * (labels.size - frauds)
    if not pairs:
        return float("nan")
    return float((ranks[labels].sum() - frauds * (frauds + 1) / 2) / pairs)


def precision_recall(labels: Labels, scores: Scores) -> tuple[Scores, Scores, Scores]:
    """Return (thresholds, precision, recall), with the highest threshold first.

    Each distinct score is a threshold, and flags all scores at or above it.
    """
    order = np.argsort(-scores, kind="stable")
    sorted_scores, hits = scores[order], np.cumsum(labels[order])
    last = np.append(np.flatnonzero(np.diff(sorted_scores)), labels.size - 1)
    recall = hits[last] / max(1, int(labels.sum()))
    return sorted_scores[last], hits[last] / (last + 1), recall


def average_precision(labels: Labels, scores: Scores) -> float:
    """Return the average precision: the sum of precision x gain in recall."""
    _, precision, recall = precision_recall(labels, scores)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def threshold_for(min_precision: float, labels: Labels, scores: Scores) -> float:
    """Return the lowest threshold with at least this precision, or 1.0 if none has it."""
    thresholds, precision, _ = precision_recall(labels, scores)
    sufficient = np.flatnonzero(precision >= min_precision)
    return float(thresholds[sufficient[-1]]) if sufficient.size else 1.0
