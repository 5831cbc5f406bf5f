"""What is refused before any handler sees it, as problem documents: nonsense, and too much of it.

Without aiohttp's banner, and without an echo of what was sent.
"""

from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import HttpVersion10, web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from fraudd.telemetry import log
from fraudd.web.headers import complete
from fraudd.web.problems import Problem, of_aiohttp

#: The longest request line: an entity, or a cursor, takes a few hundred bytes.
LINE_BYTES = 4_096
#: One header, so many of them, and all together.
FIELD_BYTES, FIELDS, HEADER_BYTES = 8_190, 64, 32 * 1024

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def refusals_as_problems(
    answer: Answer, new_id: Callable[[], str], parting: Callable[[], bool]
) -> Answer:
    """Refuse HTTP/0.9; and what aiohttp refuses before any middleware sees it, as ``Expect: x``.

    While ``parting`` an answer is the last of its connection.
    """

    async def answered(request: web.BaseRequest) -> web.StreamResponse:
        try:
            if request.version >= HttpVersion10:
                response = await answer(request)
                if parting():
                    response.force_close()
                return response
            problem = malformed(None)
        except web.HTTPException as error:
            problem = of_aiohttp(error, cast(web.Request, request))
        request_id = new_id()
        log_malformed(problem.slug, request_id, request.remote)
        return last_answer(problem, request_id)

    return answered


def last_answer(problem: Problem, request_id: str) -> web.Response:
    """Give the answer to what no handler saw; the connection ends with it."""
    response = problem.response("")
    complete(response.headers, request_id)
    response.force_close()
    return response


def log_malformed(reason: str, request_id: str, address: str | None) -> None:
    """Log what no handler saw; whoever was answered names it by the request's id."""
    log.info("http.malformed", error=reason, request_id=request_id, address=address)


def malformed(error: BaseException | None) -> Problem:
    """Say what the parser refused, without a word of what was sent."""
    if isinstance(error, LineTooLong):
        if error.args[1] == LINE_BYTES:
            return Problem(414, "uri-too-long", f"the URL must be under {LINE_BYTES} bytes")
        return too_large()
    if isinstance(error, HttpProcessingError) and error.message.startswith("Too many headers"):
        return too_large()
    return Problem(400, "malformed-request", "this is not HTTP/1.1 as RFC 9112 has it")


def too_large() -> Problem:
    """Say how large headers may be."""
    return Problem(
        431,
        "headers-too-large",
        f"headers must be {FIELDS} at most, each under {FIELD_BYTES} bytes,"
        f" together under {HEADER_BYTES}",
    )
