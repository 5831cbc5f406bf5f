"""The composition root: what there is, how it is wired, and the order in which it stops."""

import asyncio
import gc
import math
import os
import random
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web

from fraudd import __version__, log, systemd
from fraudd.answer import rfc3339
from fraudd.aws.dynamodb import DynamoDbStore
from fraudd.aws.session import Clients, open_clients
from fraudd.clock import SystemClock
from fraudd.config import Config
from fraudd.database.connections import Connections
from fraudd.engine import Engine
from fraudd.lag import LoopLag
from fraudd.metrics import Metrics
from fraudd.ports import Misconfigured
from fraudd.scoring import files, model
from fraudd.scoring.features import SqlFeatures
from fraudd.scoring.files import FeatureFiles
from fraudd.scoring.model import XgboostModel
from fraudd.web.app import make_app, request_ids
from fraudd.web.door import Door
from fraudd.web.handlers import Handlers
from fraudd.web.server import Runner, most_connections
from fraudd.wiring import (
    aws_terms,
    database_permits,
    database_server,
    engine_terms,
    sns_topics,
    sqs_queue,
    tokens,
)

#: Requests in hand get this long when the server closes; none takes as long.
_CLOSING_SECONDS = 5.0
#: Callers that come at once wait for so long as it takes to accept them.
_BACKLOG = 1024


async def serve(config: Config) -> None:
    """Run the daemon until SIGTERM or SIGINT, then drain; a second signal releases at once.

    Raises ``Misconfigured`` or ``Unavailable`` where it cannot start.
    """
    feature_files = files.load(config.features.directory)
    scorer = model.load(
        config.model.path,
        feature_files,
        review_threshold=config.model.review_threshold,
        block_threshold=config.model.block_threshold,
    )
    metrics = Metrics()
    with _listening(config) as listener:
        async with open_clients(aws_terms(config), metrics.aws_called, SystemClock()) as clients:
            daemon = Daemon(config, clients, feature_files, scorer, metrics)
            daemon.heed_signals()
            await daemon.check()
            # All that there is by now stays; to look through it for garbage takes as long as
            # several requests, and nothing else is done meanwhile.
            gc.collect()
            gc.freeze()
            await daemon.run(listener)


class Daemon:
    """Everything, built and wired; nothing happens before ``check`` and ``run``."""

    def __init__(
        self,
        config: Config,
        clients: Clients,
        feature_files: FeatureFiles,
        scorer: XgboostModel,
        metrics: Metrics,
    ) -> None:
        self._config = config
        self._metrics = metrics
        self._model = scorer
        self._clock = clock = SystemClock()
        # Ids are unique among all daemons: they come from the system's own randomness.
        self._rng = random.SystemRandom()
        self._started_at = clock.now()
        self._stopping = False

        self._store = DynamoDbStore(clients, config.results.table)
        self._topics = sns_topics(config, clients)
        self._queue = sqs_queue(config, clients, clock)
        self._permits = database_permits(config, clock)
        self._connections = Connections(database_server(config), self._permits, clock=clock)
        self._features = SqlFeatures(feature_files, self._connections, clock)

        self._engine = Engine(
            store=self._store,
            queue=self._queue,
            topics=self._topics,
            features=self._features,
            model=scorer,
            permits=self._permits,
            clock=clock,
            rng=self._rng,
            metrics=metrics,
            skew=clients.skew,
            terms=engine_terms(config),
        )
        self._door = Door(
            tokens=tokens(config),
            requests_per_second=config.http.requests_per_second,
            clock=clock,
        )
        self._lag = LoopLag(busy=lambda: bool(self._engine.consumers.jobs), clock=clock)

    async def check(self) -> None:
        """See that everything is there and fits, before anyone is told that we are ready."""
        await self._store.check()
        await self._queue.check()
        await self._topics.check()
        permit = await self._permits.acquire()
        try:
            await self._features.check(permit)
        finally:
            permit.release()
        # A canary: it shows that the model can be used, and spares the first caller its warm-up.
        self._model.score(dict.fromkeys(self._features.files.features, math.nan))
        if not self._model.same_sql:
            log.warning("model.other_sql", model=self._model.version, path=self._config.model.path)

    async def run(self, listener: socket.socket) -> None:
        """Serve and consume until told to stop; then the consumers drain, and HTTP closes last."""
        self._watch()
        new_id = request_ids(self._clock, self._rng)
        runner = Runner(
            self._app(new_id),
            new_id=new_id,
            most_connections=most_connections(),
            shutdown_timeout=_CLOSING_SECONDS,
        )
        await runner.setup()
        self._metrics.watch_http(lambda: self._door.in_hand, lambda: runner.connections)
        try:
            async with asyncio.TaskGroup() as background:
                watching = [
                    background.create_task(self._connections.close_idle()),
                    background.create_task(self._lag.run()),
                ]
                await web.SockSite(runner, listener, backlog=_BACKLOG).start()
                self._say_ready(listener)
                await self._engine.run()
                for task in watching:
                    task.cancel()
        finally:
            await runner.cleanup()
            await self._connections.close()
        log.info("daemon.stopped")

    def heed_signals(self) -> None:
        """Stop on SIGTERM and SIGINT; read the tokens again on SIGHUP."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self.reload)

    def reload(self) -> None:
        """Read the tokens again; where the file is wrong those of before stay good."""
        try:
            self._door.tokens = read = tokens(self._config)
        except Misconfigured as error:
            log.error("tokens.not_reloaded", problems=error.problems)
        else:
            log.info("tokens.reloaded", count=len(read) if read is not None else 0)

    def stop(self) -> None:
        """Begin to drain; called again, release at once."""
        if self._stopping:
            log.warning("daemon.releasing", jobs=len(self._engine.consumers.jobs))
            self._engine.release()
            return
        self._stopping = True
        systemd.notify("STOPPING=1", "STATUS=draining")
        log.info("daemon.stopping", jobs=len(self._engine.consumers.jobs))
        self._engine.stop()

    def _say_ready(self, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        log.info("daemon.ready", address=address, version=__version__, model=self._model.version)
        systemd.notify("READY=1", f"STATUS=serving at {address}")

    def _watch(self) -> None:
        self._metrics.describe(model=self._model.version)
        self._metrics.watch_permits(self._permits)
        self._metrics.watch_breaker(lambda: self._engine.breaker.state)
        self._metrics.watch_database(
            lambda: self._connections.open, lambda: self._permits.threads_running
        )
        self._metrics.watch_loop_lag(lambda: self._lag.seconds)

    def _app(self, new_id: Callable[[], str]) -> web.Application:
        handlers = Handlers(
            self._engine,
            metrics=self._metrics,
            status=self._status,
            unready=self._unready,
            aside=self._door.aside,
            max_wait_seconds=self._config.http.max_wait_seconds,
            test_entities=self._config.http.test_entities,
            authenticated=self._door.tokens is not None,
        )
        return make_app(
            handlers, door=self._door, metrics=self._metrics, clock=self._clock, new_id=new_id
        )

    def _unready(self) -> str | None:
        if self._stopping:
            return "this daemon is stopping"
        return self._engine.consumers.trouble

    def _status(self) -> Mapping[str, Any]:
        """What this daemon does right now: the body of ``GET /v1/status``."""
        consumers, sampler = self._engine.consumers, self._engine.sampler
        depth = sampler.depth
        now = self._clock.now()
        return {
            "version": __version__,
            "model": self._model.version,
            "state": "draining" if self._stopping else "serving",
            "started_at": rfc3339(self._started_at),
            "breaker": self._engine.breaker.state,
            "trouble": consumers.trouble,
            "permits": {
                "most": self._permits.most,
                "limit": self._permits.limit,
                "in_use": self._permits.in_use,
            },
            "database_connections": self._connections.open,
            "consumers": {"count": consumers.count, "busy": len(consumers.jobs)},
            "jobs": [
                {
                    "entity_id": job.entity_id,
                    "run_id": job.run_id,
                    "phase": job.phase,
                    "seconds": max(0, now - job.lease.message.received_at) / 1000,
                }
                for job in consumers.jobs
            ],
            "queue": depth and asdict(depth),
            "waiters": self._engine.waiters.count,
            "estimated_seconds": sampler.estimate(),
        }


def _listening(config: Config) -> socket.socket:
    """Take the address before anything else: another daemon there is the commonest mistake."""
    host, port = config.http.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise Misconfigured(
            f"cannot listen on {config.http.listen}: {os.strerror(error.errno or 0)};"
            " see [http] listen"
        ) from None
