"""Requests: bodies, queries, paths, and the ``Prefer`` header, validated.

All errors of a request are reported at once, each with its JSON pointer.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from fraudd.prediction.record import ENTITY_ID, ENTITY_ID_RULE, Lane
from fraudd.web.problems import Problem

EntityId = Annotated[str, StringConstraints(pattern=f"^{ENTITY_ID.pattern}$")]

#: ``BatchGetItem`` reads up to 100 items in one call.
MAX_ENTITIES = 100

#: The preference ``wait`` of RFC 7240. Its value is group 1 if it is a number of seconds.
#: Quoted strings of other preferences are not parsed: a preference is only advice.
_WAIT = re.compile(
    r"(?:^|,)[ \t]*wait[ \t]*(?=[=;,]|$)(?:=[ \t]*\"?([0-9]{1,9})\"?[ \t]*(?=[;,]|$))?",
    re.IGNORECASE,
)


class PredictionRequest(BaseModel):
    """A request for the score of one entity."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    entity_id: Annotated[EntityId, Field(description=f"Entity to score: {ENTITY_ID_RULE}.")]
    max_age_seconds: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="Maximum age of a stored result. An older result starts a new run."
        " Default: the daemon's configuration, otherwise unlimited.",
    )
    force: bool = Field(
        default=False,
        description="Start a run even if a fresh result is stored."
        " If a run is pending, no second one starts.",
    )


class BatchRequest(BaseModel):
    """Requests for the scores of up to 100 entities, each as in `POST /v1/predictions`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    predictions: Annotated[list[Any], Field(min_length=1, max_length=MAX_ENTITIES)]
    lane: Lane = "interactive"


class PredictionQuery(BaseModel):
    """The query of every operation that returns predictions."""

    model_config = ConfigDict(extra="forbid")

    include: Literal["features"] | None = None


class ListQuery(PredictionQuery):
    """The query of ``GET /v1/predictions``."""

    status: Literal["calculating", "failed"]
    limit: Annotated[int, Field(ge=1, le=MAX_ENTITIES)] = MAX_ENTITIES
    cursor: str | None = None


Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class InvalidRequest:
    """An invalid request of a batch, with its entity if that is valid."""

    entity_id: str | None
    problem: Problem


async def prediction_request(request: web.Request) -> PredictionRequest:
    """Read and validate the body. Raises ``Problem`` 400, 413, 415, or 422."""
    return await _body(request, PredictionRequest)


async def batch_request(
    request: web.Request,
) -> tuple[Lane, Sequence[PredictionRequest | InvalidRequest]]:
    """Read a batch: its lane and its requests.

    Raises ``Problem`` 400, 413, 415, or 422 if the batch itself is invalid.
    """
    batch = await _body(request, BatchRequest)
    return batch.lane, [_batch_item(*item) for item in enumerate(batch.predictions)]


def query(request: web.Request, model: type[Model]) -> Model:
    """Read and validate the query. Raises ``Problem`` 422."""
    values = request.query if request.query_string else {}
    repeated = sorted({key for key in values if len(request.query.getall(key)) > 1})
    if repeated:
        errors = [{"pointer": f"/{_escape(key)}", "detail": "given twice"} for key in repeated]
        raise _invalid("query", errors)
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise _invalid("query", _errors(error.errors(), model)) from None


def entity_id_of_path(request: web.Request) -> str:
    """Read the entity from the path. Raises ``Problem`` 422."""
    entity_id = request.match_info["entity_id"]
    if not ENTITY_ID.fullmatch(entity_id):
        detail = f"{entity_id[:60]!r} is not a valid entity_id: {ENTITY_ID_RULE}"
        raise invalid_field("path", "/entity_id", detail)
    return entity_id


def preferred_wait(headers: Iterable[str]) -> int | None:
    """Read the preferred wait in seconds from the ``Prefer`` headers.

    Only the first ``wait`` counts. If it is not a number of seconds, it is ignored.
    """
    match = _WAIT.search(",".join(headers))
    return int(match[1]) if match is not None and match[1] else None


def invalid_field(part: str, pointer: str, detail: str) -> Problem:
    """Build the problem of one invalid field."""
    return _invalid(part, [{"pointer": pointer, "detail": detail}])


async def _body(request: web.Request, model: type[Model]) -> Model:
    if request.content_type != "application/json":
        content_type = request.headers.get("Content-Type")
        actual = "it is missing" if content_type is None else f"it is {request.content_type[:60]}"
        detail = f"the Content-Type must be application/json, but {actual}"
        raise Problem("unsupported-media-type", detail)
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        details = error.errors()
    if details[0]["type"] == "json_invalid":
        message = details[0]["msg"].removeprefix("Invalid JSON: ")[:200]
        raise Problem("not-json", f"the body is not JSON: {message}")
    raise _invalid("body", _errors(details, model))


def _batch_item(number: int, value: Any) -> PredictionRequest | InvalidRequest:
    try:
        return PredictionRequest.model_validate(value)
    except ValidationError as error:
        errors = _errors(error.errors(), PredictionRequest, at=("predictions", number))
    entity_id = value.get("entity_id") if isinstance(value, dict) else None
    is_valid = isinstance(entity_id, str) and ENTITY_ID.fullmatch(entity_id)
    return InvalidRequest(entity_id if is_valid else None, _invalid("body", errors))


def _invalid(part: str, errors: Sequence[dict[str, str]]) -> Problem:
    return Problem("invalid-field", f"the {part} has an invalid field; see errors", errors=errors)


def _errors(
    details: Iterable[ErrorDetails], model: type[BaseModel], at: tuple[str | int, ...] = ()
) -> list[dict[str, str]]:
    return [
        {
            "pointer": "".join(f"/{_escape(part)}" for part in (*at, *detail["loc"])),
            "detail": _message(detail, model),
        }
        for detail in details
    ]


def _escape(part: str | int) -> str:
    """Write a part of a JSON pointer (RFC 6901)."""
    return str(part).replace("~", "~0").replace("/", "~1")


def _message(detail: ErrorDetails, model: type[BaseModel]) -> str:
    value = _quote(detail["input"])
    match detail["type"]:
        case "missing":
            return "required key is missing"
        case "extra_forbidden":
            return f"unknown key; the keys are {', '.join(model.model_fields)}"
        case "string_pattern_mismatch":
            return f"{value} is not a valid entity_id: {ENTITY_ID_RULE}"
        case "model_type":
            return f"{value}: must be an object; its keys are {', '.join(model.model_fields)}"
        case "too_short" | "too_long":
            count = detail["ctx"]["actual_length"]
            return f"{count} items; the number of items must be 1 to {MAX_ENTITIES}"
        case _:
            return f"{value}: {detail['msg'].replace('Input should', 'must')}"


def _quote(value: Any) -> str:
    """Write the value from the request, shortened."""
    return repr(value[:60]) if isinstance(value, str) else json.dumps(value)[:60]
