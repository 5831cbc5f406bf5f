"""Errors as problem documents (RFC 9457)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from fraudd.errors import Full, RunError, Unavailable, Unreadable
from fraudd.web.openapi.problem_types import PROBLEM_TYPES, type_url

#: Most short outages are over after this time.
_UNAVAILABLE_SECONDS = 5


class Problem(Exception):
    """An error response. ``slug`` is a key of ``PROBLEM_TYPES``, which gives status and title."""

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.slug = slug
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}

    @property
    def status(self) -> int:
        """The HTTP status."""
        return PROBLEM_TYPES[self.slug].status

    def document(self, instance: str) -> dict[str, Any]:
        """Return the problem document. ``instance`` is the requested path, if it is known."""
        problem_type = PROBLEM_TYPES[self.slug]
        document: dict[str, Any] = {
            "type": type_url(self.slug),
            "title": problem_type.title,
            "status": problem_type.status,
            "detail": self.detail,
            "instance": instance,
        }
        if self.errors:
            document["errors"] = list(self.errors)
        if (seconds := self.headers.get("Retry-After")) is not None:
            # A batch response has one header for all its entities.
            document["retry_after_seconds"] = int(seconds)
        return document

    def response(self, instance: str) -> web.Response:
        """Return the problem document as a response."""
        return web.Response(
            status=self.status,
            body=json.dumps(self.document(instance)).encode(),
            content_type="application/problem+json",
            headers=self.headers,
        )


def retryable(slug: str, detail: str, retry_after_seconds: int) -> Problem:
    """Build a problem with ``Retry-After``."""
    return Problem(slug, detail, headers={"Retry-After": str(retry_after_seconds)})


def from_intake(error: Unavailable | Full | RunError) -> Problem:
    """Translate the reason why a request was not accepted.

    ``Unavailable.detail`` may contain addresses, so clients do not see it.
    """
    if isinstance(error, Unreadable):
        return Problem("record-unreadable", f"{error.detail}; only this entity is affected")
    if isinstance(error, RunError):
        return Problem("refused-by-aws", f"AWS refuses to store or send this: {error.detail}")
    if isinstance(error, Full):
        detail = f"{error}. Retry after {error.retry_after_seconds} s."
        return retryable("too-many-pending", detail, error.retry_after_seconds)
    cause = _UNAVAILABLE.get(error.part, f"the {error.part} is unreachable")
    detail = f"{cause}. Retry after {_UNAVAILABLE_SECONDS} s; retrying is safe."
    return retryable("unavailable", detail, _UNAVAILABLE_SECONDS)


_UNAVAILABLE = {
    "store": "DynamoDB is unreachable",
    "topics": "SNS is unreachable",
    "queue": "SQS is unreachable",
    "bulk_queue": "SQS is unreachable",
    "clock": "the clock of this daemon is wrong",
}


def from_aiohttp(error: web.HTTPException, request: web.Request) -> Problem:
    """Translate an error that aiohttp itself raises, for example for an unknown path."""
    match error:
        case web.HTTPNotFound():
            detail = f"no such path: {request.path[:200]}. See /openapi.json."
            return Problem("no-such-path", detail)
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return Problem(
                "method-not-allowed",
                f"{request.method[:20]} is not allowed here; use one of: {allowed}",
                headers={"Allow": allowed},
            )
        case web.HTTPRequestEntityTooLarge():
            return Problem("body-too-large", "the body must not be larger than 64 KiB")
        case web.HTTPExpectationFailed():
            return Problem("expectation-failed", "the only supported Expect is 100-continue")
        case _:
            return Problem("malformed-request", f"invalid request: {error.reason}")


def internal_error(request_id: str) -> Problem:
    """Build the problem of a bug in fraudd."""
    return Problem("internal", f"internal error; the log has details for request {request_id}")
