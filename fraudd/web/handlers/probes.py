"""Operations for operators, load balancers, and Prometheus."""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from fraudd.telemetry.metrics import Metrics
from fraudd.web.problems import Problem
from fraudd.web.responses import json_response

#: https://prometheus.io/docs/instrumenting/exposition_formats/
_PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Probes:
    """The operations on the daemon.

    ``status`` returns the body of ``GET /v1/status``. ``unready`` returns why this daemon should
    not receive requests, or None. ``stalled`` says whether the poll loop has stalled.
    """

    def __init__(
        self,
        *,
        metrics: Metrics,
        status: Callable[[], Mapping[str, Any]],
        unready: Callable[[], str | None],
        stalled: Callable[[], bool],
    ) -> None:
        self._metrics = metrics
        self._status = status
        self._unready = unready
        self._stalled = stalled

    async def get_status(self, _: web.Request) -> web.Response:
        """Return the current state of this daemon."""
        return json_response(self._status())

    async def get_metrics(self, _: web.Request) -> web.Response:
        """Return the metrics in the format of Prometheus."""
        return web.Response(
            body=self._metrics.exposition(), headers={"Content-Type": _PROMETHEUS_TEXT}
        )

    async def get_liveness(self, _: web.Request) -> web.Response:
        """Return whether the process responds and its poll loop runs."""
        if self._stalled():
            raise Problem(
                "poll-loop-stalled", "the poll loop has stalled; this daemon receives no messages"
            )
        return json_response({"status": "alive"})

    async def get_readiness(self, _: web.Request) -> web.Response:
        """Return whether this daemon should receive requests."""
        if (reason := self._unready()) is not None:
            raise Problem("not-ready", reason)
        return json_response({"status": "ready"})
