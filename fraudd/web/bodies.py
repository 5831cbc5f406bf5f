"""What callers may send, validated by type; every error at once, each with its JSON pointer."""

from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from fraudd.record import ENTITY_ID, ENTITY_ID_RULE
from fraudd.web.problems import Problem

EntityId = Annotated[str, StringConstraints(pattern=f"^{ENTITY_ID.pattern}$")]


class PredictionRequest(BaseModel):
    """The body of ``POST /v1/predictions``."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    entity_id: EntityId
    max_age_seconds: Annotated[float, Field(ge=0)] | None = None
    force: bool = False


async def prediction_request(request: web.Request) -> PredictionRequest:
    """Read and validate the body; raises ``Problem`` 400, 413, 415 or 422."""
    if request.content_type != "application/json":
        raise Problem(
            415,
            "unsupported-media-type",
            f"send Content-Type: application/json, not {request.content_type[:60]}",
        )
    try:
        return PredictionRequest.model_validate_json(await request.read())
    except ValidationError as error:
        details = error.errors()
    if details[0]["type"] == "json_invalid":
        raise Problem(400, "not-json", f"the body is not JSON: {details[0]['msg'][:200]}")
    raise Problem(
        422,
        "invalid-field",
        "a field of the body is wrong; see errors",
        errors=[
            {"pointer": "".join(f"/{part}" for part in detail["loc"]), "detail": _wrong(detail)}
            for detail in details
        ],
    )


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


def _wrong(detail: ErrorDetails) -> str:
    given = f"{str(detail['input'])[:60]!r}"
    match detail["type"]:
        case "missing":
            return "missing"
        case "extra_forbidden":
            return f"unknown key; the keys are {', '.join(PredictionRequest.model_fields)}"
        case "string_pattern_mismatch":
            return f"{given} is not an entity_id: {ENTITY_ID_RULE}"
        case _:
            return f"{given}: {detail['msg'].replace('Input should', 'must')}"
