"""Takes a snapshot of the daemon, and shows it as JSON and in one line."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fraudd import __version__
from fraudd.daemon.http import HttpServer
from fraudd.daemon.loop_lag import LoopLag
from fraudd.daemon.reload import Reloads
from fraudd.daemon.scorers import Scorers
from fraudd.daemon.snapshot import (
    DatabaseState,
    HttpState,
    Phase,
    ProcessState,
    Reload,
    RunState,
    ScorerState,
    Snapshot,
    WorkState,
)
from fraudd.engine.engine import Engine
from fraudd.ports import Clock, Depth
from fraudd.prediction.formats import rfc3339
from fraudd.prediction.record import Lane
from fraudd.telemetry import log
from fraudd.wiring import Adapters

#: systemd accepts any length, but an operator reads only the beginning.
_MAX_CHARACTERS = 400
#: The keys of ``/v1/status`` that show the queue of each lane.
_QUEUE_KEYS: Mapping[Lane, str] = {"interactive": "queue", "bulk": "bulk_queue"}


@dataclass(slots=True, kw_only=True)
class Lifecycle:
    """The phase of the process, which the daemon sets."""

    started_at: int
    phase: Phase = "serving"
    address: str = ""

    @property
    def stopping(self) -> bool:
        """Whether the daemon has begun to stop."""
        return self.phase in ("draining", "closing")


class Status:
    """Takes snapshots of the parts of a daemon."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        *,
        engine: Engine,
        adapters: Adapters,
        scorers: Scorers,
        reloads: Reloads,
        http: HttpServer,
        loop_lag: LoopLag,
        clock: Clock,
    ) -> None:
        self._lifecycle = lifecycle
        self._engine = engine
        self._adapters = adapters
        self._scorers = scorers
        self._reloads = reloads
        self._http = http
        self._loop_lag = loop_lag
        self._clock = clock

    def take(self) -> Snapshot:
        """Look at every part once."""
        reloading = self._reloads.running and not self._lifecycle.stopping
        permits, connections = self._adapters.permits, self._adapters.connections
        return Snapshot(
            process=ProcessState(
                phase="reloading" if reloading else self._lifecycle.phase,
                address=self._lifecycle.address,
                started_at=self._lifecycle.started_at,
                loop_lag_seconds=self._loop_lag.seconds,
                clock_skew_seconds=self._adapters.skew.off_seconds,
                clock_wrong=self._adapters.skew.blocked_by is not None,
                log_lines_dropped=log.dropped_lines(),
                store_unreachable=self._engine.breaker.unreachable("store"),
                index_problem=self._adapters.store.index.problem,
            ),
            scorer=ScorerState(
                model=self._scorers.model,
                features_version=self._scorers.features_version,
                reload=self._reloads.last,
            ),
            database=DatabaseState(
                permits_max=permits.maximum,
                permits_limit=permits.limit,
                permits_in_use=permits.in_use,
                connections=connections.open,
                threads_running=permits.threads_running,
            ),
            http=HttpState(
                connections=self._http.connections,
                requests_in_flight=self._http.requests_in_flight,
                waiters=self._engine.waiters.count,
            ),
            work=self._work(),
        )

    def _work(self) -> WorkState:
        consumers, samplers = self._engine.consumers, self._engine.samplers
        oldest, now = self._engine.sweeper.oldest, self._clock.now()
        return WorkState(
            consumers=consumers.count,
            runs=tuple(
                RunState(
                    entity_id=job.entity_id,
                    run_id=job.run_id,
                    lane=job.lease.message.lane,
                    phase=job.phase,
                    seconds=max(0, now - job.lease.message.received_at) / 1000,
                )
                for job in consumers.jobs
            ),
            breaker=self._engine.breaker.state,
            blocked_by=consumers.blocked_by,
            poll_loop_stalled=consumers.stalled,
            queues={lane: sampler.depth for lane, sampler in samplers.items()},
            oldest_pending_seconds={lane: oldest.seconds(lane, now) for lane in samplers},
            estimated_seconds=samplers["interactive"].estimate(),
        )


def status_body(now: Snapshot) -> Mapping[str, Any]:
    """Show a snapshot as the body of ``GET /v1/status``."""
    work, database, reload = now.work, now.database, now.scorer.reload
    return {
        "version": __version__,
        "model": now.scorer.model,
        "features_version": now.scorer.features_version,
        "reload": reload
        and {
            "outcome": reload.outcome,
            "at": rfc3339(reload.ended_at),
            "problems": list(reload.problems),
        },
        "state": "draining" if now.stopping else "serving",
        "started_at": rfc3339(now.process.started_at),
        "breaker": work.breaker,
        "blocked_by": work.blocked_by,
        "index_problem": now.process.index_problem,
        "permits": {
            "max": database.permits_max,
            "limit": database.permits_limit,
            "in_use": database.permits_in_use,
        },
        "database_connections": database.connections,
        "consumers": {"count": work.consumers, "busy": len(work.runs)},
        "runs": [asdict(run) for run in work.runs],
        **{_QUEUE_KEYS[lane]: depth and _counts(depth) for lane, depth in work.queues.items()},
        "waiters": now.http.waiters,
        "estimated_seconds": work.estimated_seconds,
    }


def status_line(now: Snapshot) -> str:
    """Show a snapshot in the line of ``systemctl status``, the most important part first."""
    line = "; ".join(_parts(now))
    printable = "".join(character if character.isprintable() else " " for character in line)
    if len(printable) <= _MAX_CHARACTERS:
        return printable
    return printable[: _MAX_CHARACTERS - 1] + "…"


def _parts(now: Snapshot) -> list[str]:
    address, busy = now.process.address, len(now.work.runs)
    if now.process.phase == "draining":
        runs = "1 run" if busy == 1 else f"{busy} runs"
        return [f"draining: {runs} left", f"still serving at {address}"]
    if now.process.phase == "closing":
        return ["closing: sending the last responses"]
    reloading = "reloading, still " if now.process.phase == "reloading" else ""
    blocked = f", receiving no messages: {now.work.blocked_by}" if now.work.blocked_by else ""
    depth = now.work.queues["interactive"]
    return [
        f"{reloading}serving at {address}{blocked}",
        f"{busy} of {now.work.consumers} consumers busy",
        "queue unknown" if depth is None else f"{depth.visible} waiting in the queue",
        f"model {now.scorer.model}" if now.scorer.model else "no model in use yet",
        *_refused(now.scorer.reload),
        *([] if now.process.index_problem is None else [now.process.index_problem]),
    ]


def _refused(reload: Reload | None) -> list[str]:
    if reload is None or not reload.problems:
        return []
    first, *others = reload.problems
    more = f" (and {len(others)} more)" if others else ""
    return [f"refused the reload of {rfc3339(reload.ended_at)}: {first}{more}"]


def _counts(depth: Depth) -> Mapping[str, int]:
    return {kind: count for kind, count in asdict(depth).items() if count is not None}
