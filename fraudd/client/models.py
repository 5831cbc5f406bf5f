"""What ``fraudd.client`` gives: predictions and problems, read from the answers of the API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

#: What the ``type`` of each of fraudd's problems begins with.
URN: Final = "urn:fraudd:problem:"


class Problem(Exception):
    """A call that did not succeed.

    ``slug`` is stable (``invalid-field``, ``unauthenticated``, …; ``docs/reference.md`` lists
    them), ``status`` is that of HTTP. Where no answer came they are ``unreachable`` and 0.
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
        wrong = "".join(f"; {error['pointer']}: {error['detail']}" for error in errors)
        super().__init__(f"{slug}: {detail}{wrong}")
        self.status = status
        self.slug = slug
        self.detail = detail
        #: Of ``invalid-field``: each with its JSON ``pointer`` and ``detail``.
        self.errors = errors
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A feature and its share in a score, as log-odds: above 0 speaks for fraud."""

    feature: str
    value: float | None
    contribution: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A score from 0 to 1, and why; ``features`` where they were asked for."""

    score: float
    decision: Literal["approve", "review", "block"]
    model: str
    as_of: datetime
    scored_at: datetime
    reasons: Sequence[Reason]
    features: Mapping[str, float | None] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a run failed."""

    type: str
    detail: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The newest run of an entity, and its last good result, which may be of an earlier run."""

    entity_id: str
    status: Literal["started", "calculating", "done", "failed"]
    run_id: str
    requested_at: datetime
    estimated_seconds: int | None
    result: Result | None
    error: Failure | None
    #: The whole answer, with what this client does not know, too.
    body: Mapping[str, Any]

    @property
    def pending(self) -> bool:
        """Whether the run has yet to end."""
        return self.status in ("started", "calculating")


def foreign(status: int, retry_after: float | None = None) -> Problem:
    """Make the problem of an answer that is not fraudd's."""
    return Problem(
        status=status,
        slug="not-fraudd",
        detail=f"the answer ({status}) is not one of fraudd's: is the URL right, and fraudd up?",
        retry_after_seconds=retry_after,
    )


def problem(document: Mapping[str, Any], retry_after: float | None = None) -> Problem:
    """Read a problem document."""
    return Problem(
        status=document["status"],
        slug=document["type"].removeprefix(URN),
        detail=document["detail"],
        errors=document.get("errors", ()),
        retry_after_seconds=retry_after or document.get("retry_after_seconds"),
    )


def prediction(body: Mapping[str, Any]) -> Prediction:
    """Read the body of an answer; what is not known of it is in ``body``. Raises ``Problem``."""
    error, result = body.get("error"), body.get("result")
    try:
        return Prediction(
            entity_id=body["entity_id"],
            status=body["status"],
            run_id=body["run_id"],
            requested_at=datetime.fromisoformat(body["requested_at"]),
            estimated_seconds=body.get("estimated_seconds"),
            result=None if result is None else _result(result),
            error=None if error is None else _failure(error),
            body=body,
        )
    except (KeyError, TypeError, ValueError):
        raise foreign(200) from None


def _failure(error: Mapping[str, Any]) -> Failure:
    return Failure(type=error["type"], detail=error["detail"], attempts=error["attempts"])


def _result(result: Mapping[str, Any]) -> Result:
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
