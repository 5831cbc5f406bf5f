"""The HTTP side of the daemon: admission, application, and server, from the first byte to drain."""

import random
import socket
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from fraudd.config import Config
from fraudd.daemon.listener import BACKLOG
from fraudd.engine.engine import Engine
from fraudd.errors import Misconfigured
from fraudd.ports import Clock
from fraudd.telemetry import log
from fraudd.telemetry.metrics import Metrics
from fraudd.web.admission import Admission
from fraudd.web.app import make_app, request_ids, routes
from fraudd.web.server.drain import MAX_SECONDS as _DRAIN_SECONDS
from fraudd.web.server.server import Runner, max_connections
from fraudd.wiring import tokens

#: Time for requests that are left after the drain. No request takes this long.
_CLOSING_SECONDS = 5.0
#: Longest time from the start of the drain to the end of the last response.
MAX_STOP_SECONDS = _DRAIN_SECONDS + _CLOSING_SECONDS


class HttpServer:
    """Serves the API. ``status`` gives the body of ``/v1/status``.

    ``unready`` says why ``/readyz`` should fail, or gives None.
    """

    def __init__(
        self,
        config: Config,
        engine: Engine,
        *,
        metrics: Metrics,
        status: Callable[[], Mapping[str, Any]],
        unready: Callable[[], str | None],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._config = config
        self._engine = engine
        self._metrics = metrics
        self._status = status
        self._unready = unready
        self._clock = clock
        self._rng = rng
        self._runner: Runner | None = None
        self._admission = Admission(
            tokens=tokens(config),
            requests_per_second=config.http.requests_per_second,
            clock=clock,
        )

    @property
    def requests_in_flight(self) -> int:
        """The number of requests being processed, without those that only wait for a run."""
        return self._admission.in_flight

    @property
    def connections(self) -> int:
        """The number of open client connections."""
        return 0 if self._runner is None else self._runner.connections

    async def start(self, listening: socket.socket) -> None:
        """Accept connections."""
        new_id = request_ids(self._clock, self._rng)
        self._runner = Runner(
            self._app(new_id),
            new_id=new_id,
            max_connections=max_connections(),
            shutdown_timeout=_CLOSING_SECONDS,
        )
        await self._runner.setup()
        await web.SockSite(self._runner, listening, backlog=BACKLOG).start()

    def announce_drain(self) -> None:
        """Make each response from now on the last of its connection, and go on serving."""
        if self._runner is not None:
            self._runner.start_drain()

    async def drain(self, listening: socket.socket, *, patient: bool) -> None:
        """Accept no more connections, and close the open ones without losing a request."""
        assert self._runner is not None, "it was started"
        await self._runner.drain(listening, patient=patient)

    async def close(self) -> None:
        """Close the connections that are left."""
        if self._runner is not None:
            await self._runner.cleanup()

    def reload_tokens(self) -> None:
        """Read the token file again. If it is wrong, the old tokens stay valid."""
        try:
            self._admission.tokens = valid = tokens(self._config)
        except Misconfigured as error:
            log.error("tokens.reload_refused", problems=error.problems)
        else:
            log.info("tokens.reloaded", count=0 if valid is None else len(valid))

    def _app(self, new_id: Callable[[], str]) -> web.Application:
        api = routes(
            self._engine,
            metrics=self._metrics,
            status=self._status,
            unready=self._unready,
            detached=self._admission.detached,
            max_wait_seconds=self._config.http.max_wait_seconds,
            test_entities=self._config.http.test_entities,
            authenticated=self._admission.tokens is not None,
        )
        return make_app(
            api,
            admission=self._admission,
            metrics=self._metrics,
            clock=self._clock,
            new_id=new_id,
        )
