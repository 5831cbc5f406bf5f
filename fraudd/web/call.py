"""The calls of the API. Each answers at once, unless asked to wait: nothing is computed here."""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from fraudd.engine.engine import Engine
from fraudd.telemetry.metrics import Metrics
from fraudd.web.handlers.batches import Batches
from fraudd.web.handlers.listings import Listings
from fraudd.web.handlers.predictions import Detached, Predictions
from fraudd.web.handlers.probes import Probes
from fraudd.web.openapi.document import Document
from fraudd.web.responses import Showing


class Handlers:
    """What the API offers, on what the daemon gives it.

    ``status`` says what the daemon does right now, ``unready`` why it should get no requests (None:
    it should). ``aside`` lets a request wait without a deadline, and without being in the way.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        metrics: Metrics,
        status: Callable[[], Mapping[str, Any]],
        unready: Callable[[], str | None],
        aside: Detached,
        max_wait_seconds: int,
        test_entities: bool,
        authenticated: bool,
    ) -> None:
        showing = Showing(estimate=engine.estimate, test_entities=test_entities)
        self._predictions = Predictions(
            intake=engine.intake,
            waiters=engine.waiters,
            showing=showing,
            aside=aside,
            max_wait_seconds=max_wait_seconds,
        )
        self._batches = Batches(
            intake=engine.intake, showing=showing, has_bulk_lane=engine.has_bulk_lane
        )
        self._lists = Listings(listing=engine.listing, showing=showing)
        self._operations = Probes(
            metrics=metrics,
            status=status,
            unready=unready,
            stalled=lambda: engine.consumers.stalled,
        )
        self._document = Document(authenticated=authenticated)

    def routes(self) -> list[web.RouteDef]:
        """Every call and its handler."""
        return [
            web.post("/v1/predictions", self._predictions.ask),
            web.get("/v1/predictions", self._lists.list),
            web.get("/v1/predictions/{entity_id}", self._predictions.look_up),
            web.delete("/v1/predictions/{entity_id}", self._predictions.forget),
            web.post("/v1/batches", self._batches.ask),
            web.get("/v1/status", self._operations.status),
            web.get("/healthz", self._operations.healthz),
            web.get("/readyz", self._operations.readyz),
            web.get("/metrics", self._operations.metrics),
            web.get("/openapi.json", self._document.answer),
        ]
