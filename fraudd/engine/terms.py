"""The numbers that the engine runs by, in one group for each part that uses them."""

from dataclasses import dataclass

from fraudd.prediction.retry import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerTerms:
    """How many runs are computed at a time, how long a poll waits, how long a drain takes."""

    count: int
    wait_seconds: float
    drain_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTerms:
    """When a request is answered from the record."""

    #: The maximum age of a result if the request names none. None accepts any age.
    default_max_age_seconds: float | None
    #: A failure younger than this is the answer. An older one leads to a new run.
    retry_failed_after_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogTerms:
    """How many daemons share a lane's backlog, and its maximum length (None: no maximum)."""

    fleet_size: int
    max_pending: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryTerms:
    """How often a run is tried, and how long fraudd waits between two attempts."""

    limits: Limits
    backoff_base_seconds: float
    backoff_max_seconds: float
    #: A replica may lag by this much, so an entity that is unknown to it may still exist.
    replica_lag_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTerms:
    """How long the database part of a run may take, and whether test entities are served."""

    timeout_seconds: float
    test_entities: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultTerms:
    """How long results and failures are kept, and the ``source`` of completion events."""

    result_ttl_seconds: float
    failed_ttl_seconds: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SweeperTerms:
    """How often the sweeper runs, and from which age it sends a wake-up message again."""

    interval_seconds: float
    grace_seconds: float
    requeue_after_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTerms:
    """All of them. The configuration file says what each means."""

    visibility_timeout_seconds: float
    consumers: ConsumerTerms
    requests: RequestTerms
    backlog: BacklogTerms
    retry: RetryTerms
    runs: RunTerms
    results: ResultTerms
    sweeper: SweeperTerms
