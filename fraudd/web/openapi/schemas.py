"""Types of the response bodies. The OpenAPI document is generated from them.

The bodies themselves are built elsewhere, for example in ``fraudd/prediction/body.py``. Building
these types for each response would cost time. A test checks real responses against them.

The name of a component in the document is the name of its class without ``Schema``.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from fraudd.prediction.formats import ULID
from fraudd.prediction.record import ENTITY_ID, Lane
from fraudd.web.openapi.problem_types import PROBLEM_TYPES, type_url

SUFFIX: Final = "Schema"

ENTITY_ID_SCHEMA: dict[str, Any] = {
    "type": "string",
    "pattern": f"^{ENTITY_ID.pattern}$",
    "description": "ID of a shop or a user. The first character is a letter or digit.",
    "examples": ["shop-42"],
}
EntityId = Annotated[str, WithJsonSchema(ENTITY_ID_SCHEMA)]
RunId = Annotated[
    str,
    Field(
        pattern=f"^{ULID.pattern}$",
        description="ID of a run, which is one computation of a score (a ULID).",
        examples=["01M882XAC44Z2ZSZT7E7GR8CYW"],
    ),
]
Time = Annotated[
    str,
    Field(
        description="Time in UTC (RFC 3339).",
        examples=["2026-11-24T08:00:00.000Z"],
        json_schema_extra={"format": "date-time"},
    ),
]
Milliseconds = Annotated[int, Field(ge=0)]
Seconds = Annotated[
    int,
    Field(ge=1, le=300, description="Estimated seconds until the run ends, as in `Retry-After`."),
]


def optional(description: str | None = None) -> Any:
    """Declare a key that some responses do not have. It is then absent, not null."""
    return Field(default=None, description=description)


class _Schema(BaseModel):
    model_config = ConfigDict(model_title_generator=lambda cls: cls.__name__.removesuffix(SUFFIX))


class ReasonSchema(_Schema):
    """A reason code: a feature and its contribution to the score."""

    feature: str = Field(description="Name of the feature.")
    value: float | None = Field(description="Value of the feature, or null if it is missing.")
    contribution: float = Field(
        description="SHAP value (log-odds). A positive value raises the fraud score."
    )
    text: str = Field(description="The feature and its value in words, for an analyst.")


class TimingSchema(_Schema):
    """Time that each phase of the run took, in milliseconds."""

    waited: Milliseconds = Field(description="Time from the request to the start of the run.")
    claiming: Milliseconds = Field(description="Time to write the claim to the results table.")
    connecting: Milliseconds = Field(
        description="Time to open a database connection, 0 if one was open. Part of `database`."
    )
    database: Milliseconds = Field(description="Time of all feature files together.")
    model: Milliseconds = Field(description="Time that the model took.")
    total: Milliseconds = Field(description="Time from the request to the score.")
    files: dict[str, Milliseconds] = Field(description="Time of each feature file.")


class ResultSchema(_Schema):
    """A score, its reason codes, and the time that it took."""

    score: float = Field(ge=0, le=1, description="Probability of fraud, estimated by the model.")
    decision: Literal["approve", "review", "block"] = Field(
        description="Decision by the thresholds of the model or the configuration."
    )
    model: str = Field(description="Version of the model.")
    as_of: Time = Field(description="Time of the database snapshot that the features come from.")
    scored_at: Time = Field(description="Time at which the model computed the score.")
    reasons: list[ReasonSchema] = Field(
        max_length=5, description="Features with the largest contributions, largest first."
    )
    timing_ms: TimingSchema
    features: dict[str, float | None] = optional(
        "Values of all features. Present only with `include=features`."
    )


class RunErrorSchema(_Schema):
    """The error of a failed run."""

    type: str = Field(description="Stable slug of the error.", examples=["entity_unknown"])
    detail: str = Field(description="Explanation for a person. The text may change.")
    attempts: int = Field(ge=0, description="Number of attempts of the failed run.")


class PredictionSchema(_Schema):
    """The newest run of an entity, and its last result."""

    entity_id: EntityId
    status: Literal["started", "calculating", "done", "failed"] = Field(
        description="Status of the newest run. `started` means that this request started it,"
        " `calculating` that it is pending."
    )
    run_id: RunId
    requested_at: Time = Field(description="Time of the request that started the run.")
    started_at: Time = optional("Start of the newest attempt. Absent before the first attempt.")
    finished_at: Time = optional("End of the run. Absent while the run is pending.")
    attempts: int = Field(ge=0, description="Number of times that a consumer claimed the run.")
    estimated_seconds: Seconds = optional()
    test: bool = optional("Present and true only if the entity is a test entity.")
    result: ResultSchema = optional(
        "Last result. It belongs to an earlier run if `status` is not `done`."
    )
    error: RunErrorSchema = optional("Why the run failed. Present only if `status` is `failed`.")


class FieldErrorSchema(_Schema):
    """An invalid field of a request."""

    pointer: str = Field(description="JSON pointer to the field. Empty for the whole body.")
    detail: str = Field(description="The error, and the values that are valid.")


class ProblemSchema(_Schema):
    """An error response (RFC 9457)."""

    type: Literal[tuple(map(type_url, PROBLEM_TYPES))] = Field(  # type: ignore[valid-type]
        description="Problem type: the URL of its description."
    )
    title: str = Field(description="Summary of the problem type.")
    status: int = Field(ge=400, le=599, description="HTTP status of the response.")
    detail: str = Field(description="Explanation of this occurrence.")
    instance: str = Field(description="Path of the request.")
    errors: list[FieldErrorSchema] = optional(
        "Invalid fields. Present only if the type is `invalid-field`."
    )
    retry_after_seconds: int = optional("Seconds to wait before a retry, as in `Retry-After`.")


class BatchProblemSchema(_Schema):
    """An entity of a batch that has a problem instead of a prediction."""

    entity_id: EntityId = optional()
    problem: ProblemSchema


class BatchSchema(_Schema):
    """A prediction or a problem for each entity, in the order of the request."""

    predictions: list[PredictionSchema | BatchProblemSchema] = Field(max_length=100)


class ListingSchema(_Schema):
    """A page of predictions, oldest request first."""

    predictions: list[PredictionSchema] = Field(max_length=100)
    cursor: str = optional("Cursor of the next page. Absent on the last page.")


class PermitsSchema(_Schema):
    """Connection permits of this daemon."""

    max: int = Field(description="Configured maximum number of permits.")
    limit: int = Field(
        description="Connection limit now in force, between 1 and `max`."
        " It falls if the database is busy."
    )
    in_use: int = Field(description="Number of permits in use.")


class ConsumersSchema(_Schema):
    """Consumers of this daemon."""

    count: int = Field(description="Number of consumers.")
    busy: int = Field(description="Number of consumers that process a message.")


class RunSchema(_Schema):
    """A run that this daemon computes now."""

    entity_id: EntityId
    run_id: RunId
    lane: Lane
    phase: str = Field(
        description="Current phase. In `waiting_alone` the run waits until no other run is"
        " computed, because processes died during this run.",
        examples=["claiming", "waiting_alone", "database", "model", "storing"],
    )
    seconds: float = Field(ge=0, description="Seconds since the message was received.")


class QueueDepthSchema(_Schema):
    """Approximate number of messages in a queue."""

    visible: int = Field(description="Messages that consumers can receive now.")
    in_flight: int = Field(description="Messages that a consumer has received and not deleted.")
    delayed: int = Field(description="Messages that become visible later.")
    dead_lettered: int = optional(
        "Messages in the dead-letter queue. The lanes share it, so only `queue` has this key."
    )


class ReloadSchema(_Schema):
    """Outcome of the last reload of feature SQL and model."""

    outcome: Literal["done", "refused"]
    at: Time
    problems: list[str] = Field(
        description="Reasons for a refused reload. The previous SQL and model stay in use."
    )


class StatusSchema(_Schema):
    """Current state of this daemon."""

    version: str = Field(description="Version of fraudd.")
    model: str = Field(description="Version of the model in use.")
    features_version: str = Field(description="Digest of the feature SQL in use.")
    reload: ReloadSchema | None = Field(description="Last reload, or null if there was none.")
    state: Literal["serving", "draining"]
    started_at: Time
    breaker: Literal["closed", "outage", "fault"] = Field(
        description="`outage` if a dependency is unreachable, `fault` in a systemic failure (every"
        " run fails), otherwise `closed`. See `blocked_by`."
    )
    blocked_by: str | None = Field(
        description="Reason why this daemon receives no messages, or null."
    )
    index_problem: str | None = Field(
        description="Reason why the index of the table cannot be read, or null. Lists and the"
        " sweeper need it."
    )
    permits: PermitsSchema
    database_connections: int = Field(description="Number of open database connections.")
    consumers: ConsumersSchema
    runs: list[RunSchema]
    queue: QueueDepthSchema | None = Field(
        description="Depth of the interactive lane's queue, or null before the first sample."
    )
    bulk_queue: QueueDepthSchema | None = optional(
        "Depth of the bulk lane's queue, or null before the first sample."
        " Absent if there is no bulk lane."
    )
    waiters: int = Field(description="Number of requests that wait for the end of a run.")
    estimated_seconds: Seconds


class ProbeSchema(_Schema):
    """Response of a health check."""

    status: Literal["alive", "ready"]
