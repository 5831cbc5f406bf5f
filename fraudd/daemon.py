"""The composition root: what there is, how it is wired, and the order in which it stops."""

import asyncio
import math
import os
import random
import signal
import socket
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web

from fraudd import __version__, log, systemd
from fraudd.answer import rfc3339
from fraudd.aws.dynamodb import DynamoDbStore
from fraudd.aws.session import Clients, open_clients
from fraudd.aws.sns import SnsTopics
from fraudd.aws.sqs import SqsQueue
from fraudd.claiming import Claiming
from fraudd.clock import SystemClock
from fraudd.config import Config
from fraudd.consumers import Consumers
from fraudd.database.connections import Connections
from fraudd.database.permits import Permits
from fraudd.intake import Intake
from fraudd.job import Worker
from fraudd.limiter import RunTimes
from fraudd.metrics import Metrics
from fraudd.ports import Misconfigured
from fraudd.sampler import DepthSampler
from fraudd.scoring import files, model
from fraudd.scoring.features import SqlFeatures
from fraudd.scoring.files import FeatureFiles
from fraudd.scoring.model import XgboostModel
from fraudd.settlement import Settlement
from fraudd.web.app import make_app
from fraudd.web.handlers import Handlers
from fraudd.wiring import aws_terms, database_server

_DAY_SECONDS = 24 * 3600.0
#: Requests in hand get this long when the server closes; none takes as long.
_CLOSING_SECONDS = 5.0


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
        async with open_clients(aws_terms(config), metrics.aws_called) as clients:
            daemon = Daemon(config, clients, feature_files, scorer, metrics)
            daemon.heed_signals()
            await daemon.check()
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
        self._run_times = RunTimes()
        self._started_at = clock.now()
        self._stopping = False

        self._store = DynamoDbStore(clients, config.results.table)
        self._topics = SnsTopics(
            clients,
            requests_arn=config.topics.requests_arn,
            completions_arn=config.topics.completions_arn,
        )
        self._queue = SqsQueue(
            clients,
            url=config.queue.url,
            dead_letter_url=config.queue.dead_letter_url,
            wait_seconds=config.queue.wait_seconds,
            visibility_timeout_seconds=config.queue.visibility_timeout_seconds,
            clock=clock,
        )
        limit = config.database.max_connections
        self._permits = Permits(limit)
        self._connections = Connections(database_server(config.database), limit=limit, clock=clock)
        self._features = SqlFeatures(feature_files, self._connections)

        self._sampler = DepthSampler(
            queue=self._queue,
            permits=self._permits,
            run_times=self._run_times,
            metrics=metrics,
            fleet=config.consumers.fleet,
        )
        self._intake = Intake(
            store=self._store,
            topics=self._topics,
            clock=clock,
            rng=self._rng,
            default_max_age_seconds=config.http.default_max_age_seconds,
            retry_failed_after_seconds=config.jobs.retry_failed_after_seconds,
        )
        self._consumers = Consumers(
            queue=self._queue,
            permits=self._permits,
            worker=self._worker(),
            rng=self._rng,
            metrics=metrics,
            count=config.consumer_count,
            drain_seconds=config.consumers.drain_seconds,
            backoff_base_seconds=config.jobs.backoff_base_seconds,
            backoff_max_seconds=config.jobs.backoff_max_seconds,
        )

    def _worker(self) -> Worker:
        """What the consumers do with a message, from its claim to its settlement."""
        config = self._config
        settlement = Settlement(
            store=self._store,
            queue=self._queue,
            topics=self._topics,
            clock=self._clock,
            metrics=self._metrics,
            result_ttl_seconds=config.results.result_ttl_days * _DAY_SECONDS,
            failed_ttl_seconds=config.results.failed_ttl_days * _DAY_SECONDS,
            source=f"urn:fraudd:{config.results.table}",
        )
        claiming = Claiming(
            store=self._store,
            intake=self._intake,
            settlement=settlement,
            clock=self._clock,
            rng=self._rng,
            visibility_timeout_seconds=config.queue.visibility_timeout_seconds,
            max_attempts=config.consumers.max_attempts,
            max_wait_seconds=config.jobs.max_wait_seconds,
        )
        return Worker(
            claiming=claiming,
            settlement=settlement,
            features=self._features,
            model=self._model,
            clock=self._clock,
            rng=self._rng,
            metrics=self._metrics,
            run_times=self._run_times,
            job_timeout_seconds=config.consumers.job_timeout_seconds,
            max_attempts=config.consumers.max_attempts,
            backoff_base_seconds=config.jobs.backoff_base_seconds,
            backoff_max_seconds=config.jobs.backoff_max_seconds,
        )

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
        runner = web.AppRunner(
            self._app(), access_log=None, shutdown_timeout=_CLOSING_SECONDS, handle_signals=False
        )
        await runner.setup()
        try:
            async with asyncio.TaskGroup() as background:
                tasks = [
                    background.create_task(self._sampler.run()),
                    background.create_task(self._connections.close_idle()),
                ]
                await web.SockSite(runner, listener).start()
                self._say_ready(listener)
                await self._consumers.run()
                for task in tasks:
                    task.cancel()
        finally:
            await runner.cleanup()
            await self._connections.close()
        log.info("daemon.stopped")

    def heed_signals(self) -> None:
        """Stop on SIGTERM and SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)

    def stop(self) -> None:
        """Begin to drain; called again, release at once."""
        if self._stopping:
            log.warning("daemon.releasing", jobs=len(self._consumers.jobs))
            self._consumers.release()
            return
        self._stopping = True
        systemd.notify("STOPPING=1", "STATUS=draining")
        log.info("daemon.stopping", jobs=len(self._consumers.jobs))
        self._consumers.stop()

    def _say_ready(self, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        log.info("daemon.ready", address=address, version=__version__, model=self._model.version)
        systemd.notify("READY=1", f"STATUS=serving at {address}")

    def _watch(self) -> None:
        self._metrics.describe(model=self._model.version)
        self._metrics.watch_permits(lambda: self._permits.in_use, lambda: self._permits.limit)
        self._metrics.watch_connections(lambda: self._connections.open)

    def _app(self) -> web.Application:
        handlers = Handlers(
            intake=self._intake,
            metrics=self._metrics,
            estimate=self._sampler.estimate,
            status=self._status,
            unready=self._unready,
        )
        return make_app(handlers, metrics=self._metrics, clock=self._clock, rng=self._rng)

    def _unready(self) -> str | None:
        if self._stopping:
            return "this daemon is stopping"
        return self._consumers.trouble

    def _status(self) -> Mapping[str, Any]:
        """What this daemon does right now: the body of ``GET /v1/status``."""
        depth = self._sampler.depth
        now = self._clock.now()
        return {
            "version": __version__,
            "model": self._model.version,
            "state": "draining" if self._stopping else "serving",
            "started_at": rfc3339(self._started_at),
            "trouble": self._consumers.trouble,
            "permits": {"limit": self._permits.limit, "in_use": self._permits.in_use},
            "database_connections": self._connections.open,
            "consumers": {"count": self._consumers.count, "busy": len(self._consumers.jobs)},
            "jobs": [
                {
                    "entity_id": job.entity_id,
                    "run_id": job.run_id,
                    "phase": job.phase,
                    "seconds": max(0, now - job.message.received_at) / 1000,
                }
                for job in self._consumers.jobs
            ],
            "queue": depth and asdict(depth),
            "estimated_seconds": self._sampler.estimate(),
        }


def _listening(config: Config) -> socket.socket:
    """Take the address before anything else: another daemon there is the commonest mistake."""
    host, port = config.http.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise Misconfigured(
            f"cannot listen on {config.http.listen}: {os.strerror(error.errno or 0)};"
            " see [http] listen"
        ) from None
