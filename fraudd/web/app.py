"""The aiohttp application: routes, and around them all that goes for every request."""

import asyncio
import random
import re
from collections.abc import Callable

from aiohttp import web

from fraudd.errors import Full, Unavailable
from fraudd.ports import Clock
from fraudd.prediction.formats import TRACEPARENT, new_ulid, parse_traceparent
from fraudd.telemetry import log
from fraudd.telemetry.metrics import Metrics
from fraudd.web.admission import Admission, Handler, refuse_token_in_url
from fraudd.web.auth import needed_scope
from fraudd.web.call import Handlers
from fraudd.web.headers import complete
from fraudd.web.problems import Problem, of_aiohttp, of_intake

#: A body is one entity and two options; this is room enough and nothing to fill memory with.
MAX_BODY_BYTES = 64 * 1024
#: Within it the slowest line in use brings a body of that size.
BODY_SECONDS = 10.0
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
#: Asked all the time, by machines: nothing to read in a log.
_PROBES = frozenset({"/healthz", "/readyz", "/metrics"})


def request_ids(clock: Clock, rng: random.Random) -> Callable[[], str]:
    """Make ids for requests that bring none."""
    return lambda: new_ulid(clock.now(), rng.getrandbits(80))


def make_app(
    handlers: Handlers,
    *,
    admission: Admission,
    metrics: Metrics,
    clock: Clock,
    new_id: Callable[[], str],
) -> web.Application:
    """Put the application together."""

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = clock.monotonic()
        given = request.headers.get("X-Request-Id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else new_id()
        log.trace(parse_traceparent(request.headers.get(TRACEPARENT)))
        visit = _Visit(admission, request, request_id)
        try:
            response = await visit.answered(handler)
        except asyncio.CancelledError:
            log.info(
                "http.aborted",
                request_id=request_id,
                method=request.method,
                path=request.path[:200],
                milliseconds=round((clock.monotonic() - began) * 1000, 1),
                address=request.remote,
                token=visit.token,
            )
            raise
        complete(response.headers, request_id)
        seconds = clock.monotonic() - began
        route = _route(request)
        # Methods are the caller's to invent: only the API's own become label values.
        method = request.method if route is not None and response.status != 405 else "other"
        status = str(response.status)
        metrics.http_answered(method, route or "unknown", status, seconds)
        (log.debug if route in _PROBES else log.info)(
            "http.request",
            request_id=request_id,
            method=request.method,
            # Without the query: what is in it by mistake, as a token, stays out of the log.
            path=request.path[:200],
            status=response.status,
            milliseconds=round(seconds * 1000, 1),
            address=request.remote,
            token=visit.token,
        )
        return response

    app = web.Application(middlewares=[around], client_max_size=MAX_BODY_BYTES)
    app.add_routes(handlers.routes())
    return app


class _Visit:
    """One request, from the door to its answer."""

    def __init__(self, admission: Admission, request: web.Request, request_id: str) -> None:
        self._admission = admission
        self._request = request
        self._request_id = request_id
        #: The name of the caller's token, where it needed one.
        self.token: str | None = None

    async def answered(self, handler: Handler) -> web.StreamResponse:
        """Call the handler; whatever it raises becomes a problem document."""
        request, request_id = self._request, self._request_id
        try:
            return await self._handled(handler)
        except Problem as error:
            problem = error
        except web.HTTPException as error:
            problem = of_aiohttp(error, request)
        except Full as error:
            problem = of_intake(error)
        except Unavailable as error:
            log.warning("http.unavailable", request_id=request_id, error=str(error))
            problem = of_intake(error)
        except Exception:
            log.error("http.bug", traceback=True, request_id=request_id, path=request.path)
            problem = Problem(500, "internal", f"an error of fraudd's own; request {request_id}")
        return problem.response(request.rel_url.raw_path)

    async def _handled(self, handler: Handler) -> web.StreamResponse:
        request = self._request
        refuse_token_in_url(request)
        scope = needed_scope(request.method, _route(request))
        # Which methods a path has is in the document, which anybody may read.
        unknown_method = isinstance(request.match_info.http_exception, web.HTTPMethodNotAllowed)
        if scope is None or unknown_method:
            return await handler(request)
        self.token = self._admission.admit(request, scope, self._request_id)
        if request.can_read_body:
            await _read(request)
        return await self._admission.served(request, handler)


def _route(request: web.Request) -> str | None:
    """Give the route that was found, as ``/v1/predictions/{entity_id}``; None: there is none."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else None


async def _read(request: web.Request) -> None:
    """Read the body, for the handler to find. Raises ``Problem`` 400, 408, 413 or 415."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Problem(415, "unsupported-media-type", "send the body without a Content-Encoding")
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(max_size=MAX_BODY_BYTES, actual_size=MAX_BODY_BYTES + 1)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            await request.read()
    except TimeoutError:
        raise Problem(408, "too-slow", f"the body did not come within {BODY_SECONDS:g} s") from None
    except (web.RequestPayloadError, ConnectionError):
        raise Problem(400, "malformed-request", "the body is not what its headers say") from None
