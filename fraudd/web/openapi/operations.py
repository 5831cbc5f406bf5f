"""The calls of the API as data: what each takes, gives and refuses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from fraudd.web.openapi import examples

#: What may come of any call: before its handler sees it, or when something breaks.
ANY_CALL = (
    "malformed-request", "token-in-url", "too-slow", "uri-too-long", "expectation-failed",
    "headers-too-large", "internal", "overloaded",
)  # fmt: skip
#: What else may come of a call that has a scope: whether or not the daemon asks for tokens,
BEHIND_THE_DOOR = ("body-too-large", "unsupported-media-type", "too-many-requests", "deadline")
#: and where it does.
WITH_TOKEN = ("unauthenticated", "scope-missing", "too-many-failures")
#: What else may come of a call with a body.
WITH_BODY = ("not-json", "invalid-field")

_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer that is no problem; ``schema`` is a model's name, or a media type of its own."""

    when: str
    schema: str | None = None
    examples: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    #: Always there, and sometimes there.
    headers: Sequence[str] = ()
    maybe: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call; without a ``scope`` it needs no token."""

    method: str
    path: str
    name: str
    summary: str
    scope: Literal["read", "request", "admin"] | None
    answers: Mapping[int, Answer]
    parameters: Sequence[str] = ()
    body: str | None = None
    bodies: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    problems: Sequence[str] = ()


_READ_PROBLEMS = ("invalid-field", "unavailable")

CALLS = (
    Call(
        method="post",
        path="/v1/predictions",
        name="ask",
        summary="Ask: gives the stored result, or starts a run",
        scope="request",
        parameters=("Prefer", "include"),
        body="PredictionRequest",
        bodies=examples.REQUESTS,
        answers={
            200: Answer(
                when="A result that is fresh enough is stored. Or the last run failed a short while"
                " ago: `Retry-After` says when asking again starts a new one.",
                schema="Prediction",
                examples={"done": examples.DONE, "failed": examples.FAILED},
                maybe=("Retry-After", "Preference-Applied"),
            ),
            202: Answer(
                when="This call started the run, or one is pending already.",
                schema="Prediction",
                examples={"started": examples.STARTED, "calculating": examples.CALCULATING},
                headers=("Location", "Retry-After"),
                maybe=("Preference-Applied",),
            ),
        },
        problems=(*WITH_BODY, "too-many-pending", "unavailable"),
    ),
    Call(
        method="get",
        path="/v1/predictions",
        name="list",
        summary="List what is pending or failed, the oldest request first; it may lag a little",
        scope="read",
        parameters=("status", "limit", "cursor", "include", "If-None-Match"),
        answers={
            200: Answer(
                when="A page. It may be short, even empty, and not the last one: that one has no"
                " `cursor`.",
                schema="Listing",
                examples={"failed": examples.LISTING},
                headers=("ETag",),
            ),
            304: Answer(when="It still is what `If-None-Match` names.", headers=("ETag",)),
        },
        problems=_READ_PROBLEMS,
    ),
    Call(
        method="get",
        path="/v1/predictions/{entity_id}",
        name="look_up",
        summary="Look up; starts nothing",
        scope="read",
        parameters=("entity_id", "Prefer", "include", "If-None-Match"),
        answers={
            200: Answer(
                when="Somebody asked for this entity.",
                schema="Prediction",
                examples={
                    "done": examples.DONE,
                    "calculating": examples.CALCULATING,
                    "failed": examples.FAILED,
                },
                headers=("ETag",),
                maybe=("Retry-After", "Preference-Applied"),
            ),
            304: Answer(
                when="It still is what `If-None-Match` names.",
                headers=("ETag",),
                maybe=("Retry-After", "Preference-Applied"),
            ),
        },
        problems=("never-asked", *_READ_PROBLEMS),
    ),
    Call(
        method="delete",
        path="/v1/predictions/{entity_id}",
        name="forget",
        summary="Forget the entity, known or not; a pending run is dropped",
        scope="admin",
        parameters=("entity_id",),
        answers={204: Answer(when="It is forgotten.")},
        problems=_READ_PROBLEMS,
    ),
    Call(
        method="post",
        path="/v1/batches",
        name="ask_batch",
        summary="Ask for up to 100 entities at once",
        scope="request",
        parameters=("include",),
        body="BatchRequest",
        bodies=examples.BATCH_REQUESTS,
        answers={
            200: Answer(
                when="An answer for each entity, in order. One that is refused has a `problem`;"
                " the others go through.",
                schema="Batch",
                examples={"one wrong": examples.BATCH},
            )
        },
        problems=(*WITH_BODY, "no-bulk-lane", "unavailable"),
    ),
    Call(
        method="get",
        path="/v1/status",
        name="status",
        summary="What this daemon does right now",
        scope="read",
        answers={200: Answer(when="As it stands.", schema="Status")},
    ),
    Call(
        method="get",
        path="/metrics",
        name="metrics",
        summary="Metrics for Prometheus",
        scope="read",
        answers={200: Answer(when="As they stand.", schema="text/plain")},
    ),
    Call(
        method="get",
        path="/healthz",
        name="healthz",
        summary="Whether the process lives",
        scope=None,
        answers={200: Answer(when="It does.", schema="Probe", examples={"": {"status": "alive"}})},
        problems=("poll-loop-stalled",),
    ),
    Call(
        method="get",
        path="/readyz",
        name="readyz",
        summary="Whether this daemon should get requests",
        scope=None,
        answers={200: Answer(when="Yes.", schema="Probe", examples={"": {"status": "ready"}})},
        problems=("not-ready",),
    ),
    Call(
        method="get",
        path="/openapi.json",
        name="openapi",
        summary="This document",
        scope=None,
        answers={200: Answer(when="This document.", schema="application/json")},
    ),
)
