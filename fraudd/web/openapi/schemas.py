"""The bodies of responses, as types: the OpenAPI document is generated from them.

The responses are written elsewhere (``fraudd/prediction/body.py``, ``Daemon``), without the cost
of building these types. A test checks real responses against them.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, WithJsonSchema

from fraudd.prediction.formats import ULID
from fraudd.prediction.record import ENTITY_ID, Lane
from fraudd.web.openapi.problem_types import TYPES, URN

ENTITY_ID_SCHEMA: dict[str, Any] = {
    "type": "string",
    "pattern": f"^{ENTITY_ID.pattern}$",
    "description": "A shop or a user; the first character is a letter or digit.",
    "examples": ["shop-42"],
}
EntityId = Annotated[str, WithJsonSchema(ENTITY_ID_SCHEMA)]
RunId = Annotated[
    str,
    Field(
        pattern=f"^{ULID.pattern}$",
        description="One computation, from request to result (a ULID).",
        examples=["01M882XAC44Z2ZSZT7E7GR8CYW"],
    ),
]
Time = Annotated[
    str,
    Field(
        description="RFC 3339, UTC.",
        examples=["2026-11-24T08:00:00.000Z"],
        json_schema_extra={"format": "date-time"},
    ),
]
Milliseconds = Annotated[int, Field(ge=0)]
Seconds = Annotated[
    int,
    Field(ge=1, le=300, description="About how long until the run has ended; as `Retry-After`."),
]
Traceparent = Annotated[str, Field(description="W3C trace context of the run.")]


def maybe(description: str | None = None) -> Any:
    """Make a key that is not in every answer; it is absent then, not null."""
    return Field(default=None, description=description)


class Reason(BaseModel):
    """A feature and its share in the score."""

    feature: str
    value: float | None = Field(description="null where it is missing")
    contribution: float = Field(description="log-odds (SHAP); above 0 speaks for fraud")
    text: str


class Timing(BaseModel):
    """Where a run's time went, in milliseconds."""

    waited: Milliseconds
    claiming: Milliseconds
    connecting: Milliseconds
    database: Milliseconds
    model: Milliseconds
    total: Milliseconds
    files: dict[str, Milliseconds] = Field(description="of each feature file")


class Result(BaseModel):
    """A score, why, and where the time went."""

    score: float = Field(ge=0, le=1)
    decision: Literal["approve", "review", "block"]
    model: str = Field(description="the version of the model")
    as_of: Time
    scored_at: Time
    reasons: list[Reason] = Field(max_length=5)
    timing_ms: Timing
    features: dict[str, float | None] = maybe(
        "all of them by name, where `include=features` asks for them"
    )


class RunError(BaseModel):
    """Why a run failed."""

    type: str = Field(examples=["entity_unknown"])
    detail: str
    attempts: int = Field(ge=0)


class Prediction(BaseModel):
    """The newest run of an entity, and its last result."""

    entity_id: EntityId
    status: Literal["started", "calculating", "done", "failed"]
    run_id: RunId
    requested_at: Time
    started_at: Time = maybe()
    finished_at: Time = maybe()
    attempts: int = Field(ge=0, description="how often a consumer claimed the run")
    estimated_seconds: Seconds = maybe()
    test: bool = maybe("true of a test entity")
    result: Result = maybe("the last good one: while a run is pending, the previous one")
    error: RunError = maybe("of `failed`")


class FieldError(BaseModel):
    """A field that is wrong."""

    pointer: str = Field(description="JSON pointer; empty is the whole body")
    detail: str = Field(description="what is wrong with it, and what is right")


class Problem(BaseModel):
    """An answer that is an error (RFC 9457)."""

    type: Literal[tuple(f"{URN}{slug}" for slug in TYPES)]  # type: ignore[valid-type]
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    instance: str = Field(description="the path that was asked for")
    errors: list[FieldError] = maybe("of `invalid-field`")
    retry_after_seconds: int = maybe("as `Retry-After`: asking again before is of no use")


class Refused(BaseModel):
    """An entity of a batch that was not asked for, and why."""

    entity_id: EntityId = maybe()
    problem: Problem


class Batch(BaseModel):
    """One answer for each entity, in the order of the request."""

    predictions: list[Prediction | Refused] = Field(max_length=100)


class Listing(BaseModel):
    """A page of predictions, the oldest request first."""

    predictions: list[Prediction] = Field(max_length=100)
    cursor: str = maybe("gives the next page; absent on the last one")


class Permits(BaseModel):
    """Connections to the database that this daemon may have."""

    max: int
    limit: int = Field(description="as the database's load allows")
    in_use: int


class Pool(BaseModel):
    """Consumers, and how many of them have a message in hand."""

    count: int
    busy: int


class Job(BaseModel):
    """A message in hand."""

    entity_id: EntityId
    run_id: RunId
    lane: Lane
    phase: str
    seconds: float = Field(ge=0)


class QueueDepth(BaseModel):
    """About how many messages there are."""

    visible: int
    in_flight: int
    delayed: int
    dead_lettered: int = maybe("with `queue`: the lanes share a dead-letter queue")


class Reload(BaseModel):
    """What became of the last reload of feature SQL and model."""

    outcome: Literal["done", "refused"]
    at: Time
    problems: list[str] = Field(description="why it was refused; what was in use serves on")


class Status(BaseModel):
    """What this daemon does right now."""

    version: str
    model: str
    features_version: str = Field(description="stands for the feature SQL in use")
    reload: Reload | None = Field(description="null where there was none")
    state: Literal["serving", "draining"]
    started_at: Time
    breaker: Literal["closed", "outage", "fault"]
    blocked_by: str | None = Field(description="why this daemon takes no messages now")
    permits: Permits
    database_connections: int
    consumers: Pool
    runs: list[Job]
    queue: QueueDepth | None = Field(description="null until it was seen")
    bulk_queue: QueueDepth | None = maybe("where there is a bulk lane; null until it was seen")
    waiters: int = Field(description="requests that wait for the end of a run")
    estimated_seconds: Seconds


class Probe(BaseModel):
    """Of a probe."""

    status: Literal["alive", "ready"]
