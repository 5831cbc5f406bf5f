"""Responses: records as JSON bodies, entity tags, and default headers."""

import hashlib
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from aiohttp import ETag, web
from pydantic_core import to_json

from fraudd.engine.test_entities import prescribed_run
from fraudd.prediction.body import body
from fraudd.prediction.record import Record

#: No browser should interpret, store, or leak a response of the API. A header that a handler sets
#: takes precedence. https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html
_DEFAULT_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # The default of aiohttp contains the versions of aiohttp and Python.
    "Server": "fraudd",
}
#: A response without a body has none of these.
_CONTENT_HEADERS = frozenset({"Content-Type", "Content-Length"})


class PredictionSerializer:
    """Turns records into JSON bodies.

    ``estimate`` returns the seconds until a pending run ends. ``test_entities`` says whether test
    entities are enabled.
    """

    def __init__(self, *, estimate: Callable[[Record], int], test_entities: bool) -> None:
        self._estimate = estimate
        self._test_entities = test_entities

    def body(
        self, record: Record, *, status: str | None = None, features: bool = False
    ) -> dict[str, Any]:
        """Return the body for a record. ``status`` replaces the status that the record has."""
        seconds = self._estimate(record) if record.pending else None
        result = body(record, status=status, estimated_seconds=seconds, features=features)
        if self._test_entities and prescribed_run(record.entity_id) is not None:
            result["test"] = True
        return result


def json_response(
    value: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a JSON response."""
    return web.Response(
        status=status,
        body=to_json(value),
        content_type="application/json",
        headers=headers,
    )


def with_etag(request: web.Request, response: web.Response) -> web.Response:
    """Add an entity tag to a response. If the client already has this body, return 304.

    The tag is a digest of the body. Equal tags mean equal bytes, so it is strong (RFC 9110, 8.8.1).
    """
    assert isinstance(response.body, bytes), "only a complete body has a digest"
    etag = hashlib.blake2b(response.body, digest_size=16).hexdigest()
    if "If-None-Match" in request.headers and _matches(request.if_none_match or (), etag):
        headers = {
            name: value for name, value in response.headers.items() if name not in _CONTENT_HEADERS
        }
        response = web.Response(status=304, headers=headers)
    response.headers["ETag"] = f'"{etag}"'
    return response


def _matches(tags: tuple[ETag, ...], etag: str) -> bool:
    """Compare weakly, as RFC 9110 demands for If-None-Match. A proxy may have weakened a tag."""
    return any(tag.value in ("*", etag) for tag in tags)


def add_default_headers(headers: MutableMapping[str, str], request_id: str) -> None:
    """Add the headers that every response has."""
    headers["X-Request-Id"] = request_id
    for name, value in _DEFAULT_HEADERS.items():
        if name not in headers:
            headers[name] = value
