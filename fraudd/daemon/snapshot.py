"""A snapshot of a daemon: values of the same moment. Times are epoch milliseconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fraudd.ports import Depth
from fraudd.prediction.record import Lane

Phase = Literal["serving", "reloading", "draining", "closing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """The process and its machine."""

    phase: Phase
    address: str
    started_at: int
    loop_lag_seconds: float
    #: Above 0 if the clock is ahead of AWS.
    clock_skew_seconds: float
    #: Whether the clock is wrong, so that this daemon accepts no requests.
    clock_wrong: bool
    #: Log lines that were dropped because nobody read the log.
    log_lines_dropped: int
    #: Whether the last call of the results table failed.
    store_unreachable: bool
    #: Why the index of the results table cannot be read. None: it can.
    index_problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """The end of a reload. It was refused if there are problems."""

    ended_at: int
    problems: tuple[str, ...] = ()

    @property
    def outcome(self) -> Literal["done", "refused"]:
        """Whether the new files are in use."""
        return "refused" if self.problems else "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerState:
    """The model and feature SQL in use, and the last reload. None: there was no reload."""

    model: str
    features_version: str
    reload: Reload | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseState:
    """Connection permits, open connections, and the load that the server reported last."""

    permits_max: int
    permits_limit: int
    permits_in_use: int
    connections: int
    threads_running: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpState:
    """Clients of the HTTP server."""

    connections: int
    #: Requests that wait for a run are not among them.
    requests_in_flight: int
    waiters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """A message in flight. The IDs are None until the message is parsed."""

    entity_id: str | None
    run_id: str | None
    lane: Lane
    phase: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkState:
    """Consumers, the breaker, and the lanes."""

    consumers: int
    runs: tuple[RunState, ...]
    breaker: Literal["closed", "outage", "fault"]
    #: Why this daemon receives no messages. None: it receives them.
    blocked_by: str | None
    poll_loop_stalled: bool
    #: None: there was no sample yet, or SQS is unreachable.
    queues: Mapping[Lane, Depth | None]
    oldest_pending_seconds: Mapping[Lane, float]
    #: For a run that would be requested now in the interactive lane.
    estimated_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state of a daemon at one moment."""

    process: ProcessState
    scorer: ScorerState
    database: DatabaseState
    http: HttpState
    work: WorkState

    @property
    def stopping(self) -> bool:
        """Whether the daemon has begun to stop."""
        return self.process.phase in ("draining", "closing")

    @property
    def unready(self) -> str | None:
        """The reason why this daemon should receive no requests. None: it is ready.

        Only what requests need counts. Everyone may read it, so it names no address.
        """
        if self.stopping:
            return "this daemon is stopping"
        if self.process.clock_wrong:
            return "the clock of this machine is wrong"
        return "DynamoDB is unreachable" if self.process.store_unreachable else None
