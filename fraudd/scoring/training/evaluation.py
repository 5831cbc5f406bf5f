"""How well scores tell frauds from the rest: the measures that training reports."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.bool_]
Scores = NDArray[np.floating[Any]]


def roc_auc(labels: Labels, scores: Scores) -> float:
    """Chance that a fraud scores higher than an honest one, ties counting half; shapes (n,).

    NaN where there is no fraud, or nothing but frauds.
    """
    _, group, size = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(size) - (size - 1) / 2)[group]
    frauds = int(labels.sum())
    pairs = frauds * (labels.size - frauds)
    if not pairs:
        return float("nan")
    return float((ranks[labels].sum() - frauds * (frauds + 1) / 2) / pairs)


def precision_recall(labels: Labels, scores: Scores) -> tuple[Scores, Scores, Scores]:
    """Precision and recall of flagging all from each distinct score on; shapes (distinct,).

    Gives (thresholds, precision, recall), the highest threshold first.
    """
    order = np.argsort(-scores, kind="stable")
    sorted_scores, hits = scores[order], np.cumsum(labels[order])
    last = np.append(np.flatnonzero(np.diff(sorted_scores)), labels.size - 1)
    recall = hits[last] / max(1, int(labels.sum()))
    return sorted_scores[last], hits[last] / (last + 1), recall


def average_precision(labels: Labels, scores: Scores) -> float:
    """Mean precision over the frauds as they are found: sum of precision x gain in recall."""
    _, precision, recall = precision_recall(labels, scores)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def threshold_for(precision_wanted: float, labels: Labels, scores: Scores) -> float:
    """Lowest score from which on at least that share are frauds; 1.0 where there is none."""
    thresholds, precision, _ = precision_recall(labels, scores)
    good = np.flatnonzero(precision >= precision_wanted)
    return float(thresholds[good[-1]]) if good.size else 1.0
