"""The settings of the engine, in one group for each part that uses them."""

from dataclasses import dataclass

from fraudd.prediction.retry import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerTerms:
    """The size of the consumer pool, the wait of a poll, and the timeout of a drain."""

    count: int
    wait_seconds: float
    drain_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTerms:
    """The conditions for a response from the record, without a new run."""

    #: The maximum age of a result if the request names none. None accepts any age.
    default_max_age_seconds: float | None
    #: A request gets a failure that is younger than this. If it is older, a new run starts.
    retry_failed_after_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogTerms:
    """The number of daemons, and the maximum of pending runs in a lane (None: no maximum)."""

    fleet_size: int
    max_pending: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryTerms:
    """The limits of a run's attempts, and the delays between them."""

    limits: Limits
    backoff_base_seconds: float
    backoff_max_seconds: float
    #: A replica may lag by this much, so an entity that is unknown to it may still exist.
    replica_lag_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTerms:
    """The timeout of a run's database phase, and whether test entities exist."""

    timeout_seconds: float
    test_entities: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultTerms:
    """The time to live of results and failures, and the ``source`` of completion events."""

    result_ttl_seconds: float
    failed_ttl_seconds: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SweeperTerms:
    """The interval of the sweeper, and the ages at which it acts."""

    interval_seconds: float
    grace_seconds: float
    requeue_after_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTerms:
    """All terms of the engine. ``config/fraudd.toml`` explains each one."""

    visibility_timeout_seconds: float
    consumers: ConsumerTerms
    requests: RequestTerms
    backlog: BacklogTerms
    retry: RetryTerms
    runs: RunTerms
    results: ResultTerms
    sweeper: SweeperTerms
