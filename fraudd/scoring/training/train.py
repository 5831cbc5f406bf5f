"""Trains the model, measures it on later labels, and writes model and report to one file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from fraudd.errors import Misconfigured
from fraudd.prediction.formats import rfc3339
from fraudd.scoring.training.dataset import Vectors
from fraudd.scoring.training.evaluation import average_precision, roc_auc, threshold_for

#: The thresholds are chosen so that at least this share of the flagged entities are frauds.
_REVIEW_PRECISION, _BLOCK_PRECISION = 0.3, 0.9
#: This share of the label times, the latest ones, is for the test.
_TEST_SHARE = 0.25
_DAY_MS = 24 * 3600 * 1000
#: Few small trees, because labels are rare and a few reasons must explain a score.
#: ``tree_method`` and ``base_score`` are set because their defaults depend on version and data.
_PARAMETERS = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "base_score": 0.5,
    "max_depth": 4,
    "eta": 0.05,
    "subsample": 0.8,
    "colsample_bytree": 0.5,
    "min_child_weight": 2,
    "seed": 1,
}
_ROUNDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The size of the training set, and the quality of the model on later labels."""

    train_rows: int
    test_rows: int
    #: The first as_of of the test. Training used only labels that were known by then.
    test_from: str
    fraud_rate: float
    auc: float
    average_precision: float
    review_threshold: float
    block_threshold: float
    #: For each kind of fraud, the share that reaches the review threshold.
    recall: Mapping[str, float]


def train(
    vectors: Vectors, *, label_delay_days: float, kinds: Mapping[str, str]
) -> tuple[xgboost.Booster, Report]:
    """Train on earlier labels and measure on later ones.

    A label is final ``label_delay_days`` after its time. Training uses only labels that were
    final when the test begins. ``kinds`` maps entities to kinds of fraud, for the report. Raises
    ``Misconfigured`` if there are too few labels.
    """
    earlier, later = _split(vectors, label_delay_days)
    for part, name in ((earlier, "training"), (later, "test")):
        frauds = int(vectors.labels[part].sum())
        if frauds == 0 or frauds == part.sum():
            raise Misconfigured(
                f"the {name} set has {part.sum()} labels, {frauds} of them fraud; it needs both"
                f" classes. The labels must span more than {label_delay_days:g} days."
            )
    booster = xgboost.train(
        _PARAMETERS, _matrix(vectors, earlier), num_boost_round=_ROUNDS, verbose_eval=False
    )
    scores = booster.predict(_matrix(vectors, later))
    return booster, _report(vectors, earlier, later, scores, kinds)


def save(
    booster: xgboost.Booster, report: Report, path: Path, *, sql_digest: str, trained_at: int
) -> None:
    """Write the model file with its report and thresholds. Readers never see a partial file."""
    booster.set_attr(
        trained_at=rfc3339(trained_at),
        sql_digest=sql_digest,
        review_threshold=repr(report.review_threshold),
        block_threshold=repr(report.block_threshold),
        training=json.dumps(asdict(report)),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(booster.save_raw("ubj"))
    part.replace(path)


def _split(vectors: Vectors, label_delay_days: float) -> tuple[NDArray[np.bool_], ...]:
    """Select the rows (n,) for training and those for the test, by time."""
    times = np.unique(vectors.as_of)
    test_from = times[int(len(times) * (1 - _TEST_SHARE))] if len(times) else 0
    final_at = vectors.as_of + label_delay_days * _DAY_MS
    return final_at <= test_from, vectors.as_of >= test_from


def _matrix(vectors: Vectors, rows: NDArray[np.bool_]) -> xgboost.DMatrix:
    return xgboost.DMatrix(
        vectors.matrix[rows], label=vectors.labels[rows], feature_names=list(vectors.names)
    )


def _report(
    vectors: Vectors,
    earlier: NDArray[np.bool_],
    later: NDArray[np.bool_],
    scores: NDArray[Any],
    kinds: Mapping[str, str],
) -> Report:
    labels = vectors.labels[later]
    review = threshold_for(_REVIEW_PRECISION, labels, scores)
    block = max(review, threshold_for(_BLOCK_PRECISION, labels, scores))
    kind = np.array([kinds.get(e, "fraud") for e in vectors.entity_ids])[later]
    return Report(
        train_rows=int(earlier.sum()),
        test_rows=int(later.sum()),
        test_from=rfc3339(int(vectors.as_of[later].min())),
        fraud_rate=float(labels.mean()),
        auc=roc_auc(labels, scores),
        average_precision=average_precision(labels, scores),
        review_threshold=review,
        block_threshold=block,
        recall={
            str(name): float((scores[labels & (kind == name)] >= review).mean())
            for name in np.unique(kind[labels])
        },
    )
