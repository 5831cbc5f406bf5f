"""The composition root: builds the parts of the daemon, runs them, and stops them in order."""

import asyncio
import faulthandler
import gc
import random
import signal
import socket
from collections.abc import Awaitable, Callable

from fraudd import __version__
from fraudd.aws.session import Clients, open_clients
from fraudd.clock import SystemClock
from fraudd.config import Config
from fraudd.daemon import scorers as loading
from fraudd.daemon import systemd
from fraudd.daemon.clock_check import ClockCheck
from fraudd.daemon.gauges import Gauges
from fraudd.daemon.http import MAX_STOP_SECONDS, HttpServer
from fraudd.daemon.listener import address_of, listener
from fraudd.daemon.loop_lag import LoopLag
from fraudd.daemon.reload import Reloads
from fraudd.daemon.scorers import Loaded, Scorers
from fraudd.daemon.start_checks import StartChecks
from fraudd.daemon.status import Lifecycle, Status, status_body, status_line
from fraudd.daemon.watchdog import Watchdog
from fraudd.engine.engine import Engine
from fraudd.errors import Misconfigured
from fraudd.ports import Ports
from fraudd.telemetry import log
from fraudd.telemetry import loops as background_loops
from fraudd.telemetry.metrics import Metrics
from fraudd.wiring import adapters, aws_terms, engine_terms, longest_stop_seconds


async def serve(config: Config) -> None:
    """Run the daemon until SIGTERM or SIGINT, then drain. A second signal releases all messages.

    Raises ``Misconfigured`` or ``Unavailable`` if it cannot start.
    """
    # If the loop stalls, the watchdog sends SIGABRT, and this prints the stalled stack.
    faulthandler.enable()
    systemd.notify("STATUS=starting: loading features and model")
    loaded = loading.load(config)
    metrics = Metrics()
    with listener(config) as listening:
        async with open_clients(aws_terms(config), metrics.aws_called, SystemClock()) as clients:
            daemon = Daemon(config, clients, metrics)
            daemon.handle_signals()
            await daemon.check(loaded)
            _tune_garbage_collection()
            await daemon.run(listening)


class Daemon:
    """All parts, wired together. Nothing happens before ``check`` and ``run``."""

    def __init__(self, config: Config, clients: Clients, metrics: Metrics) -> None:
        self._config = config
        clock = SystemClock()
        # IDs must be unique among all daemons, so they come from the system's randomness.
        rng = random.SystemRandom()
        self._lifecycle = Lifecycle(started_at=clock.now())
        self._loaded: Loaded | None = None
        self._releasing = False
        self._metrics = metrics
        self.adapters = adapters(config, clients, clock)
        self.scorers = Scorers(
            config,
            connections=self.adapters.connections,
            permits=self.adapters.permits,
            clock=clock,
        )
        self._engine = Engine(
            ports=Ports(
                store=self.adapters.store,
                queues=self.adapters.queues,
                topics=self.adapters.topics,
            ),
            scorer=self.scorers.current,
            permits=self.adapters.permits,
            clock=clock,
            rng=rng,
            metrics=metrics,
            skew=clients.skew,
            terms=engine_terms(config),
        )
        self._http = HttpServer(
            config,
            self._engine,
            metrics=metrics,
            status=lambda: status_body(self._status.take()),
            unready=lambda: self._status.take().unready,
            clock=clock,
            rng=rng,
        )
        self._loop_lag = LoopLag(busy=lambda: bool(self._engine.consumers.jobs), clock=clock)
        self._watchdog = Watchdog(
            watchdog_seconds=systemd.watchdog_seconds(),
            stalled=lambda: self._engine.consumers.stalled,
            status=lambda: status_line(self._status.take()),
            clock=clock,
        )
        self._reloads = Reloads(
            self._replace_scorers, notify=self._watchdog.beat, clock=clock, metrics=metrics
        )
        self._status = Status(
            self._lifecycle,
            engine=self._engine,
            adapters=self.adapters,
            scorers=self.scorers,
            reloads=self._reloads,
            http=self._http,
            loop_lag=self._loop_lag,
            clock=clock,
        )
        metrics.registry.register(Gauges(self._status.take))

    @property
    def address(self) -> str:
        """The address of the HTTP server. It is empty until the daemon serves."""
        return self._lifecycle.address

    async def check(self, loaded: Loaded) -> None:
        """Check the table, which look-ups need. ``run`` checks all other parts.

        Raises ``Misconfigured`` or ``Unavailable``.
        """
        self._loaded = loaded
        systemd.notify("STATUS=starting: checking the table")
        await self.adapters.store.check()

    async def run(self, listening: socket.socket) -> None:
        """Serve and consume until stopped. Then the consumers drain, and HTTP closes last.

        Raises ``Misconfigured`` if a check of the start finds a problem before the daemon serves.
        """
        try:
            async with asyncio.TaskGroup() as background:
                refused = await self._run(listening, background)
        finally:
            await self._http.close()
            await self.adapters.connections.close()
        if refused is not None:
            raise refused
        log.info("daemon.stopped")

    async def _run(
        self, listening: socket.socket, background: asyncio.TaskGroup
    ) -> Misconfigured | None:
        """Check, serve, consume and drain. Returns what the checks found before that."""
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            "clock": ClockCheck(self.adapters.skew, self._ask_time).run,
            "idle_connections": self.adapters.connections.close_idle,
            "loop_lag": self._loop_lag.run,
        }
        checks = self._start_checks()
        loops["start_checks"] = checks.run
        tasks = background_loops.start(background, loops, metrics=self._metrics)
        try:
            systemd.notify("STATUS=starting: checking database, queues and topics")
            await checks.first()
            await self._http.start(listening)
            self._report_ready(listening)
            serving = {"watchdog": self._watchdog.run, "reloads": self._reloads.run}
            tasks += background_loops.start(background, serving, metrics=self._metrics)
            await self._engine.run()
            self._lifecycle.phase = "closing"
            await self._http.drain(listening, patient=not self._releasing)
        except Misconfigured as error:
            # The group would wrap an error, and the caller prints its problems.
            return error
        finally:
            for task in tasks:
                task.cancel()
        return None

    def _start_checks(self) -> StartChecks:
        return StartChecks(
            {
                "queue": self.adapters.check_queues,
                "topics": self.adapters.topics.check,
                "database": self._use_first,
            },
            gate=self._engine,
            answering=lambda: self.adapters.connections.open > 0,
            rng=random.SystemRandom(),
        )

    async def _ask_time(self) -> None:
        """Make a cheap call of AWS, whose response has the time. No entity has this ID."""
        await self.adapters.store.get("fraudd:clock")

    async def _use_first(self) -> None:
        """Test the files of the start. A reload may have replaced them meanwhile."""
        if self._loaded is not None:
            await self.scorers.use_first(self._loaded)
        # If a reload replaces them, they must not stay in memory.
        self._loaded = None

    def handle_signals(self) -> None:
        """Stop on SIGTERM and SIGINT, and reload on SIGHUP."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self.reload)

    def reload(self) -> None:
        """Read the tokens again, and request a reload of feature SQL and model.

        The tokens do not wait for the rest: a revoked token must become invalid at once.
        """
        self._http.reload_tokens()
        self._reloads.request()

    def stop(self) -> None:
        """Begin to drain. If called again, release all messages at once."""
        if self._lifecycle.stopping:
            self._releasing = True
            log.warning("daemon.releasing", runs=len(self._engine.consumers.jobs))
            self._engine.release()
            return
        self._lifecycle.phase = "draining"
        self._reloads.stop()
        max_seconds = longest_stop_seconds(self._config) + MAX_STOP_SECONDS
        # TimeoutStopSec of the unit may be shorter than this configuration needs.
        self._watchdog.beat("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(max_seconds * 1e6)}")
        log.info("daemon.stopping", runs=len(self._engine.consumers.jobs))
        self._engine.stop()
        self.adapters.connections.hurry()
        self._http.announce_drain()

    async def _replace_scorers(self) -> None:
        """Replace feature SQL and model, then retry runs that an outage or failure blocked."""
        before = self.scorers.model, self.scorers.features_version
        await self.scorers.reload()
        log.info(
            "reload.done",
            model=self.scorers.model,
            features_version=self.scorers.features_version,
            model_before=before[0],
            features_version_before=before[1],
        )
        self._engine.retry()

    def _report_ready(self, listening: socket.socket) -> None:
        self._lifecycle.address = address_of(listening)
        log.info(
            "daemon.ready",
            address=self._lifecycle.address,
            version=__version__,
            model=self.scorers.model,
            features_version=self.scorers.features_version,
        )
        if not self._lifecycle.stopping:
            self._watchdog.beat("READY=1")


def _tune_garbage_collection() -> None:
    """Make garbage collections cheap and rare: each blocks the loop as long as several requests."""
    # Objects made so far live as long as the process, so no collection needs to visit them.
    gc.collect()
    gc.freeze()
    # Later objects belong to requests, which leave no cycles. Under load many live at once, and
    # the default threshold would take them for garbage.
    gc.set_threshold(50_000, 20, 100)
