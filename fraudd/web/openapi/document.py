"""``GET /openapi.json``: the contract, made of the very types that validate requests."""

import json
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from fraudd import __version__
from fraudd.web import requests as bodies
from fraudd.web.openapi import schemas
from fraudd.web.openapi.operations import ANY_CALL, BEHIND_THE_DOOR, CALLS, WITH_TOKEN, Answer, Call
from fraudd.web.openapi.problem_types import TYPES, URN

Json = dict[str, Any]

_ABOUT = """\
Fraud scores on demand. `POST /v1/predictions` gives the stored score, or starts a run and answers
202: ask again, or wait for it with `Prefer: wait=30`. Asking again is always safe: an entity never
has two runs at once. Errors are problem documents (RFC 9457), to be told apart by their `type`.
Callers ignore keys of answers that they do not know.
"""
_REQUESTS: tuple[type[BaseModel], ...] = (bodies.PredictionRequest, bodies.BatchRequest)
_ANSWERS: tuple[type[BaseModel], ...] = (
    schemas.Prediction,
    schemas.Listing,
    schemas.Batch,
    schemas.Status,
    schemas.Probe,
    schemas.Problem,
)
_TEXT = {"type": "string"}
_PARAMETERS: Mapping[str, Json] = {
    "entity_id": {"in": "path", "required": True, "schema": schemas.ENTITY_ID_SCHEMA},
    "Prefer": {
        "in": "header",
        "description": "`wait=N` (RFC 7240): answer when the run ends, or after N seconds, up to 60"
        " of them, as it then stands. `Preference-Applied` says that it was heeded.",
        "schema": _TEXT,
        "example": "wait=1",
    },
    "include": {
        "in": "query",
        "description": "`features` adds all features to the result.",
        "schema": {"enum": ["features"]},
    },
    "If-None-Match": {
        "in": "header",
        "description": "The `ETag` of an earlier answer: 304 if it is the same still.",
        "schema": _TEXT,
    },
    "status": {"in": "query", "required": True, "schema": {"enum": ["calculating", "failed"]}},
    "limit": {
        "in": "query",
        "description": "This many at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 100},
    },
    "cursor": {
        "in": "query",
        "description": "Of the page before; nothing to be made or changed by hand.",
        "schema": _TEXT,
    },
    "X-Request-Id": {
        "in": "header",
        "description": "Names this request in the log: 1 to 128 characters of"
        " `A-Z a-z 0-9 . _ : -`; any other is replaced.",
        "schema": _TEXT,
    },
    "traceparent": {
        "in": "header",
        "description": "W3C trace context: carried through the run into its completion event.",
        "schema": _TEXT,
    },
}
_HEADERS: Mapping[str, Json] = {
    "X-Request-Id": {"description": "Yours if it was valid.", "schema": _TEXT},
    "Location": {"description": "Where to look.", "schema": _TEXT},
    "Retry-After": {
        "description": "Seconds after which to ask again.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "ETag": {"description": "Changes when the body does.", "schema": _TEXT},
    "Preference-Applied": {"description": "`wait=N`: it was waited.", "schema": _TEXT},
    "Allow": {"description": "The methods that are possible.", "schema": _TEXT},
    "WWW-Authenticate": {"description": "`Bearer`", "schema": _TEXT},
}
_PROBLEM_HEADERS = {
    "method-not-allowed": "Allow",
    "unauthenticated": "WWW-Authenticate",
    "too-many-requests": "Retry-After",
    "too-many-failures": "Retry-After",
    "too-many-pending": "Retry-After",
    "unavailable": "Retry-After",
    "overloaded": "Retry-After",
    "deadline": "Retry-After",
    "scope-missing": "WWW-Authenticate",
}


def document(*, authenticated: bool) -> Json:
    """Make the document of a daemon that asks for tokens, or of one that does not."""
    paths: Json = {}
    for call in CALLS:
        paths.setdefault(call.path, {})[call.method] = _operation(call, authenticated)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fraudd",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": _models(),
            "examples": {slug: _problem(slug) for slug in TYPES},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


class Document:
    """The document as it is served; it is written once."""

    def __init__(self, *, authenticated: bool) -> None:
        self._authenticated = authenticated
        self._written: bytes | None = None

    async def answer(self, _: web.Request) -> web.Response:
        """Give the document."""
        if self._written is None:
            self._written = json.dumps(document(authenticated=self._authenticated)).encode()
        return web.Response(body=self._written, content_type="application/json")


def _operation(call: Call, authenticated: bool) -> Json:
    tokens = authenticated and call.scope is not None
    behind = (*BEHIND_THE_DOOR, *(WITH_TOKEN if tokens else ())) if call.scope else ()
    slugs = (*call.problems, *behind, *ANY_CALL)
    written: Json = {
        "operationId": call.name,
        "summary": call.summary,
        "responses": {str(status): _answer(answer) for status, answer in call.answers.items()}
        | _problems(slugs),
        "security": [{"token": []}] if tokens else [],
    }
    if tokens:
        written["description"] = f"Needs a token of the scope `{call.scope}`."
    names = (*call.parameters, *(("X-Request-Id", "traceparent") if call.scope else ()))
    if names:
        written["parameters"] = [{"name": name, **_PARAMETERS[name]} for name in names]
    if call.body:
        content = {"schema": _ref(call.body), "examples": _examples(call.bodies)}
        written["requestBody"] = {"required": True, "content": {"application/json": content}}
    return written


def _answer(answer: Answer) -> Json:
    written: Json = {
        "description": answer.when,
        "headers": _headers(("X-Request-Id", *answer.headers), answer.maybe),
    }
    match answer.schema:
        case None:
            pass
        case "text/plain":
            written["content"] = {"text/plain": {"schema": _TEXT}}
        case "application/json":
            written["content"] = {"application/json": {"schema": {"type": "object"}}}
        case name:
            content: Json = {"schema": _ref(name)}
            if answer.examples:
                content["examples"] = _examples(answer.examples)
            written["content"] = {"application/json": content}
    return written


def _problems(slugs: Sequence[str]) -> Json:
    """One answer a status, with an example of each problem that may come with it."""
    statuses = sorted({TYPES[slug][0] for slug in slugs})
    return {
        str(status): _of_status([slug for slug in slugs if TYPES[slug][0] == status])
        for status in statuses
    }


def _of_status(slugs: Sequence[str]) -> Json:
    told = {_PROBLEM_HEADERS.get(slug) for slug in slugs}
    always = [name for name in told if name is not None] if len(told) == 1 else []
    sometimes = [name for name in told if name is not None and name not in always]
    content = {
        "schema": _ref("Problem"),
        "examples": {slug: {"$ref": f"#/components/examples/{slug}"} for slug in slugs},
    }
    return {
        "description": "; or: ".join(TYPES[slug][1] for slug in slugs),
        "headers": _headers(("X-Request-Id", *always), sometimes),
        "content": {"application/problem+json": content},
    }


def _problem(slug: str) -> Json:
    """An example of a problem."""
    status, when = TYPES[slug]
    value = {
        "type": f"{URN}{slug}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": when,
        "instance": "/v1/predictions",
    }
    if slug == "invalid-field":
        value["errors"] = [{"pointer": "/force", "detail": "1: must be a valid boolean"}]
    return {"value": value}


def _headers(always: Iterable[str], sometimes: Iterable[str]) -> Json:
    return {name: {**_HEADERS[name], "required": True} for name in always} | {
        name: _HEADERS[name] for name in sometimes
    }


def _examples(values: Mapping[str, Any]) -> Json:
    return {name or "example": {"value": value} for name, value in values.items()}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


class _Schemas(GenerateJsonSchema):
    """Schemas without noise: no title a field, and no default of a key that may be absent."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if self.mode == "serialization" or schema.get("default") is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def _models() -> Json:
    models = [(model, "validation") for model in _REQUESTS]
    answers = [(model, "serialization") for model in _ANSWERS]
    _, written = models_json_schema(
        [*models, *answers],  # type: ignore[list-item]
        ref_template="#/components/schemas/{model}",
        schema_generator=_Schemas,
    )
    definitions: Json = written["$defs"]
    return definitions
