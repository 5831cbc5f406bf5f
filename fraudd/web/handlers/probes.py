"""What operators, balancers and Prometheus ask."""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from fraudd.telemetry.metrics import Metrics
from fraudd.web.problems import Problem
from fraudd.web.responses import answer

#: https://prometheus.io/docs/instrumenting/exposition_formats/
_PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Probes:
    """The calls about the daemon.

    ``status`` says what it does right now, ``unready`` why it should get no requests (None: it
    should), ``poll-loop-stalled`` whether it takes no messages although it should.
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
        self._deaf = stalled

    async def status(self, _: web.Request) -> web.Response:
        """Say what this daemon does right now."""
        return answer(self._status())

    async def healthz(self, _: web.Request) -> web.Response:
        """Say that the process answers and that its poll loop turns."""
        if self._deaf():
            raise Problem(
                503, "poll-loop-stalled", "this daemon should poll for messages, and does not"
            )
        return answer({"status": "alive"})

    async def readyz(self, _: web.Request) -> web.Response:
        """Say whether this daemon should get requests."""
        if (why := self._unready()) is not None:
            raise Problem(503, "not-ready", why)
        return answer({"status": "ready"})

    async def metrics(self, _: web.Request) -> web.Response:
        """Give the metrics to Prometheus."""
        return web.Response(
            body=self._metrics.exposition(), headers={"Content-Type": _PROMETHEUS_TEXT}
        )
