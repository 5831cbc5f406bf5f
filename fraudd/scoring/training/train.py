"""Trains the model, measures it on what came later, and writes both into one file."""

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

#: Of what is flagged for review, and what is blocked, at least this share shall be frauds.
_REVIEW_PRECISION, _BLOCK_PRECISION = 0.3, 0.9
#: The test takes this share of the label times: the latest ones.
_TEST_SHARE = 0.25
_DAY_MS = 24 * 3600 * 1000
#: Small trees and few: labels are rare, and a score shall be explained by a handful of reasons.
#: ``tree_method`` and ``base_score`` are set because their defaults change with versions and data.
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
    """What a model was trained on and what it is worth, measured on the later part."""

    train_rows: int
    test_rows: int
    #: The first as_of of the test; no label that was known only later was used in training.
    test_from: str
    fraud_rate: float
    auc: float
    average_precision: float
    review_threshold: float
    block_threshold: float
    #: Share of the frauds of each kind that reach the review threshold.
    recall: Mapping[str, float]


def train(
    vectors: Vectors, *, label_delay_days: float, kinds: Mapping[str, str]
) -> tuple[xgboost.Booster, Report]:
    """Train on the earlier part and measure on the later.

    A label is known for sure ``label_delay_days`` after its time: rows whose label was not known
    when the test begins are left out of training. ``kinds`` names the kind of fraud of each
    entity, for the recall by kind. Raises ``Misconfigured`` where the labels do not suffice.
    """
    earlier, later = _split(vectors, label_delay_days)
    for part, name in ((earlier, "training"), (later, "test")):
        frauds = int(vectors.labels[part].sum())
        if frauds == 0 or frauds == part.sum():
            raise Misconfigured(
                f"of {part.sum()} labels for the {name} {frauds} are frauds: there must be both;"
                f" labels have to span more than {label_delay_days:g} days"
            )
    booster = xgboost.train(
        _PARAMETERS, _matrix(vectors, earlier), num_boost_round=_ROUNDS, verbose_eval=False
    )
    scores = booster.predict(_matrix(vectors, later))
    return booster, _report(vectors, earlier, later, scores, kinds)


def save(
    booster: xgboost.Booster, report: Report, path: Path, *, sql_digest: str, trained_at: int
) -> None:
    """Write the model file, with all that it takes to use it; nobody ever reads half of one."""
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
    """Choose the rows (n,) for training and for the test, by time."""
    times = np.unique(vectors.as_of)
    test_from = times[int(len(times) * (1 - _TEST_SHARE))] if len(times) else 0
    known_by = vectors.as_of + label_delay_days * _DAY_MS
    return known_by <= test_from, vectors.as_of >= test_from


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
