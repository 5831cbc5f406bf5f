"""Errors as RFC 9457 problem documents, for everything that can go wrong with a request."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web

from fraudd.errors import Full, Unavailable

#: Asking again this much later is soon enough for what passes by itself.
_RETRY_SECONDS = 5


class Problem(Exception):
    """An answer that is an error. ``slug`` is stable: callers may tell problems apart by it."""

    def __init__(
        self,
        status: int,
        slug: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}

    def document(self, instance: str) -> dict[str, Any]:
        """Give the problem document; ``instance`` is the path that was asked for, if known."""
        document: dict[str, Any] = {
            "type": f"urn:fraudd:problem:{self.slug}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
        }
        if self.errors:
            document["errors"] = list(self.errors)
        if (seconds := self.headers.get("Retry-After")) is not None:
            # In a batch there is no header for each.
            document["retry_after_seconds"] = int(seconds)
        return document

    def response(self, instance: str) -> web.Response:
        """Answer with the problem document."""
        return web.Response(
            status=self.status,
            body=json.dumps(self.document(instance)).encode(),
            content_type="application/problem+json",
            headers=self.headers,
        )


def unavailable(detail: str) -> Problem:
    """Say that something is out of reach for now, and that asking again is safe."""
    return Problem(503, "unavailable", detail, headers={"Retry-After": str(_RETRY_SECONDS)})


def of_intake(error: Unavailable | Full) -> Problem:
    """Translate why a request could not be taken."""
    if isinstance(error, Unavailable):
        blocked_by = "clock is off" if error.part == "clock" else f"{error.part} is out of reach"
        return unavailable(f"the {blocked_by}; ask again: it is safe")
    return Problem(
        429,
        "too-many-pending",
        f"{error}; ask again in {error.retry_after_seconds} s",
        headers={"Retry-After": str(error.retry_after_seconds)},
    )


def of_aiohttp(error: web.HTTPException, request: web.Request) -> Problem:
    """Translate what aiohttp itself refuses: unknown path or method, a body that is too large."""
    match error:
        case web.HTTPNotFound():
            return Problem(
                404, "no-such-path", f"there is nothing at {request.path[:200]}: see /openapi.json"
            )
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return Problem(
                405,
                "method-not-allowed",
                f"{request.method[:20]} is not possible here; these are: {allowed}",
                headers={"Allow": allowed},
            )
        case web.HTTPRequestEntityTooLarge():
            return Problem(413, "body-too-large", "the body must be no larger than 64 KiB")
        case web.HTTPExpectationFailed():
            return Problem(417, "expectation-failed", "Expect may say 100-continue only")
        case _:
            return Problem(error.status, "refused", error.reason)
