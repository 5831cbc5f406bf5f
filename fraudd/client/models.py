"""Predictions and problems, read from the response bodies of the HTTP API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal


class Problem(Exception):
    """A call that did not succeed.

    ``slug`` is stable, for example ``invalid-field``. ``docs/problems.md`` lists all slugs.
    ``status`` is the HTTP status. Without a response, the slug is ``unreachable`` and
    the status is 0.
    """

    def __init__(
        self,
        *,
        status: int,
        slug: str,
        detail: str,
        errors: Sequence[Mapping[str, str]] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        fields = "".join(f"; {error['pointer']}: {error['detail']}" for error in errors)
        super().__init__(f"{slug}: {detail}{fields}")
        self.status = status
        self.slug = slug
        self.detail = detail
        #: Set for ``invalid-field``: each error has a JSON ``pointer`` and a ``detail``.
        self.errors = errors
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A feature and its contribution to a score, in log-odds: above 0 raises the fraud score."""

    feature: str
    value: float | None
    contribution: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A score from 0 to 1 and its reasons. ``features`` is set if the request included them."""

    score: float
    decision: Literal["approve", "review", "block"]
    model: str
    as_of: datetime
    scored_at: datetime
    reasons: Sequence[Reason]
    features: Mapping[str, float | None] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The error of a failed run."""

    type: str
    detail: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The newest run of an entity, and its last good result, which an earlier run may have made."""

    entity_id: str
    status: Literal["started", "calculating", "done", "failed"]
    run_id: str
    requested_at: datetime
    estimated_seconds: int | None
    result: Result | None
    error: Failure | None
    #: The whole response body, including fields that this client does not know.
    body: Mapping[str, Any]

    @property
    def pending(self) -> bool:
        """Whether the run is still pending."""
        return self.status in ("started", "calculating")


def foreign_response(status: int, retry_after_seconds: float | None = None) -> Problem:
    """Make the problem of a response that fraudd did not write."""
    return Problem(
        status=status,
        slug="not-fraudd",
        detail=f"the response (HTTP {status}) is not from fraudd; check the URL and the proxy",
        retry_after_seconds=retry_after_seconds,
    )


def parse_problem(
    document: Any, *, status: int, retry_after_seconds: float | None = None
) -> Problem:
    """Read a problem document. Its slug is the fragment of ``type``."""
    try:
        slug = document["type"].partition("#")[2]
        detail = document["detail"]
    except (KeyError, TypeError, AttributeError):
        slug = detail = ""
    if not slug:
        return foreign_response(status, retry_after_seconds)
    return Problem(
        status=document.get("status", status),
        slug=slug,
        detail=detail,
        errors=document.get("errors", ()),
        retry_after_seconds=retry_after_seconds or document.get("retry_after_seconds"),
    )


def parse_prediction(body: Mapping[str, Any]) -> Prediction:
    """Read a prediction. ``body`` keeps unknown fields. Raises ``Problem``."""
    error, result = body.get("error"), body.get("result")
    try:
        return Prediction(
            entity_id=body["entity_id"],
            status=body["status"],
            run_id=body["run_id"],
            requested_at=datetime.fromisoformat(body["requested_at"]),
            estimated_seconds=body.get("estimated_seconds"),
            result=None if result is None else _parse_result(result),
            error=None if error is None else _parse_failure(error),
            body=body,
        )
    except (KeyError, TypeError, ValueError):
        raise foreign_response(200) from None


def parse_outcome(item: Mapping[str, Any]) -> Prediction | Problem:
    """Read an item of a batch's response."""
    if (document := item.get("problem")) is None:
        return parse_prediction(item)
    return parse_problem(document, status=document["status"])


def _parse_failure(error: Mapping[str, Any]) -> Failure:
    return Failure(type=error["type"], detail=error["detail"], attempts=error["attempts"])


def _parse_result(result: Mapping[str, Any]) -> Result:
    return Result(
        score=result["score"],
        decision=result["decision"],
        model=result["model"],
        as_of=datetime.fromisoformat(result["as_of"]),
        scored_at=datetime.fromisoformat(result["scored_at"]),
        reasons=[
            Reason(**{name: reason[name] for name in ("feature", "value", "contribution", "text")})
            for reason in result["reasons"]
        ],
        features=result.get("features"),
    )
