"""Requests that are rejected before routing: malformed, too slow, or too large.

Their responses are problem documents. They contain neither aiohttp's banner nor the client's bytes.
"""

from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import HttpVersion10, web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from fraudd.telemetry import log
from fraudd.web.problems import Problem, from_aiohttp
from fraudd.web.responses import add_default_headers

#: Maximum length of the request line. An entity or a cursor takes a few hundred bytes.
LINE_BYTES = 4_096
#: Maximum length of a header, number of headers, and length of all headers.
FIELD_BYTES, FIELDS, HEADER_BYTES = 8_190, 64, 32 * 1024

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def with_rejections(
    handler: Handler, new_id: Callable[[], str], draining: Callable[[], bool]
) -> Handler:
    """Wrap aiohttp's handler: reject HTTP/0.9, and turn aiohttp's own errors into problems.

    aiohttp raises some errors before any middleware runs, for example for ``Expect: x``. While
    ``draining()``, every response closes its connection.
    """

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        try:
            if request.version >= HttpVersion10:
                response = await handler(request)
                if draining():
                    response.force_close()
                return response
            problem = parser_problem(None)
        except web.HTTPException as error:
            problem = from_aiohttp(error, cast(web.Request, request))
        request_id = new_id()
        log_rejected(problem.slug, request_id, request.remote)
        return closing_response(problem, request_id)

    return handle


def closing_response(problem: Problem, request_id: str) -> web.Response:
    """Respond to a request that was rejected before routing, then close the connection."""
    response = problem.response("")
    add_default_headers(response.headers, request_id)
    response.force_close()
    return response


def log_rejected(error: str, request_id: str, address: str | None) -> None:
    """Log a request that was rejected before routing."""
    log.info("http.malformed", error=error, request_id=request_id, address=address)


def parser_problem(error: BaseException | None) -> Problem:
    """Build the problem of a request that aiohttp's parser rejected."""
    if isinstance(error, LineTooLong):
        if error.args[1] == LINE_BYTES:
            return Problem("uri-too-long", f"the URL must be shorter than {LINE_BYTES} bytes")
        return headers_too_large()
    if isinstance(error, HttpProcessingError) and error.message.startswith("Too many headers"):
        return headers_too_large()
    return Problem("malformed-request", "the request is not valid HTTP/1.1 (RFC 9112)")


def headers_too_large() -> Problem:
    """Build the problem of headers that exceed a limit."""
    return Problem(
        "headers-too-large",
        f"a request may have up to {FIELDS} headers, each shorter than {FIELD_BYTES} bytes,"
        f" and shorter than {HEADER_BYTES} bytes in total",
    )
