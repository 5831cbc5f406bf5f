"""What Prometheus sees: every metric of the daemon, in one registry of its own."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from fraudd import __version__
from fraudd.prediction.record import Lane

#: Runs take from milliseconds to minutes.
_RUN_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 2, 5, 10, 20, 30, 60, 120, 300)
_HTTP_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_SCORES = tuple(tenth / 10 for tenth in range(1, 10))


class Metrics:
    """The daemon's metrics; base units, names as in the reference."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.jobs = Counter(
            "fraudd_messages",
            "Messages worked on, by what came of them",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("done", "failed"):
            # From 0 on: what appears as 1 is no increase to Prometheus.
            self.jobs.labels(outcome)
        self.run_seconds = Histogram(
            "fraudd_run_seconds",
            "Where a run's time went, by phase",
            ["phase"],
            buckets=_RUN_SECONDS,
            registry=registry,
        )
        self.file_seconds = Histogram(
            "fraudd_feature_file_seconds",
            "How long each feature file took",
            ["file"],
            buckets=_RUN_SECONDS,
            registry=registry,
        )
        self.scores = Histogram(
            "fraudd_score", "Scores computed", buckets=_SCORES, registry=registry
        )
        self.received = Counter("fraudd_receives", "Messages received", registry=registry)
        self.deleted = Counter("fraudd_deletes", "Messages deleted", registry=registry)
        self.dead_lettered = Counter(
            "fraudd_dead_lettered",
            "Messages that fraudd sent to the dead-letter queue",
            ["reason"],
            registry=registry,
        )
        self.swept = Counter(
            "fraudd_wakeups_resent", "Wake-ups that the sweeper sent again", registry=registry
        )
        self.poll_errors = Counter("fraudd_poll_errors", "Receives that failed", registry=registry)
        self.reloads = Counter(
            "fraudd_reloads",
            "Reloads of feature SQL and model, by what came of them",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("done", "refused"):
            self.reloads.labels(outcome)
        self._aws_calls = Counter(
            "fraudd_aws_calls", "Calls of AWS, retries apart", ["operation"], registry=registry
        )
        self._http_seconds = Histogram(
            "fraudd_http_request_seconds",
            "Time to answer",
            ["method", "route", "status"],
            buckets=_HTTP_SECONDS,
            registry=registry,
        )
        self._http_children: dict[tuple[str, str, str], Histogram] = {}
        self._http_in_hand = Gauge(
            "fraudd_http_requests_in_flight",
            "Requests that are being answered, those that only wait aside",
            registry=registry,
        )
        self._http_connections = Gauge(
            "fraudd_http_connections", "Open connections of callers", registry=registry
        )
        self._permits = Gauge(
            "fraudd_permits",
            "Database permits: in use, the limit, and the maximum",
            ["kind"],
            registry=registry,
        )
        self._connections = Gauge(
            "fraudd_database_connections", "Open database connections", registry=registry
        )
        self._loop_lag = Gauge(
            "fraudd_event_loop_lag_seconds",
            "How late the event loop came round at worst in about the last minute",
            registry=registry,
        )
        self._threads_running = Gauge(
            "fraudd_database_threads_running",
            "Threads that ran on the database server when last seen; the permit limit follows",
            registry=registry,
        )
        self._breaker = Gauge(
            "fraudd_breaker_open",
            "Whether no messages are taken: an outage, or a fault of every run",
            ["cause"],
            registry=registry,
        )
        self._ready = Gauge(
            "fraudd_ready", "Whether /readyz says that requests are welcome", registry=registry
        )
        self._deaf = Gauge(
            "fraudd_poll_loop_stalled",
            "Whether the poll loop hangs: the watchdog should have ended the process",
            registry=registry,
        )
        self._clock_off = Gauge(
            "fraudd_clock_skew_seconds",
            "How far the clock is ahead of that of AWS, or behind (below 0), at least",
            registry=registry,
        )
        self._consumers = Gauge(
            "fraudd_consumers",
            "Consumers: busy, and how many there are",
            ["kind"],
            registry=registry,
        )
        self._waiters = Gauge(
            "fraudd_waiters", "Callers that wait for the end of a run", registry=registry
        )
        self._oldest_pending = Gauge(
            "fraudd_oldest_pending_seconds",
            "Age of the oldest run that is owed, as the sweeper last saw it; 0 where none is old",
            ["lane"],
            registry=registry,
        )
        self._queue = Gauge(
            "fraudd_queue_messages",
            "About how many messages there are; the lanes share a dead-letter queue",
            ["lane", "kind"],
            registry=registry,
        )
        self._info = Info("fraudd", "Version and model", registry=registry)

    def aws_called(self, operation: str) -> None:
        """Count a call of AWS."""
        self._aws_calls.labels(operation).inc()

    def http_answered(self, method: str, route: str, status: str, seconds: float) -> None:
        """Note how long a request took."""
        labels = (method, route, status)
        # Kept by hand, for each request comes here: Prometheus' own look-up locks and copies.
        child = self._http_children.get(labels)
        if child is None:
            child = self._http_children[labels] = self._http_seconds.labels(*labels)
        child.observe(seconds)

    def watch_http(self, in_hand: Callable[[], int], connections: Callable[[], int]) -> None:
        """Show the requests in hand, and the open connections, whenever somebody looks."""
        self._http_in_hand.set_function(in_hand)
        self._http_connections.set_function(connections)

    def watch_permits(
        self, *, in_use: Callable[[], int], limit: Callable[[], int], maximum: int
    ) -> None:
        """Show the permits as they are whenever somebody looks."""
        self._permits.labels("in_use").set_function(in_use)
        self._permits.labels("limit").set_function(limit)
        self._permits.labels("max").set(maximum)

    def watch_database(self, opened: Callable[[], int], threads: Callable[[], int]) -> None:
        """Show the open connections, and how busy the server was last, whenever somebody looks."""
        self._connections.set_function(opened)
        self._threads_running.set_function(threads)

    def watch_loop_lag(self, seconds: Callable[[], float]) -> None:
        """Show how late the event loop comes whenever somebody looks."""
        self._loop_lag.set_function(seconds)

    def watch_breaker(self, state: Callable[[], str]) -> None:
        """Show whether the breaker is open whenever somebody looks."""
        self._breaker.labels("outage").set_function(lambda: state() == "outage")
        self._breaker.labels("fault").set_function(lambda: state() == "fault")

    def watch_daemon(
        self,
        *,
        ready: Callable[[], bool],
        stalled: Callable[[], bool],
        clock_skew: Callable[[], float],
        waiters: Callable[[], int],
    ) -> None:
        """Show how the daemon is whenever somebody looks."""
        self._ready.set_function(ready)
        self._deaf.set_function(stalled)
        self._clock_off.set_function(clock_skew)
        self._waiters.set_function(waiters)

    def watch_consumers(self, busy: Callable[[], int], count: int) -> None:
        """Show how many consumers are busy whenever somebody looks."""
        self._consumers.labels("busy").set_function(busy)
        self._consumers.labels("count").set(count)

    def watch_oldest_pending(self, lanes: Iterable[str], seconds: Callable[[str], float]) -> None:
        """Show for how long a run of each lane has been owed whenever somebody looks."""
        for lane in lanes:
            self._oldest_pending.labels(lane).set_function(partial(seconds, lane))

    def describe(self, *, model: str, features_version: str) -> None:
        """Say which version this is, with which model and which feature SQL."""
        self._info.info(
            {"version": __version__, "model": model, "features_version": features_version}
        )

    def run_computed(
        self, phases_ms: Mapping[str, int], files_ms: Mapping[str, int], score: float
    ) -> None:
        """Count a run that found its score, and where its time went."""
        for phase, milliseconds in phases_ms.items():
            self.run_seconds.labels(phase).observe(milliseconds / 1000)
        for file, milliseconds in files_ms.items():
            self.file_seconds.labels(file).observe(milliseconds / 1000)
        self.scores.observe(score)

    def queue_depth(self, lane: Lane, counts: Mapping[str, int | None]) -> None:
        """Note a sample of a lane's queue: the number of messages of each kind."""
        for kind, count in counts.items():
            if count is not None:
                self._queue.labels(lane, kind).set(count)

    def exposition(self) -> bytes:
        """Write all metrics in Prometheus' text format, version 0.0.4."""
        return generate_latest(self.registry)
