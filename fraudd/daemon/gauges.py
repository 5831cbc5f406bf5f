"""Shows a snapshot of the daemon as gauges, whenever Prometheus scrapes them.

Each help text is also the meaning of the metric in docs/reference.md.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from fraudd import __version__
from fraudd.daemon.snapshot import Snapshot

Family = CounterMetricFamily | GaugeMetricFamily | InfoMetricFamily


@dataclass(frozen=True, slots=True)
class Gauges(Collector):
    """A collector for prometheus_client. ``take`` takes a snapshot."""

    take: Callable[[], Snapshot]

    def collect(self) -> Iterator[Family]:
        """Yield every gauge, with values of the same moment."""
        now = self.take()
        yield from _of_the_daemon(now)
        yield from _of_work(now)
        yield from _of_clients(now)


def _of_the_daemon(now: Snapshot) -> Iterator[Family]:
    yield _gauge("fraudd_ready", "1 if /readyz answers 200.", now.unready is None)
    yield _gauge(
        "fraudd_poll_loop_stalled",
        "1 if the poll loop has stalled. Then /healthz fails and the watchdog restarts the"
        " process.",
        now.work.poll_loop_stalled,
    )
    yield _gauge(
        "fraudd_clock_skew_seconds",
        "Smallest possible difference between this clock and AWS. It is negative if this clock is"
        " behind. Beyond 2 s the daemon receives no messages.",
        now.process.clock_skew_seconds,
    )
    yield _gauge(
        "fraudd_event_loop_lag_seconds",
        "Longest delay of the event loop in about the last minute.",
        now.process.loop_lag_seconds,
    )
    yield CounterMetricFamily(
        "fraudd_log_lines_dropped",
        "Log lines that were dropped because nobody read the log, or its disk was full.",
        value=now.process.log_lines_dropped,
    )
    yield InfoMetricFamily(
        "fraudd",
        "Always 1. The labels name the versions of fraudd, the model, and the feature SQL.",
        value={
            "version": __version__,
            "model": now.scorer.model,
            "features_version": now.scorer.features_version,
        },
    )


def _of_work(now: Snapshot) -> Iterator[Family]:
    work, database = now.work, now.database
    yield _gauge(
        "fraudd_blocked",
        "1 if the daemon receives no messages. blocked_by in /v1/status says why.",
        work.blocked_by is not None,
    )
    yield _gauge(
        "fraudd_breaker_open",
        "1 if the breaker is open, so that the daemon receives no messages. The cause fault is a"
        " systemic failure.",
        {cause: work.breaker == cause for cause in ("outage", "fault")},
        label="cause",
    )
    yield _gauge(
        "fraudd_oldest_pending_seconds",
        "Age of the oldest pending run when the sweeper last saw it, or 0.",
        {str(lane): seconds for lane, seconds in work.oldest_pending_seconds.items()},
        label="lane",
    )
    yield _gauge(
        "fraudd_consumers",
        "Busy consumers, and the number of consumers (count).",
        {"busy": len(work.runs), "count": work.consumers},
        label="kind",
    )
    yield _gauge(
        "fraudd_permits",
        "Connection permits: in use, the current limit, and max_connections (max).",
        {
            "in_use": database.permits_in_use,
            "limit": database.permits_limit,
            "max": database.permits_max,
        },
        label="kind",
    )
    yield _gauge(
        "fraudd_database_connections",
        "Database connections that this daemon has open.",
        database.connections,
    )
    yield _gauge(
        "fraudd_database_threads_running",
        "Threads_running of the database server when the last run began. Above busy_threads the"
        " connection limit is halved.",
        database.threads_running,
    )


def _of_clients(now: Snapshot) -> Iterator[Family]:
    yield _gauge(
        "fraudd_waiters", "HTTP requests that wait for the end of a run.", now.http.waiters
    )
    yield _gauge(
        "fraudd_http_requests_in_flight",
        "HTTP requests being processed, excluding those that only wait for a run.",
        now.http.requests_in_flight,
    )
    yield _gauge("fraudd_http_connections", "Open client connections.", now.http.connections)


def _gauge(
    name: str, text: str, value: float | Mapping[str, float], *, label: str | None = None
) -> Family:
    """Make a gauge with one value, or with a value for each value of its label."""
    if not isinstance(value, Mapping):
        return GaugeMetricFamily(name, text, value=value)
    assert label is not None, "several values need a label"
    family = GaugeMetricFamily(name, text, labels=[label])
    for kind, number in value.items():
        family.add_metric([kind], number)
    return family
