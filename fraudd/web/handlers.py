"""The calls of the API. Each answers at once: nothing is computed here."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from fraudd.answer import body
from fraudd.intake import Intake
from fraudd.metrics import Metrics
from fraudd.web.bodies import entity_id_of_path, prediction_request
from fraudd.web.problems import Problem

#: https://prometheus.io/docs/instrumenting/exposition_formats/
_PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Handlers:
    """What the API offers, on what the daemon gives it.

    ``estimate`` gives the seconds until a run pending now will have ended, ``status`` what the
    daemon does right now, ``unready`` why it should get no requests (None: it should), ``deaf``
    whether it takes no messages although it should.
    """

    def __init__(
        self,
        *,
        intake: Intake,
        metrics: Metrics,
        estimate: Callable[[], int],
        status: Callable[[], Mapping[str, Any]],
        unready: Callable[[], str | None],
        deaf: Callable[[], bool],
    ) -> None:
        self._intake = intake
        self._metrics = metrics
        self._estimate = estimate
        self._status = status
        self._unready = unready
        self._deaf = deaf

    def routes(self) -> list[web.RouteDef]:
        """Every call and its handler."""
        return [
            web.post("/v1/predictions", self.ask),
            web.get("/v1/predictions/{entity_id}", self.look_up),
            web.delete("/v1/predictions/{entity_id}", self.forget),
            web.get("/v1/status", self.status),
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.metrics),
        ]

    async def ask(self, request: web.Request) -> web.Response:
        """Give the stored result, or start a run."""
        asked = await prediction_request(request)
        answer = await self._intake.ask(
            asked.entity_id, max_age_seconds=asked.max_age_seconds, force=asked.force
        )
        match answer.status:
            case "done":
                return _json(body(answer.record))
            case "failed":
                headers = {"Retry-After": str(answer.retry_after_seconds)}
                return _json(body(answer.record), headers=headers)
            case "started" | "calculating":
                seconds = self._estimate()
                pending = body(answer.record, status=answer.status, estimated_seconds=seconds)
                location = f"/v1/predictions/{asked.entity_id}"
                headers = {"Location": location, "Retry-After": str(seconds)}
                return _json(pending, status=202, headers=headers)

    async def look_up(self, request: web.Request) -> web.Response:
        """Give what the record says; starts nothing."""
        entity_id = entity_id_of_path(request)
        record = await self._intake.look_up(entity_id)
        if record is None:
            raise Problem(
                404, "never-asked", f"no score was ever asked for {entity_id}: POST first"
            )
        if not record.pending:
            return _json(body(record))
        seconds = self._estimate()
        pending = body(record, estimated_seconds=seconds)
        return _json(pending, headers={"Retry-After": str(seconds)})

    async def forget(self, request: web.Request) -> web.Response:
        """Forget the entity, known or not."""
        await self._intake.forget(entity_id_of_path(request))
        return web.Response(status=204)

    async def status(self, _: web.Request) -> web.Response:
        """Say what this daemon does right now."""
        return _json(self._status())

    async def healthz(self, _: web.Request) -> web.Response:
        """Say that the process answers and that its poll loop turns."""
        if self._deaf():
            raise Problem(503, "deaf", "this daemon should poll for messages, and does not")
        return _json({"status": "alive"})

    async def readyz(self, _: web.Request) -> web.Response:
        """Say whether this daemon should get requests."""
        if (why := self._unready()) is not None:
            raise Problem(503, "not-ready", why)
        return _json({"status": "ready"})

    async def metrics(self, _: web.Request) -> web.Response:
        """Give the metrics to Prometheus."""
        return web.Response(
            body=self._metrics.exposition(), headers={"Content-Type": _PROMETHEUS_TEXT}
        )


def _json(
    value: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps(value).encode(),
        content_type="application/json",
        headers=headers,
    )
