"""A snapshot of the daemon, as JSON, as the line of ``systemctl status``, and as gauges."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from fraudd import __version__
from fraudd.daemon.gauges import Gauges
from fraudd.daemon.snapshot import Phase, Reload, RunState, Snapshot
from fraudd.daemon.status import status_body, status_line
from fraudd.ports import Depth
from tests.unit.daemon.snapshots import RUN, SERVING


def changed(
    *,
    phase: Phase = "serving",
    blocked_by: str | None = None,
    depth: Depth | None = SERVING.work.queues["interactive"],
    runs: Sequence[RunState] = (RUN,),
    reload: Reload | None = None,
    clock_wrong: bool = False,
    store_unreachable: bool = False,
    index_problem: str | None = None,
) -> Snapshot:
    return replace(
        SERVING,
        process=replace(
            SERVING.process,
            phase=phase,
            clock_wrong=clock_wrong,
            store_unreachable=store_unreachable,
            index_problem=index_problem,
        ),
        scorer=replace(SERVING.scorer, reload=reload),
        work=replace(
            SERVING.work,
            blocked_by=blocked_by,
            breaker="outage" if blocked_by else "closed",
            queues={"interactive": depth},
            runs=tuple(runs),
        ),
    )


@pytest.mark.parametrize(
    ("now", "line"),
    [
        (
            changed(),
            "serving at 127.0.0.1:8080; 1 of 3 consumers busy; 12 waiting in the queue;"
            " model 2026-11-24-3f9ac1",
        ),
        (
            changed(blocked_by="database: refused", depth=None),
            "serving at 127.0.0.1:8080, receiving no messages: database: refused;"
            " 1 of 3 consumers busy; queue unknown; model 2026-11-24-3f9ac1",
        ),
        (
            changed(index_problem="the index by_state of records is missing"),
            "serving at 127.0.0.1:8080; 1 of 3 consumers busy; 12 waiting in the queue;"
            " model 2026-11-24-3f9ac1; the index by_state of records is missing",
        ),
        (
            changed(phase="reloading"),
            "reloading, still serving at 127.0.0.1:8080; 1 of 3 consumers busy;"
            " 12 waiting in the queue; model 2026-11-24-3f9ac1",
        ),
        (
            changed(reload=Reload(ended_at=0, problems=("no model", "b", "c"))),
            "serving at 127.0.0.1:8080; 1 of 3 consumers busy; 12 waiting in the queue;"
            " model 2026-11-24-3f9ac1;"
            " refused the reload of 1970-01-01T00:00:00.000Z: no model (and 2 more)",
        ),
        (
            changed(reload=Reload(ended_at=0)),
            "serving at 127.0.0.1:8080; 1 of 3 consumers busy; 12 waiting in the queue;"
            " model 2026-11-24-3f9ac1",
        ),
        (changed(phase="draining"), "draining: 1 run left; still serving at 127.0.0.1:8080"),
        (
            changed(phase="draining", runs=(RUN, RUN)),
            "draining: 2 runs left; still serving at 127.0.0.1:8080",
        ),
        (changed(phase="closing"), "closing: sending the last responses"),
    ],
)
def test_the_line_says_what_the_daemon_does(now: Snapshot, line: str) -> None:
    assert status_line(now) == line


def test_an_error_of_many_lines_is_one_line_of_bounded_length() -> None:
    line = status_line(changed(blocked_by="database: a\nSTATUS=all is well\n" + "x" * 1000))
    assert "\n" not in line
    assert len(line) == 400
    assert line.endswith("…")


@pytest.mark.parametrize(
    ("now", "unready"),
    [
        (changed(), None),
        (changed(phase="reloading"), None),
        (changed(blocked_by="database: refused"), None),
        (changed(clock_wrong=True), "the clock of this machine is wrong"),
        (changed(store_unreachable=True), "DynamoDB is unreachable"),
        (changed(phase="draining"), "this daemon is stopping"),
        (changed(phase="closing"), "this daemon is stopping"),
    ],
)
def test_a_daemon_is_ready_if_it_can_serve_requests(now: Snapshot, unready: str | None) -> None:
    assert now.unready == unready
    registry = CollectorRegistry()
    registry.register(Gauges(lambda: now))
    assert registry.get_sample_value("fraudd_ready") == (unready is None)


def test_the_body_shows_runs_and_queues_as_they_are() -> None:
    body = status_body(changed())
    assert (body["version"], body["state"], body["reload"]) == (__version__, "serving", None)
    assert body["permits"] == {"max": 2, "limit": 1, "in_use": 1}
    assert body["consumers"] == {"count": 3, "busy": 1}
    assert body["queue"] == {"visible": 12, "in_flight": 1, "delayed": 0}
    assert "bulk_queue" not in body
    [run] = body["runs"]
    assert (run["entity_id"], run["lane"], run["phase"]) == ("shop-1", "interactive", "database")
    assert status_body(changed(phase="closing"))["state"] == "draining"
    refused = status_body(changed(reload=Reload(ended_at=0, problems=("no model",))))
    assert refused["reload"] == {
        "outcome": "refused",
        "at": "1970-01-01T00:00:00.000Z",
        "problems": ["no model"],
    }


def test_the_gauges_show_the_same_moment() -> None:
    registry = CollectorRegistry()
    registry.register(Gauges(lambda: changed(blocked_by="database: refused")))
    expected = {
        ("fraudd_breaker_open", "cause", "outage"): 1,
        ("fraudd_breaker_open", "cause", "fault"): 0,
        ("fraudd_consumers", "kind", "busy"): 1,
        ("fraudd_consumers", "kind", "count"): 3,
        ("fraudd_permits", "kind", "max"): 2,
        ("fraudd_permits", "kind", "limit"): 1,
        ("fraudd_oldest_pending_seconds", "lane", "interactive"): 90,
    }
    for (name, label, value), number in expected.items():
        assert registry.get_sample_value(name, {label: value}) == number, (name, value)
