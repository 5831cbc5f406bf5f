"""The aiohttp application: routes, and the steps around every request."""

import asyncio
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from fraudd.engine.engine import Engine
from fraudd.errors import Full, RunError, Unavailable
from fraudd.ports import Clock
from fraudd.prediction.formats import TRACEPARENT, new_ulid, parse_traceparent
from fraudd.telemetry import log
from fraudd.telemetry.metrics import Metrics
from fraudd.web.admission import Admission
from fraudd.web.auth import needed_scope, reject_token_in_url
from fraudd.web.handlers.batches import Batches
from fraudd.web.handlers.listings import Listings
from fraudd.web.handlers.predictions import Detach, Predictions
from fraudd.web.handlers.probes import Probes
from fraudd.web.openapi.document import Document
from fraudd.web.problems import Problem, from_aiohttp, from_intake, internal_error
from fraudd.web.responses import PredictionSerializer, add_default_headers

#: A batch of 100 entities needs less than half of this.
MAX_BODY_BYTES = 64 * 1024
#: A slow mobile line sends 64 KiB within this time.
BODY_SECONDS = 10.0
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
#: Machines request these paths all the time, so they are logged at debug level only.
_PROBES = frozenset({"/healthz", "/readyz", "/metrics"})


def routes(
    engine: Engine,
    *,
    metrics: Metrics,
    status: Callable[[], Mapping[str, Any]],
    unready: Callable[[], str | None],
    detached: Detach,
    max_wait_seconds: int,
    test_entities: bool,
    authenticated: bool,
) -> list[web.RouteDef]:
    """Return every route of the API and its handler.

    ``status`` returns the body of ``GET /v1/status``. ``unready`` returns why this daemon should
    not receive requests, or None.
    """
    serializer = PredictionSerializer(estimate=engine.estimate, test_entities=test_entities)
    predictions = Predictions(
        intake=engine.intake,
        waiters=engine.waiters,
        serializer=serializer,
        detached=detached,
        max_wait_seconds=max_wait_seconds,
    )
    batches = Batches(
        intake=engine.intake, serializer=serializer, has_bulk_lane=engine.has_bulk_lane
    )
    listings = Listings(listing=engine.listing, serializer=serializer)
    probes = Probes(
        metrics=metrics,
        status=status,
        unready=unready,
        stalled=lambda: engine.consumers.stalled,
    )
    document = Document(authenticated=authenticated)
    return [
        web.post("/v1/predictions", predictions.create),
        web.get("/v1/predictions", listings.list),
        web.get("/v1/predictions/{entity_id}", predictions.get),
        web.delete("/v1/predictions/{entity_id}", predictions.delete),
        web.post("/v1/batches", batches.create),
        web.get("/v1/status", probes.get_status),
        web.get("/metrics", probes.get_metrics),
        web.get("/healthz", probes.get_liveness),
        web.get("/readyz", probes.get_readiness),
        web.get("/openapi.json", document.get),
    ]


def make_app(
    api: Sequence[web.RouteDef],
    *,
    admission: Admission,
    metrics: Metrics,
    clock: Clock,
    new_id: Callable[[], str],
) -> web.Application:
    """Build the application. ``new_id`` makes an ID for a request that has none."""
    pipeline = _Pipeline(admission, metrics, clock, new_id)
    app = web.Application(middlewares=[web.middleware(pipeline)], client_max_size=MAX_BODY_BYTES)
    app.add_routes(api)
    return app


def request_ids(clock: Clock, rng: random.Random) -> Callable[[], str]:
    """Return a function that makes request IDs."""
    return lambda: new_ulid(clock.now(), rng.getrandbits(80))


class _Context:
    """A request that is being served, and facts about it for the log."""

    __slots__ = ("began", "request", "request_id", "route", "token")

    def __init__(self, request: web.Request, request_id: str, began: float) -> None:
        self.request = request
        self.request_id = request_id
        self.began = began
        resource = request.match_info.route.resource
        #: The path of the matching route, for example ``/v1/predictions/{entity_id}``.
        self.route = resource.canonical if resource is not None else None
        #: The name of the client's token.
        self.token: str | None = None

    def fields(self, now: float) -> dict[str, object]:
        """Return the fields of every log event about the request."""
        request = self.request
        return {
            "request_id": self.request_id,
            "method": request.method,
            # The query may contain a token by mistake, so it is not logged.
            "path": request.path[:200],
            "milliseconds": round((now - self.began) * 1000, 1),
            "address": request.remote,
            "token": self.token,
        }


class _Pipeline:
    """The steps around every request: ID, trace, admission, errors, headers, metrics, log."""

    def __init__(
        self, admission: Admission, metrics: Metrics, clock: Clock, new_id: Callable[[], str]
    ) -> None:
        self._admission = admission
        self._metrics = metrics
        self._clock = clock
        self._new_id = new_id

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        began = self._clock.monotonic()
        request_id = request.headers.get("X-Request-Id", "")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = self._new_id()
        log.trace(parse_traceparent(request.headers.get(TRACEPARENT)))
        context = _Context(request, request_id, began)
        try:
            response = await self._respond(context, handler)
        except asyncio.CancelledError:
            log.info("http.aborted", **context.fields(self._clock.monotonic()))
            raise
        add_default_headers(response.headers, request_id)
        now = self._clock.monotonic()
        # Clients may invent methods, so only those of the API become label values.
        known = context.route is not None and response.status != 405
        self._metrics.http_answered(
            request.method if known else "other",
            context.route or "unknown",
            str(response.status),
            now - began,
        )
        (log.debug if context.route in _PROBES else log.info)(
            "http.request", **context.fields(now), status=response.status
        )
        return response

    async def _respond(self, context: _Context, handler: Handler) -> web.StreamResponse:
        """Call the handler. Every error becomes a problem document."""
        request, request_id = context.request, context.request_id
        try:
            return await self._admit_and_serve(context, handler)
        except Problem as error:
            problem = error
        except web.HTTPException as error:
            problem = from_aiohttp(error, request)
        except Full as error:
            problem = from_intake(error)
        except Unavailable as error:
            log.warning("http.unavailable", request_id=request_id, error=str(error))
            problem = from_intake(error)
        except RunError as error:
            log.error("http.refused", request_id=request_id, error=str(error))
            problem = from_intake(error)
        except Exception:
            log.error("http.bug", traceback=True, request_id=request_id, path=request.path)
            problem = internal_error(request_id)
        return problem.response(request.rel_url.raw_path)

    async def _admit_and_serve(self, context: _Context, handler: Handler) -> web.StreamResponse:
        request = context.request
        self._admission.check_host(request)
        reject_token_in_url(request)
        scope = needed_scope(request.method, context.route)
        # The OpenAPI document is public, so the methods of a path are no secret.
        unknown_method = isinstance(request.match_info.http_exception, web.HTTPMethodNotAllowed)
        if scope is None or unknown_method:
            return await handler(request)
        context.token = self._admission.admit(request, scope, context.request_id)
        if request.can_read_body:
            await _read_body(request)
        return await self._admission.serve(request, handler)


async def _read_body(request: web.Request) -> None:
    """Read the body. The handler finds it in the request. Raises ``Problem`` 400, 408, or 415."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Problem("unsupported-media-type", "send the body without a Content-Encoding")
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(max_size=MAX_BODY_BYTES, actual_size=MAX_BODY_BYTES + 1)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            await request.read()
    except TimeoutError:
        detail = f"the body did not arrive within {BODY_SECONDS:g} s"
        raise Problem("slow-request", detail) from None
    except (web.RequestPayloadError, ConnectionError):
        raise Problem("malformed-request", "the body does not match its headers") from None
