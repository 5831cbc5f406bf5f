"""A snapshot of a daemon that serves."""

from fraudd.daemon.snapshot import (
    DatabaseState,
    HttpState,
    ProcessState,
    RunState,
    ScorerState,
    Snapshot,
    WorkState,
)
from fraudd.ports import Depth

RUN = RunState(
    entity_id="shop-1",
    run_id="01KBXAW9Z4VZK8YB0PN2GQTR5C",
    lane="interactive",
    phase="database",
    seconds=1.5,
)
SERVING = Snapshot(
    process=ProcessState(
        phase="serving",
        address="127.0.0.1:8080",
        started_at=0,
        loop_lag_seconds=0.001,
        clock_skew_seconds=0.0,
        clock_wrong=False,
        log_lines_dropped=0,
        store_unreachable=False,
        index_problem=None,
    ),
    scorer=ScorerState(model="2026-11-24-3f9ac1", features_version="5e1f", reload=None),
    database=DatabaseState(
        permits_max=2, permits_limit=1, permits_in_use=1, connections=1, threads_running=7
    ),
    http=HttpState(connections=4, requests_in_flight=3, waiters=2),
    work=WorkState(
        consumers=3,
        runs=(RUN,),
        breaker="closed",
        blocked_by=None,
        poll_loop_stalled=False,
        queues={"interactive": Depth(visible=12, in_flight=1, delayed=0, dead_lettered=None)},
        oldest_pending_seconds={"interactive": 90.0},
        estimated_seconds=5,
    ),
)
