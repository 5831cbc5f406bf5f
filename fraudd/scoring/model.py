"""The trained model: one file with the booster, its thresholds, and the digest of its SQL."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from fraudd.errors import Misconfigured, PermanentError
from fraudd.ports import Decision, Scored
from fraudd.scoring.feature_files import FeatureFiles
from fraudd.scoring.model_probe import crash_of

#: Number of reasons in a score.
_REASONS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Scores at or above these are marked ``review`` or ``block``."""

    review: float
    block: float

    def decide(self, score: float) -> Decision:
        """Return the decision for a score."""
        if score >= self.block:
            return "block"
        return "review" if score >= self.review else "approve"


class XgboostModel:
    """Scores feature values, and explains each score."""

    def __init__(
        self,
        booster: xgboost.Booster,
        *,
        version: str,
        files: FeatureFiles,
        thresholds: Thresholds,
    ) -> None:
        self._booster = booster
        self._names = booster.feature_names or []
        self._features = files.features
        self._thresholds = thresholds
        self.version = version
        #: First digits of the digest of the SQL that it is used with.
        self.features_version = (digest := files.digest)[:12]
        #: Whether it was trained with exactly this SQL, not only with features of the same names.
        self.same_sql = booster.attr("sql_digest") == digest

    def score(self, values: Mapping[str, float]) -> Scored:
        """Score one entity. NaN is a missing value. Raises ``PermanentError``."""
        try:
            vector = np.array([[values[name] for name in self._names]], dtype=np.float64)
        except KeyError as error:
            raise PermanentError("bad_feature", f"the model needs feature {error}") from None
        # One row is work for one thread. A second thread would spin until it gets a core.
        matrix = xgboost.DMatrix(vector, feature_names=self._names, nthread=1)
        score = float(self._booster.predict(matrix)[0])
        if not 0 <= score <= 1:  # NaN also fails this comparison
            detail = f"the model's score is {score:g}, not a probability from 0 to 1"
            raise PermanentError("model_refused", detail)
        contributions = self._booster.predict(matrix, pred_contribs=True)[0, :-1]
        largest = np.argsort(-np.abs(contributions), kind="stable")[:_REASONS]
        return Scored(
            score=score,
            decision=self._thresholds.decide(score),
            reasons=[self._reason(i, vector[0, i], contributions[i]) for i in largest],
        )

    def try_out(self, values: Mapping[str, float]) -> None:
        """Score once as a test. Raises ``Misconfigured`` if the model cannot be used.

        ``values`` may be incomplete. The first score is slow: this spares the first request.
        """
        try:
            self.score({name: values.get(name, math.nan) for name in self._names})
        except PermanentError as error:
            raise Misconfigured(f"cannot use the model {self.version}: {error.detail}") from None
        except xgboost.core.XGBoostError as error:
            reason = str(error).strip().partition("\n")[0]
            raise Misconfigured(f"cannot use the model {self.version}: {reason}") from None

    def _reason(self, index: int, value: float, contribution: float) -> Mapping[str, Any]:
        name = self._names[index]
        present = None if math.isnan(value) else float(value)
        return {
            "feature": name,
            "value": present,
            "contribution": round(float(contribution), 4),
            "text": self._features[name].reason(present),
        }


def load(
    path: Path,
    files: FeatureFiles,
    *,
    review_threshold: float | None = None,
    block_threshold: float | None = None,
    probe: bool = False,
) -> XgboostModel:
    """Read a model file. Raises ``Misconfigured`` if it cannot be used with ``files``.

    Thresholds that are None come from the model. A truncated file can crash xgboost: with
    ``probe``, another process reads the file first, which takes a second.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Misconfigured(
            f"cannot read the model {path}: {error.strerror}. Train one with 'fraudd train'."
        ) from None
    damaged = f"cannot load {path}: not an xgboost model, or truncated"
    if probe and (crash := crash_of(content)) is not None:
        raise Misconfigured(
            f"{damaged} (the loader {crash}). Copy new models under a temporary name, then rename."
        )
    # One row is scored at a time: more threads would only wake each other up.
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(content))
    except (xgboost.core.XGBoostError, UnicodeDecodeError):
        raise Misconfigured(damaged) from None
    _compare(path, booster.feature_names or [], files)
    review = _attribute(path, booster, "review_threshold", review_threshold)
    block = _attribute(path, booster, "block_threshold", block_threshold)
    if not 0 <= review <= block <= 1:
        raise Misconfigured(
            f"{path}: thresholds must be 0 <= review <= block <= 1, not {review:g} and {block:g}"
        )
    day = (booster.attr("trained_at") or "")[:10] or "undated"
    return XgboostModel(
        booster,
        version=f"{day}-{hashlib.sha256(content).hexdigest()[:6]}",
        files=files,
        thresholds=Thresholds(review=review, block=block),
    )


def _compare(path: Path, trained: Sequence[str], files: FeatureFiles) -> None:
    computed = set(files.features)
    missing, unused = sorted(set(trained) - computed), sorted(computed - set(trained))
    if missing or unused:
        difference = [
            *(f"the SQL lacks {name}" for name in missing),
            *(f"the model does not know {name}" for name in unused),
        ]
        raise Misconfigured(
            f"{path} was trained with other features: {'; '.join(difference)}. Train it again."
        )


def _attribute(path: Path, booster: xgboost.Booster, name: str, configured: float | None) -> float:
    if configured is not None:
        return configured
    stored = booster.attr(name)
    if stored is None:
        raise Misconfigured(f"{path} has no {name}. Set [model] {name}, or train the model again.")
    try:
        return float(stored)
    except ValueError:
        raise Misconfigured(
            f"{path}: {name} is {stored[:20]!r}. Set [model] {name}, or train the model again."
        ) from None
