"""The operations of the API as data: parameters, responses, and problems of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from fraudd.web.openapi import examples

#: Problems of every operation. They occur before the handler runs, or in case of a bug.
ANY_OPERATION = (
    "malformed-request", "wrong-host", "token-in-url", "slow-request", "uri-too-long",
    "expectation-failed", "headers-too-large", "internal", "overloaded",
)  # fmt: skip
#: Further problems of an operation that has a scope.
WITH_SCOPE = ("body-too-large", "unsupported-media-type", "too-many-requests", "timeout")
#: Further problems of an operation that has a scope, if the daemon requires tokens.
WITH_TOKEN = ("unauthenticated", "scope-missing", "too-many-auth-failures")
#: Further problems of an operation that has a body.
WITH_BODY = ("not-json", "invalid-field")

_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A response that is no problem. ``schema`` is a component's name, or a media type."""

    description: str
    schema: str | None = None
    examples: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    headers: Sequence[str] = ()
    optional_headers: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. It needs no token if ``scope`` is None."""

    method: str
    path: str
    operation_id: str
    summary: str
    scope: Literal["read", "request", "admin"] | None
    responses: Mapping[int, Response]
    parameters: Sequence[str] = ()
    body: str | None = None
    body_examples: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    problems: Sequence[str] = ()


#: Further problems of an operation that uses the table.
_STORE_PROBLEMS = ("unavailable", "record-unreadable", "refused-by-aws")
_READ_PROBLEMS = ("invalid-field", *_STORE_PROBLEMS)
_NOT_MODIFIED = "Not modified: the body still matches `If-None-Match`."

OPERATIONS = (
    Operation(
        method="post",
        path="/v1/predictions",
        operation_id="createPrediction",
        summary="Return the stored prediction, or start a run",
        scope="request",
        parameters=("Prefer", "include"),
        body="PredictionRequest",
        body_examples=examples.REQUESTS,
        responses={
            200: Response(
                description="The stored result is fresh enough, or the last run failed recently."
                " After a failure, `Retry-After` says when a request starts a new run.",
                schema="Prediction",
                examples={"done": examples.DONE, "failed": examples.FAILED},
                optional_headers=("Retry-After", "Preference-Applied"),
            ),
            202: Response(
                description="A run is pending. Its status is `started` if this request started it.",
                schema="Prediction",
                examples={"started": examples.STARTED, "calculating": examples.CALCULATING},
                headers=("Location", "Retry-After"),
                optional_headers=("Preference-Applied",),
            ),
        },
        problems=(*WITH_BODY, "too-many-pending", *_STORE_PROBLEMS),
    ),
    Operation(
        method="get",
        path="/v1/predictions",
        operation_id="listPredictions",
        summary="List pending or failed predictions, oldest request first",
        scope="read",
        parameters=("status", "limit", "cursor", "include", "If-None-Match"),
        responses={
            200: Response(
                description="A page of predictions. The index may lag behind by a few seconds."
                " A page may be short or even empty. Only the last page has no `cursor`.",
                schema="Listing",
                examples={"failed": examples.LISTING},
                headers=("ETag",),
            ),
            304: Response(description=_NOT_MODIFIED, headers=("ETag",)),
        },
        problems=_READ_PROBLEMS,
    ),
    Operation(
        method="get",
        path="/v1/predictions/{entity_id}",
        operation_id="getPrediction",
        summary="Return the prediction, without starting a run",
        scope="read",
        parameters=("entity_id", "Prefer", "include", "If-None-Match"),
        responses={
            200: Response(
                description="The prediction of the entity.",
                schema="Prediction",
                examples={
                    "done": examples.DONE,
                    "calculating": examples.CALCULATING,
                    "failed": examples.FAILED,
                },
                headers=("ETag",),
                optional_headers=("Retry-After", "Preference-Applied"),
            ),
            304: Response(
                description=_NOT_MODIFIED,
                headers=("ETag",),
                optional_headers=("Retry-After", "Preference-Applied"),
            ),
        },
        problems=("no-prediction", *_READ_PROBLEMS),
    ),
    Operation(
        method="delete",
        path="/v1/predictions/{entity_id}",
        operation_id="deletePrediction",
        summary="Delete the record of an entity, and drop its pending run",
        scope="admin",
        parameters=("entity_id",),
        responses={
            204: Response(description="The record is deleted, or there was none."),
        },
        problems=_READ_PROBLEMS,
    ),
    Operation(
        method="post",
        path="/v1/batches",
        operation_id="createBatch",
        summary="Request the scores of up to 100 entities",
        scope="request",
        parameters=("include",),
        body="BatchRequest",
        body_examples=examples.BATCH_REQUESTS,
        responses={
            200: Response(
                description="A prediction or a `problem` for each entity, in the order of the"
                " request. A problem of one entity does not affect the others.",
                schema="Batch",
                examples={"one invalid entity": examples.BATCH},
            )
        },
        problems=(*WITH_BODY, "no-bulk-lane", "unavailable"),
    ),
    Operation(
        method="get",
        path="/v1/status",
        operation_id="getStatus",
        summary="Return the current state of this daemon",
        scope="read",
        responses={
            200: Response(description="The current state of this daemon.", schema="Status"),
        },
    ),
    Operation(
        method="get",
        path="/metrics",
        operation_id="getMetrics",
        summary="Return the metrics for Prometheus",
        scope="read",
        responses={
            200: Response(description="The current metrics of this daemon.", schema="text/plain"),
        },
    ),
    Operation(
        method="get",
        path="/healthz",
        operation_id="getLiveness",
        summary="Check whether the process is alive",
        scope=None,
        responses={
            200: Response(
                description="The process is alive and its poll loop is running.",
                schema="Probe",
                examples={"": {"status": "alive"}},
            )
        },
        problems=("poll-loop-stalled",),
    ),
    Operation(
        method="get",
        path="/readyz",
        operation_id="getReadiness",
        summary="Check whether this daemon should receive requests",
        scope=None,
        responses={
            200: Response(
                description="The daemon is ready for requests.",
                schema="Probe",
                examples={"": {"status": "ready"}},
            )
        },
        problems=("not-ready",),
    ),
    Operation(
        method="get",
        path="/openapi.json",
        operation_id="getOpenApi",
        summary="Return this OpenAPI document",
        scope=None,
        responses={
            200: Response(description="The OpenAPI document.", schema="application/json"),
        },
    ),
)
