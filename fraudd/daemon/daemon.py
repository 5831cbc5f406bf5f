"""The composition root: what there is, how it is wired, and the order in which it stops."""

import asyncio
import faulthandler
import gc
import random
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web

from fraudd import __version__
from fraudd.aws.dynamodb import DynamoDbStore
from fraudd.aws.session import Clients, open_clients
from fraudd.clock import SystemClock
from fraudd.config import Config
from fraudd.daemon import scorers as loading
from fraudd.daemon import systemd
from fraudd.daemon.listener import BACKLOG, address_of, listener
from fraudd.daemon.loop_lag import LoopLag
from fraudd.daemon.reload import Reloads
from fraudd.daemon.scorers import Loaded, Scorers
from fraudd.daemon.status_line import Doing, Phase, status_line
from fraudd.daemon.watchdog import Watchdog
from fraudd.database.connections import Connections
from fraudd.engine.engine import Engine
from fraudd.errors import Misconfigured
from fraudd.ports import Depth, Ports
from fraudd.prediction.formats import rfc3339
from fraudd.prediction.record import Lane
from fraudd.telemetry import log
from fraudd.telemetry.metrics import Metrics
from fraudd.web.admission import Admission
from fraudd.web.app import make_app, request_ids
from fraudd.web.call import Handlers
from fraudd.web.server.drain import MAX_SECONDS as PARTING_SECONDS
from fraudd.web.server.server import Runner, max_connections
from fraudd.wiring import (
    aws_terms,
    check_queues,
    database_permits,
    database_server,
    engine_terms,
    longest_stop_seconds,
    sns_topics,
    sqs_queues,
    tokens,
)

#: What is still answered after the parting gets this long; nothing takes as long.
_CLOSING_SECONDS = 5.0
#: Where the status shows what lies in each lane's queue.
_DEPTHS: Mapping[Lane, str] = {"interactive": "queue", "bulk": "bulk_queue"}


async def serve(config: Config) -> None:
    """Run the daemon until SIGTERM or SIGINT, then drain; a second signal releases at once.

    Raises ``Misconfigured`` or ``Unavailable`` where it cannot start.
    """
    # Where the watchdog finds the loop stalled, SIGABRT tells the journal what it was stuck in.
    faulthandler.enable()
    systemd.notify("STATUS=starting: loading features and model")
    loaded = loading.load(config)
    metrics = Metrics()
    with listener(config) as listening:
        async with open_clients(aws_terms(config), metrics.aws_called, SystemClock()) as clients:
            daemon = Daemon(config, clients, metrics)
            daemon.heed_signals()
            await daemon.check(loaded)
            # All that there is by now stays; to look through it for garbage takes as long as
            # several requests, and nothing else is done meanwhile.
            gc.collect()
            gc.freeze()
            # What is made from now on are requests, which leave no cycles: many at a time look like
            # a lot of garbage, and are none.
            gc.set_threshold(50_000, 20, 100)
            await daemon.run(listening)


class Daemon:
    """Everything, built and wired; nothing happens before ``check`` and ``run``."""

    def __init__(self, config: Config, clients: Clients, metrics: Metrics) -> None:
        self._config = config
        self._metrics = metrics
        self._clock = clock = SystemClock()
        # Ids are unique among all daemons: they come from the system's own randomness.
        self._rng = random.SystemRandom()
        self._started_at = clock.now()
        self._stopping = self._released = False
        self._phase: Phase = "serving"
        self._address = ""
        self._runner: Runner | None = None

        self._skew = clients.skew
        self._store = DynamoDbStore(clients, config.results.table)
        self._topics = sns_topics(config, clients)
        self._queues = sqs_queues(config, clients, clock)
        self._permits = database_permits(config, clock)
        self._connections = Connections(database_server(config), self._permits, clock=clock)
        self.scorers = Scorers(
            config, connections=self._connections, permits=self._permits, clock=clock
        )

        self._engine = Engine(
            ports=Ports(store=self._store, queues=self._queues, topics=self._topics),
            scorer=self.scorers.current,
            permits=self._permits,
            clock=clock,
            rng=self._rng,
            metrics=metrics,
            skew=clients.skew,
            terms=engine_terms(config),
        )
        self._admission = Admission(
            tokens=tokens(config),
            requests_per_second=config.http.requests_per_second,
            clock=clock,
        )
        self._lag = LoopLag(busy=lambda: bool(self._engine.consumers.jobs), clock=clock)
        self._watchdog = Watchdog(
            watchdog_seconds=systemd.watchdog_seconds(),
            stalled=lambda: self._engine.consumers.stalled,
            status=self._status_line,
            clock=clock,
        )
        self._reloads = Reloads(
            self._reload, tell=self._watchdog.beat, clock=clock, metrics=metrics
        )

    async def check(self, loaded: Loaded) -> None:
        """See that everything is there and fits, before anyone is told that we are ready."""
        systemd.notify("STATUS=starting: looking at table, queue and topics")
        await self._store.check()
        await check_queues(self._queues)
        await self._topics.check()
        systemd.notify("STATUS=starting: trying features and model on the database")
        await self.scorers.use(loaded)

    async def run(self, listening: socket.socket) -> None:
        """Serve and consume until told to stop; then the consumers drain, and HTTP closes last."""
        self._watch()
        new_id = request_ids(self._clock, self._rng)
        self._runner = runner = Runner(
            self._app(new_id),
            new_id=new_id,
            max_connections=max_connections(),
            shutdown_timeout=_CLOSING_SECONDS,
        )
        await runner.setup()
        self._metrics.watch_http(lambda: self._admission.in_hand, lambda: runner.connections)
        try:
            async with asyncio.TaskGroup() as background:
                watching = [
                    background.create_task(self._connections.close_idle()),
                    background.create_task(self._lag.run()),
                ]
                await web.SockSite(runner, listening, backlog=BACKLOG).start()
                self._say_ready(listening)
                watching.append(background.create_task(self._watchdog.run()))
                watching.append(background.create_task(self._reloads.run()))
                await self._engine.run()
                self._phase = "closing"
                await runner.part(listening, patient=not self._released)
                for task in watching:
                    task.cancel()
        finally:
            await runner.cleanup()
            await self._connections.close()
        log.info("daemon.stopped")

    def heed_signals(self) -> None:
        """Stop on SIGTERM and SIGINT; reload on SIGHUP."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self.reload)

    def reload(self) -> None:
        """Read the tokens again, and ask for feature SQL and model to be, see ``Reloads``.

        The tokens do not wait: one that was taken away is to be good for nothing at once.
        """
        self._reload_tokens()
        self._reloads.ask()

    def stop(self) -> None:
        """Begin to drain; called again, release at once."""
        if self._stopping:
            self._released = True
            log.warning("daemon.releasing", runs=len(self._engine.consumers.jobs))
            self._engine.release()
            return
        self._stopping, self._phase = True, "draining"
        self._reloads.stop()
        most = longest_stop_seconds(self._config) + PARTING_SECONDS + _CLOSING_SECONDS
        # The unit may allow less than this configuration needs.
        self._watchdog.beat("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(most * 1e6)}")
        log.info("daemon.stopping", runs=len(self._engine.consumers.jobs))
        self._engine.stop()
        if self._runner is not None:
            self._runner.say_goodbye()

    async def _reload(self) -> None:
        """Exchange feature SQL and model; what waited for others goes on with these."""
        before = self.scorers.model, self.scorers.features_version
        await self.scorers.reload()
        model, version = self.scorers.model, self.scorers.features_version
        self._metrics.describe(model=model, features_version=version)
        log.info(
            "reload.done",
            model=model,
            features_version=version,
            model_before=before[0],
            features_version_before=before[1],
        )
        self._engine.retry()

    def _reload_tokens(self) -> None:
        """Read the tokens again; where the file is wrong those of before stay good."""
        try:
            self._admission.tokens = read = tokens(self._config)
        except Misconfigured as error:
            log.error("tokens.not_reloaded", problems=error.problems)
        else:
            log.info("tokens.reloaded", count=len(read) if read is not None else 0)

    def _say_ready(self, listening: socket.socket) -> None:
        self._address = address_of(listening)
        log.info(
            "daemon.ready",
            address=self._address,
            version=__version__,
            model=self.scorers.model,
            features_version=self.scorers.features_version,
        )
        if not self._stopping:
            self._watchdog.beat("READY=1")

    def _status_line(self) -> str:
        consumers, depth = self._engine.consumers, self._engine.samplers["interactive"].depth
        reloading = self._phase == "serving" and self._reloads.running
        return status_line(
            Doing(
                phase="reloading" if reloading else self._phase,
                address=self._address,
                jobs=len(consumers.jobs),
                consumers=consumers.count,
                blocked_by=consumers.blocked_by,
                waiting=None if depth is None else depth.visible,
                model=self.scorers.model,
                refusal=self._reloads.refusal,
            )
        )

    def _watch(self) -> None:
        self._metrics.describe(
            model=self.scorers.model, features_version=self.scorers.features_version
        )
        self._metrics.watch_permits(
            in_use=lambda: self._permits.in_use,
            limit=lambda: self._permits.limit,
            maximum=self._permits.maximum,
        )
        self._metrics.watch_breaker(lambda: self._engine.breaker.state)
        self._metrics.watch_database(
            lambda: self._connections.open, lambda: self._permits.threads_running
        )
        self._metrics.watch_loop_lag(lambda: self._lag.seconds)
        engine = self._engine
        self._metrics.watch_daemon(
            ready=lambda: self._unready() is None,
            stalled=lambda: engine.consumers.stalled,
            clock_skew=lambda: self._skew.off_seconds,
            waiters=lambda: engine.waiters.count,
        )
        self._metrics.watch_consumers(lambda: len(engine.consumers.jobs), engine.consumers.count)
        self._metrics.watch_oldest_pending(
            self._queues, lambda lane: engine.sweeper.oldest.seconds(lane, self._clock.now())
        )

    def _app(self, new_id: Callable[[], str]) -> web.Application:
        handlers = Handlers(
            self._engine,
            metrics=self._metrics,
            status=self._status,
            unready=self._unready,
            aside=self._admission.aside,
            max_wait_seconds=self._config.http.max_wait_seconds,
            test_entities=self._config.http.test_entities,
            authenticated=self._admission.tokens is not None,
        )
        return make_app(
            handlers,
            admission=self._admission,
            metrics=self._metrics,
            clock=self._clock,
            new_id=new_id,
        )

    def _unready(self) -> str | None:
        if self._stopping:
            return "this daemon is stopping"
        return self._engine.consumers.blocked_by

    def _status(self) -> Mapping[str, Any]:
        """What this daemon does right now: the body of ``GET /v1/status``."""
        consumers, samplers = self._engine.consumers, self._engine.samplers
        depths = {lane: sampler.depth for lane, sampler in samplers.items()}
        now = self._clock.now()
        return {
            "version": __version__,
            "model": self.scorers.model,
            "features_version": self.scorers.features_version,
            "reload": self._reloads.last,
            "state": "draining" if self._stopping else "serving",
            "started_at": rfc3339(self._started_at),
            "breaker": self._engine.breaker.state,
            "blocked_by": consumers.blocked_by,
            "permits": {
                "max": self._permits.maximum,
                "limit": self._permits.limit,
                "in_use": self._permits.in_use,
            },
            "database_connections": self._connections.open,
            "consumers": {"count": consumers.count, "busy": len(consumers.jobs)},
            "runs": [
                {
                    "entity_id": job.entity_id,
                    "run_id": job.run_id,
                    "lane": job.lease.message.lane,
                    "phase": job.phase,
                    "seconds": max(0, now - job.lease.message.received_at) / 1000,
                }
                for job in consumers.jobs
            ],
            **{_DEPTHS[lane]: depth and _shown(depth) for lane, depth in depths.items()},
            "waiters": self._engine.waiters.count,
            "estimated_seconds": samplers["interactive"].estimate(),
        }


def _shown(depth: Depth) -> Mapping[str, int]:
    return {kind: count for kind, count in asdict(depth).items() if count is not None}
