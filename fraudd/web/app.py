"""The aiohttp application: routes, and around them request ids, problems, access log, metrics."""

import random
import re
from collections.abc import Awaitable, Callable

from aiohttp import web

from fraudd import log
from fraudd.metrics import Metrics
from fraudd.ports import Clock, Unavailable
from fraudd.record import new_run_id
from fraudd.web.handlers import Handlers
from fraudd.web.problems import Problem, of_aiohttp, unavailable

#: A body is one entity and two options; this is room enough and nothing to fill memory with.
MAX_BODY_BYTES = 64 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(
    handlers: Handlers, *, metrics: Metrics, clock: Clock, rng: random.Random
) -> web.Application:
    """Put the application together."""

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = clock.monotonic()
        given = request.headers.get("X-Request-Id", "")
        request_id = (
            given if _REQUEST_ID.fullmatch(given) else new_run_id(clock.now(), rng.getrandbits(80))
        )
        response = await _answered(request, handler, request_id)
        response.headers["X-Request-Id"] = request_id
        response.headers["Server"] = "fraudd"
        seconds = clock.monotonic() - began
        route = request.match_info.route.resource
        path = route.canonical if route is not None else "unknown"
        # Methods are the caller's to invent: only the API's own become label values.
        method = request.method if route is not None and response.status != 405 else "other"
        metrics.http_seconds.labels(method, path, str(response.status)).observe(seconds)
        log.debug(
            "http.request",
            request_id=request_id,
            method=request.method,
            path=request.path,
            status=response.status,
            milliseconds=round(seconds * 1000, 1),
        )
        return response

    app = web.Application(middlewares=[around], client_max_size=MAX_BODY_BYTES)
    app.add_routes(handlers.routes())
    return app


async def _answered(request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
    """Call the handler; whatever it raises becomes a problem document."""
    try:
        return await handler(request)
    except Problem as error:
        problem = error
    except web.HTTPException as error:
        problem = of_aiohttp(error, request)
    except Unavailable as error:
        log.warning("http.unavailable", request_id=request_id, reason=str(error))
        problem = unavailable(f"the {error.part} is out of reach; ask again: it is safe")
    except Exception:
        log.error("http.bug", traceback=True, request_id=request_id, path=request.path)
        problem = Problem(500, "internal", f"an error of fraudd's own; request {request_id}")
    return problem.response(request.path)
