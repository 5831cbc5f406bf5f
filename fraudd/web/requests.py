"""What callers may send, validated by type; every error at once, each with its JSON pointer."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from fraudd.prediction.record import ENTITY_ID, ENTITY_ID_RULE, Lane
from fraudd.web.problems import Problem

EntityId = Annotated[str, StringConstraints(pattern=f"^{ENTITY_ID.pattern}$")]

#: As many as ``BatchGetItem`` reads at once, and as a page of a list has.
MAX_AT_ONCE = 100


class PredictionRequest(BaseModel):
    """A request for the score of one entity."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    entity_id: Annotated[EntityId, Field(description=f"What to score: {ENTITY_ID_RULE}.")]
    max_age_seconds: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="A stored result older than this starts a new run. Absent: as the daemon is"
        " configured, else any age will do.",
    )
    force: bool = Field(
        default=False,
        description="Starts a run whatever is stored, but never beside one that is pending.",
    )


class BatchRequest(BaseModel):
    """Requests as of `POST /v1/predictions`; each is validated by itself."""

    model_config = ConfigDict(extra="forbid", strict=True)

    predictions: Annotated[list[Any], Field(min_length=1, max_length=MAX_AT_ONCE)]
    lane: Lane = "interactive"


class ShownQuery(BaseModel):
    """The query of a call that shows predictions."""

    model_config = ConfigDict(extra="forbid")

    include: Literal["features"] | None = None


class ListQuery(ShownQuery):
    """The query of ``GET /v1/predictions``."""

    status: Literal["calculating", "failed"]
    limit: Annotated[int, Field(ge=1, le=MAX_AT_ONCE)] = MAX_AT_ONCE
    cursor: str | None = None


Model = TypeVar("Model", bound=BaseModel)


async def prediction_request(request: web.Request) -> PredictionRequest:
    """Read and validate the body; raises ``Problem`` 400, 413, 415 or 422."""
    return await _body(request, PredictionRequest)


@dataclass(frozen=True, slots=True)
class Refused:
    """A request of a batch that is none: why, and the entity where it names one."""

    entity_id: str | None
    problem: Problem


async def batch_request(request: web.Request) -> tuple[Lane, Sequence[PredictionRequest | Refused]]:
    """Read the lane of a batch and its requests, or what is wrong with each.

    Raises ``Problem`` 400, 413, 415 or 422 where it is no batch.
    """
    batch = await _body(request, BatchRequest)
    asked = [_one_of_batch(number, given) for number, given in enumerate(batch.predictions)]
    return batch.lane, asked


def query(request: web.Request, model: type[Model]) -> Model:
    """Read and validate the query; raises ``Problem`` 422."""
    given = request.query if request.query_string else {}
    if twice := {key for key in given if len(request.query.getall(key)) > 1}:
        told = [{"pointer": f"/{_escaped(key)}", "detail": "given twice"} for key in sorted(twice)]
        raise _invalid("query", told)
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise _invalid("query", _errors(error.errors(), model)) from None


def entity_id_of_path(request: web.Request) -> str:
    """Read the entity from the path; raises ``Problem`` 422."""
    entity_id = request.match_info["entity_id"]
    if not ENTITY_ID.fullmatch(entity_id):
        wrong = f"{entity_id[:60]!r} is not an entity_id: {ENTITY_ID_RULE}"
        raise Problem(
            422,
            "invalid-field",
            "the entity_id in the path is wrong; see errors",
            errors=[{"pointer": "/entity_id", "detail": wrong}],
        )
    return entity_id


async def _body(request: web.Request, model: type[Model]) -> Model:
    if request.content_type != "application/json":
        named = "Content-Type" in request.headers
        given = f", not {request.content_type[:60]}" if named else "; there is none"
        raise Problem(415, "unsupported-media-type", f"send Content-Type: application/json{given}")
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        details = error.errors()
    if details[0]["type"] == "json_invalid":
        wrong = details[0]["msg"].removeprefix("Invalid JSON: ")[:200]
        raise Problem(400, "not-json", f"the body is not JSON: {wrong}")
    raise _invalid("body", _errors(details, model))


def _one_of_batch(number: int, given: Any) -> PredictionRequest | Refused:
    try:
        return PredictionRequest.model_validate(given)
    except ValidationError as error:
        errors = _errors(error.errors(), PredictionRequest, at=("predictions", number))
    named = given.get("entity_id") if isinstance(given, dict) else None
    is_one = isinstance(named, str) and ENTITY_ID.fullmatch(named)
    return Refused(named if is_one else None, _invalid("body", errors))


def _invalid(part: str, errors: Sequence[dict[str, str]]) -> Problem:
    detail = f"a field of the {part} is wrong; see errors"
    return Problem(422, "invalid-field", detail, errors=errors)


def _errors(
    details: Iterable[ErrorDetails], model: type[BaseModel], at: tuple[str | int, ...] = ()
) -> list[dict[str, str]]:
    return [
        {
            "pointer": "".join(f"/{_escaped(part)}" for part in (*at, *detail["loc"])),
            "detail": _wrong(detail, model),
        }
        for detail in details
    ]


def _escaped(part: str | int) -> str:
    """Write a part of a JSON pointer (RFC 6901)."""
    return str(part).replace("~", "~0").replace("/", "~1")


def _wrong(detail: ErrorDetails, model: type[BaseModel]) -> str:
    given = _shown(detail["input"])
    match detail["type"]:
        case "missing":
            return "missing"
        case "extra_forbidden":
            return f"unknown key; the keys are {', '.join(model.model_fields)}"
        case "string_pattern_mismatch":
            return f"{given} is not an entity_id: {ENTITY_ID_RULE}"
        case "model_type":
            return f"{given}: must be an object; its keys are {', '.join(model.model_fields)}"
        case "too_short" | "too_long":
            return f"{detail['ctx']['actual_length']} given: must be 1 to {MAX_AT_ONCE}"
        case _:
            return f"{given}: {detail['msg'].replace('Input should', 'must')}"


def _shown(given: Any) -> str:
    """Write what was given as the caller did, shortened."""
    return repr(given[:60]) if isinstance(given, str) else json.dumps(given)[:60]
