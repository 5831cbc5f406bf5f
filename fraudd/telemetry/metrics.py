"""The metrics that change with events: counters, histograms, and the last sample of each queue.

Current values, such as busy consumers, are gauges in ``fraudd.daemon.gauges``. Each help text
is also the meaning of the metric in docs/reference.md.
"""

from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from fraudd.prediction.record import Lane

#: Runs take from milliseconds to minutes.
_RUN_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 2, 5, 10, 20, 30, 60, 120, 300)
_HTTP_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_SCORES = tuple(tenth / 10 for tenth in range(1, 10))
#: The background loops of a daemon.
LOOPS = (
    *("poll", "poll_bulk", "sweeper", "sampler_interactive", "sampler_bulk", "waiters"),
    *("clock", "idle_connections", "loop_lag", "reloads", "start_checks", "watchdog"),
)


class Metrics:
    """One registry with the metrics of one daemon."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.messages = self._counter(
            "fraudd_messages", "Messages processed, by outcome.", "outcome"
        )
        self.run_seconds = self._histogram(
            "fraudd_run_seconds",
            "Time of each phase of a run that found its score. The phase storing ends when the"
            " message is deleted.",
            "phase",
            buckets=_RUN_SECONDS,
        )
        self.file_seconds = self._histogram(
            "fraudd_feature_file_seconds",
            "Time of each feature file in a run that found its score.",
            "file",
            buckets=_RUN_SECONDS,
        )
        self.scores = self._histogram(
            "fraudd_score", "Distribution of the computed scores.", buckets=_SCORES
        )
        self.received = self._counter("fraudd_receives", "Messages received from SQS.")
        self.deleted = self._counter("fraudd_deletes", "Messages deleted from SQS.")
        self.poll_errors = self._counter("fraudd_poll_errors", "Failed receive calls.")
        self.resent = self._counter(
            "fraudd_wakeups_resent", "Wake-up messages that the sweeper sent again."
        )
        self.dead_lettered = self._counter(
            "fraudd_dead_lettered",
            "Messages that fraudd moved to the dead-letter queue, by reason.",
            "reason",
        )
        self.reloads = self._counter(
            "fraudd_reloads", "Reloads of feature SQL and model at SIGHUP, by outcome.", "outcome"
        )
        self.loop_errors = self._counter(
            "fraudd_loop_errors", "Unexpected errors of a background loop, by loop.", "loop"
        )
        self._aws_calls = self._counter(
            "fraudd_aws_calls", "AWS API calls, not counting retries.", "operation"
        )
        self._http_seconds = self._histogram(
            "fraudd_http_request_seconds",
            "Time from an HTTP request to its response.",
            *("method", "route", "status"),
            buckets=_HTTP_SECONDS,
        )
        self._queue = Gauge(
            "fraudd_queue_messages",
            "Approximate number of messages in a lane's queue, by state. Both lanes share one"
            " dead-letter queue, which only the interactive lane shows.",
            ("lane", "kind"),
            registry=self.registry,
        )
        self._http_children: dict[tuple[str, str, str], Histogram] = {}
        self._start_at_zero()

    def aws_called(self, operation: str) -> None:
        """Count a call of AWS."""
        self._aws_calls.labels(operation).inc()

    def http_answered(self, method: str, route: str, status: str, seconds: float) -> None:
        """Observe the time of an HTTP request."""
        labels = (method, route, status)
        # This runs for every request, and the look-up of the library locks and copies.
        child = self._http_children.get(labels)
        if child is None:
            child = self._http_children[labels] = self._http_seconds.labels(*labels)
        child.observe(seconds)

    def run_computed(
        self, phases_ms: Mapping[str, int], files_ms: Mapping[str, int], score: float
    ) -> None:
        """Observe a run that found its score, and the time of each of its parts."""
        for phase, milliseconds in phases_ms.items():
            self.run_seconds.labels(phase).observe(milliseconds / 1000)
        for file, milliseconds in files_ms.items():
            self.file_seconds.labels(file).observe(milliseconds / 1000)
        self.scores.observe(score)

    def queue_depth(self, lane: Lane, counts: Mapping[str, int | None]) -> None:
        """Set a sample of a lane's queue: the number of messages in each state."""
        for kind, count in counts.items():
            if count is not None:
                self._queue.labels(lane, kind).set(count)

    def exposition(self) -> bytes:
        """Write all metrics in Prometheus' text format, version 0.0.4."""
        return generate_latest(self.registry)

    def _start_at_zero(self) -> None:
        """Create the series of alerts. Prometheus sees no increase in one that begins at 1."""
        for outcome in ("done", "failed"):
            self.messages.labels(outcome)
        for outcome in ("done", "refused"):
            self.reloads.labels(outcome)
        for loop in LOOPS:
            self.loop_errors.labels(loop)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, *labels: str, buckets: tuple[float, ...]
    ) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=buckets)
