"""The trained model: one file with the booster and all that it takes to use it."""

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

#: So many reasons are given with a score.
_REASONS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Scores from which on a case is reviewed, and blocked."""

    review: float
    block: float

    def decide(self, score: float) -> Decision:
        """Say what to do about a score."""
        if score >= self.block:
            return "block"
        return "review" if score >= self.review else "approve"


class XgboostModel:
    """Scores vectors that it builds by name, and explains them."""

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
        #: Short for the SQL that it is used with.
        self.features_version = (digest := files.digest)[:12]
        #: Whether it was trained with this very SQL, not only with features of the same names.
        self.same_sql = booster.attr("sql_digest") == digest

    def score(self, values: Mapping[str, float]) -> Scored:
        """Score one entity; NaN is missing. Raises ``PermanentError`` where a feature is absent."""
        try:
            vector = np.array([[values[name] for name in self._names]], dtype=np.float64)
        except KeyError as absent:
            raise PermanentError("bad_feature", f"the model needs feature {absent}") from None
        # One row for one thread here too: another one would spin until it gets a core.
        matrix = xgboost.DMatrix(vector, feature_names=self._names, nthread=1)
        score = float(self._booster.predict(matrix)[0])
        if not 0 <= score <= 1:  # nor is NaN
            detail = f"the model's score is {score:g}, which is no probability"
            raise PermanentError("model_refused", detail)
        contributions = self._booster.predict(matrix, pred_contribs=True)[0, :-1]
        largest = np.argsort(-np.abs(contributions), kind="stable")[:_REASONS]
        return Scored(
            score=score,
            decision=self._thresholds.decide(score),
            reasons=[self._reason(i, vector[0, i], contributions[i]) for i in largest],
        )

    def try_out(self, values: Mapping[str, float]) -> None:
        """Score what there may be of an entity; raises ``Misconfigured`` where that cannot be.

        A canary: it shows that the model can be used, and spares the first caller its warm-up.
        """
        try:
            self.score({name: values.get(name, math.nan) for name in self._names})
        except PermanentError as error:
            raise Misconfigured(
                f"the model {self.version} cannot be used: {error.detail}"
            ) from None
        except xgboost.core.XGBoostError as error:
            reason = str(error).strip().partition("\n")[0]
            raise Misconfigured(f"the model {self.version} cannot be used: {reason}") from None

    def _reason(self, index: int, value: float, contribution: float) -> Mapping[str, Any]:
        name = self._names[index]
        known = None if math.isnan(value) else float(value)
        return {
            "feature": name,
            "value": known,
            "contribution": round(float(contribution), 4),
            "text": self._features[name].reason(known),
        }


def load(
    path: Path,
    files: FeatureFiles,
    *,
    review_threshold: float | None = None,
    block_threshold: float | None = None,
    prove: bool = False,
) -> XgboostModel:
    """Read a model file, and refuse it where its features are not those of ``files``.

    The thresholds are the model's own unless given. ``prove``: this process must survive a file
    that is damaged, which takes a second more. Raises ``Misconfigured``.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Misconfigured(
            f"cannot read the model {path}: {error.strerror}; train one with 'fraudd train'"
        ) from None
    if prove and (death := crash_of(content)) is not None:
        raise Misconfigured(
            f"{path} is no xgboost model, or a part of one: reading it {death}; copy a model beside"
            " its place, then rename it"
        )
    # One row is scored at a time: more threads would only wake each other up.
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(content))
    except (xgboost.core.XGBoostError, UnicodeDecodeError):
        raise Misconfigured(f"{path} is no xgboost model, or a part of one") from None
    _compare(path, booster.feature_names or [], files)
    review = _attribute(path, booster, "review_threshold", review_threshold)
    block = _attribute(path, booster, "block_threshold", block_threshold)
    if not 0 <= review <= block <= 1:
        raise Misconfigured(
            f"{path}: thresholds must be 0 <= review ({review:g}) <= block ({block:g}) <= 1"
        )
    day = (booster.attr("trained_at") or "")[:10] or "undated"
    return XgboostModel(
        booster,
        version=f"{day}-{hashlib.sha256(content).hexdigest()[:6]}",
        files=files,
        thresholds=Thresholds(review=review, block=block),
    )


def _compare(path: Path, trained: Sequence[str], files: FeatureFiles) -> None:
    given = set(files.features)
    missing, unused = sorted(set(trained) - given), sorted(given - set(trained))
    if missing or unused:
        difference = [
            *(f"the SQL lacks {name}" for name in missing),
            *(f"the model does not know {name}" for name in unused),
        ]
        raise Misconfigured(
            f"{path} was trained with other features: {'; '.join(difference)}; train it again"
        )


def _attribute(path: Path, booster: xgboost.Booster, name: str, given: float | None) -> float:
    if given is not None:
        return given
    stored = booster.attr(name)
    if stored is None:
        raise Misconfigured(f"{path} has no {name}: set [model] {name}, or train it again")
    try:
        return float(stored)
    except ValueError:
        raise Misconfigured(
            f"{path} has a {name} of {stored[:20]!r}: set [model] {name}, or train it again"
        ) from None
