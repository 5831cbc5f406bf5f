"""How records are shown to callers, and what an answer says besides."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import ETag, web
from pydantic_core import to_json

from fraudd.engine.sandbox import sandbox_run
from fraudd.prediction.body import body
from fraudd.prediction.record import Record


class Showing:
    """Shows records.

    ``estimate`` gives the seconds until a pending run will have ended; ``test_entities`` says
    whether there are any.
    """

    def __init__(self, *, estimate: Callable[[Record], int], test_entities: bool) -> None:
        self._estimate = estimate
        self._test_entities = test_entities

    def body(
        self, record: Record, *, status: str | None = None, features: bool = False
    ) -> dict[str, Any]:
        """Give the body for a record; ``status`` where it is ``started``."""
        seconds = self._estimate(record) if record.pending else None
        shown = body(record, status=status, estimated_seconds=seconds, features=features)
        if self._test_entities and sandbox_run(record.entity_id) is not None:
            shown["test"] = True
        return shown


def answer(
    value: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer with JSON."""
    return web.Response(
        status=status,
        body=to_json(value),
        content_type="application/json",
        headers=headers,
    )


def tagged(request: web.Request, response: web.Response) -> web.Response:
    """Put an entity tag on an answer; it is 304 where the caller has just this already.

    The tag is a digest of the body: strong, for equal tags are equal bytes (RFC 9110, 8.8.1).
    """
    assert isinstance(response.body, bytes), "only a whole body has a digest"
    etag = hashlib.blake2b(response.body, digest_size=16).hexdigest()
    if "If-None-Match" in request.headers and _has(request.if_none_match or (), etag):
        kept = {name: of for name, of in response.headers.items() if name not in _OF_CONTENT}
        response = web.Response(status=304, headers=kept)
    response.headers["ETag"] = f'"{etag}"'
    return response


_OF_CONTENT = frozenset({"Content-Type", "Content-Length"})


def _has(known: tuple[ETag, ...], etag: str) -> bool:
    """Compare weakly, as If-None-Match wants it: a tag that a proxy weakened is as good."""
    return any(one.value in ("*", etag) for one in known)
