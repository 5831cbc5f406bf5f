"""Models for daemons under test."""

from pathlib import Path

import numpy as np
import xgboost

from fraudd.scoring import feature_files as files


def ignorant_model(
    folder: Path, *, seed: int = 1, objective: str = "binary:logistic", base_score: float = 0.5
) -> Path:
    """Write a model that knows the features of a folder's files, and nothing about fraud.

    Another ``seed`` makes another version; another objective than this makes no probabilities.
    """
    names = sorted(files.load(folder).features)
    matrix = np.random.default_rng(seed).random((200, len(names)))
    booster = xgboost.train(
        {"objective": objective, "base_score": base_score},
        xgboost.DMatrix(matrix, label=matrix.sum(axis=1) > len(names) / 2, feature_names=names),
        num_boost_round=5,
    )
    booster.set_attr(review_threshold="0.5", block_threshold="0.9", trained_at="2026-11-24T")
    path = folder / "model.ubj"
    booster.save_model(path)
    return path
