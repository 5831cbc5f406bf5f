"""``GET /openapi.json``: the OpenAPI document, generated from the types that validate requests."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from fraudd import __version__
from fraudd.web import requests
from fraudd.web.openapi import schemas
from fraudd.web.openapi.operations import (
    ANY_OPERATION,
    OPERATIONS,
    WITH_SCOPE,
    WITH_TOKEN,
    Operation,
    Response,
)
from fraudd.web.openapi.problem_types import PROBLEM_TYPES, type_url

Json = dict[str, Any]

_DESCRIPTION = """\
Fraud scores on demand. `POST /v1/predictions` returns the stored score. If there is none, it \
starts a run and returns 202: request again later, or wait with `Prefer: wait=30`.

Requests are idempotent per entity: an entity never has two runs at once.

Errors are problem documents (RFC 9457). Use their `type` to tell them apart. Ignore unknown \
keys in responses.
"""
_REQUESTS: tuple[type[BaseModel], ...] = (requests.PredictionRequest, requests.BatchRequest)
_RESPONSES: tuple[type[BaseModel], ...] = (
    schemas.PredictionSchema,
    schemas.ListingSchema,
    schemas.BatchSchema,
    schemas.StatusSchema,
    schemas.ProbeSchema,
    schemas.ProblemSchema,
)
_TEXT = {"type": "string"}
_PARAMETERS: Mapping[str, Json] = {
    "entity_id": {"in": "path", "required": True, "schema": schemas.ENTITY_ID_SCHEMA},
    "Prefer": {
        "in": "header",
        "description": "`wait=N` (RFC 7240) waits up to N seconds for the end of the run. The"
        " maximum is 60. If fraudd honours it, the response has `Preference-Applied`.",
        "schema": _TEXT,
        "example": "wait=1",
    },
    "include": {
        "in": "query",
        "description": "`features` adds the values of all features to the result.",
        "schema": {"enum": ["features"]},
    },
    "If-None-Match": {
        "in": "header",
        "description": "The `ETag` of an earlier response. If the body is unchanged, fraudd"
        " responds with 304 and no body.",
        "schema": _TEXT,
    },
    "status": {
        "in": "query",
        "description": "Status of the listed predictions.",
        "required": True,
        "schema": {"enum": ["calculating", "failed"]},
    },
    "limit": {
        "in": "query",
        "description": "Maximum number of predictions to return.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 100},
    },
    "cursor": {
        "in": "query",
        "description": "Opaque cursor from the previous page. Do not construct or edit it.",
        "schema": _TEXT,
    },
    "X-Request-Id": {
        "in": "header",
        "description": "ID of this request in the log: 1 to 128 characters of"
        " `A-Z a-z 0-9 . _ : -`. If it is invalid, fraudd replaces it.",
        "schema": _TEXT,
    },
    "traceparent": {
        "in": "header",
        "description": "W3C trace context. The run and its completion event continue the trace.",
        "schema": _TEXT,
    },
}
_HEADERS: Mapping[str, Json] = {
    "X-Request-Id": {
        "description": "Request ID: the one you sent if it is valid, otherwise a generated one.",
        "schema": _TEXT,
    },
    "Location": {"description": "Path of the prediction.", "schema": _TEXT},
    "Retry-After": {
        "description": "Seconds to wait before the next request.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "ETag": {"description": "Entity tag, a digest of the body.", "schema": _TEXT},
    "Preference-Applied": {
        "description": "Present if fraudd honoured `Prefer: wait=N`.",
        "schema": _TEXT,
    },
    "Allow": {"description": "Methods that the path supports.", "schema": _TEXT},
    "WWW-Authenticate": {"description": "Authentication scheme, always `Bearer`.", "schema": _TEXT},
}


def document(*, authenticated: bool) -> Json:
    """Build the document. ``authenticated`` says whether the daemon requires tokens."""
    paths: Json = {}
    for operation in OPERATIONS:
        path = paths.setdefault(operation.path, {})
        path[operation.method] = _operation(operation, authenticated)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fraudd",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": _components(),
            "examples": {slug: _problem_example(slug) for slug in PROBLEM_TYPES},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


class Document:
    """Serves the document. It is built once."""

    def __init__(self, *, authenticated: bool) -> None:
        self._authenticated = authenticated
        self._body: bytes | None = None

    async def get(self, _: web.Request) -> web.Response:
        """Return the document."""
        if self._body is None:
            self._body = json.dumps(document(authenticated=self._authenticated)).encode()
        return web.Response(body=self._body, content_type="application/json")


def _operation(operation: Operation, authenticated: bool) -> Json:
    scope = operation.scope
    with_token = authenticated and scope is not None
    admission = (*WITH_SCOPE, *(WITH_TOKEN if with_token else ())) if scope else ()
    responses = {
        str(status): _response(response) for status, response in operation.responses.items()
    }
    result: Json = {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "responses": responses | _problems((*operation.problems, *admission, *ANY_OPERATION)),
        "security": [{"token": []}] if with_token else [],
    }
    if with_token:
        result["description"] = f"Requires a token with the scope `{scope}`."
    names = (*operation.parameters, *(("X-Request-Id", "traceparent") if scope else ()))
    if names:
        result["parameters"] = [{"name": name, **_PARAMETERS[name]} for name in names]
    if operation.body:
        content = {
            "schema": _ref(operation.body),
            "examples": _examples(operation.body_examples),
        }
        result["requestBody"] = {"required": True, "content": {"application/json": content}}
    return result


def _response(response: Response) -> Json:
    result: Json = {
        "description": response.description,
        "headers": _headers(("X-Request-Id", *response.headers), response.optional_headers),
    }
    match response.schema:
        case None:
            pass
        case "text/plain":
            result["content"] = {"text/plain": {"schema": _TEXT}}
        case "application/json":
            result["content"] = {"application/json": {"schema": {"type": "object"}}}
        case name:
            content: Json = {"schema": _ref(name)}
            if response.examples:
                content["examples"] = _examples(response.examples)
            result["content"] = {"application/json": content}
    return result


def _problems(slugs: Sequence[str]) -> Json:
    """Build a response for each status, with an example of each problem that has it."""
    statuses = sorted({PROBLEM_TYPES[slug].status for slug in slugs})
    return {
        str(status): _problem_response(
            [slug for slug in slugs if PROBLEM_TYPES[slug].status == status]
        )
        for status in statuses
    }


def _problem_response(slugs: Sequence[str]) -> Json:
    headers = {PROBLEM_TYPES[slug].header for slug in slugs}
    names = sorted(name for name in headers if name is not None)
    required, optional = (names, []) if len(headers) == 1 else ([], names)
    content = {
        "schema": _ref("Problem"),
        "examples": {slug: {"$ref": f"#/components/examples/{slug}"} for slug in slugs},
    }
    return {
        "description": _causes(slugs),
        "headers": _headers(("X-Request-Id", *required), optional),
        "content": {"application/problem+json": content},
    }


def _causes(slugs: Sequence[str]) -> str:
    """Describe the causes of a status. If there are several, they are items of a list."""
    if len(slugs) == 1:
        return PROBLEM_TYPES[slugs[0]].cause
    return "\n".join(f"- `{slug}`: {PROBLEM_TYPES[slug].cause}" for slug in slugs)


def _problem_example(slug: str) -> Json:
    problem_type = PROBLEM_TYPES[slug]
    value: Json = {
        "type": type_url(slug),
        "title": problem_type.title,
        "status": problem_type.status,
        "detail": problem_type.cause,
        "instance": "/v1/predictions",
    }
    if slug == "invalid-field":
        value["errors"] = [{"pointer": "/force", "detail": "1: must be a valid boolean"}]
    return {"value": value}


def _headers(required: Iterable[str], optional: Iterable[str]) -> Json:
    return {name: {**_HEADERS[name], "required": True} for name in required} | {
        name: _HEADERS[name] for name in optional
    }


def _examples(values: Mapping[str, Any]) -> Json:
    return {name or "example": {"value": value} for name, value in values.items()}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


class _Generator(GenerateJsonSchema):
    """Generates plain schemas: short component names, no titles, no defaults of absent keys."""

    def normalize_name(self, name: str) -> str:
        return super().normalize_name(name).removesuffix(schemas.SUFFIX)

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if self.mode == "serialization" or schema.get("default") is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def _components() -> Json:
    models = [(model, "validation") for model in _REQUESTS]
    responses = [(model, "serialization") for model in _RESPONSES]
    _, result = models_json_schema(
        [*models, *responses],  # type: ignore[list-item]
        ref_template="#/components/schemas/{model}",
        schema_generator=_Generator,
    )
    definitions: Json = result["$defs"]
    return definitions
