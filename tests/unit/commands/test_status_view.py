"""What ``fraudd status`` shows, in a terminal of any width."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fraudd.commands.status_view import fitted, lines

STARTED = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
RUN = "01M882XAC44Z2ZSZT7E7GR8CYW"
STATUS: dict[str, Any] = {
    "version": "1.2.3",
    "model": "2026-11-24-3f9ac1",
    "state": "serving",
    "started_at": "2026-11-24T08:00:00.000Z",
    "breaker": "closed",
    "blocked_by": None,
    "permits": {"max": 4, "limit": 4, "in_use": 1},
    "database_connections": 2,
    "consumers": {"count": 5, "busy": 2},
    "runs": [
        {"entity_id": "shop-1", "run_id": RUN, "phase": "storing", "seconds": 0.04},
        {"entity_id": None, "run_id": None, "phase": "waiting_alone", "seconds": 12.345},
    ],
    "queue": {"visible": 7, "in_flight": 2, "delayed": 1, "dead_lettered": 3},
    "waiters": 6,
    "estimated_seconds": 75,
}


def shown(*, width: int = 80, **changes: Any) -> str:
    return "\n".join(
        lines(
            STATUS | changes,
            url="http://127.0.0.1:8080",
            now=STARTED + timedelta(hours=3, minutes=5),
            width=width,
        )
    )


def test_a_daemon_at_work() -> None:
    assert (
        shown()
        == """\
fraudd 1.2.3 at http://127.0.0.1:8080
state       serving, started 3 h 5 min ago
model       2026-11-24-3f9ac1
breaker     closed: no outage, no systemic failure
blocked by  none

permits     [#...] 1 of 4 in use; 2 connections open
consumers   [##...] 2 of 5 busy
queue       7 waiting, 2 in flight, 1 delayed; 3 dead letters
requests    6 waiting for a run; a new run would end in about 1 min 15 s

ENTITY                         RUN                        PHASE          SECONDS
-                              -                          waiting_alone     12.3
shop-1                         01M882XAC44Z2ZSZT7E7GR8CYW storing            0.0"""
    )


def test_a_daemon_at_rest_that_was_just_started() -> None:
    told = shown(runs=[], queue=None, permits={"max": 2, "limit": 2, "in_use": 0})
    assert "\npermits     [..] 0 of 2 in use; " in told
    assert "\nqueue       unknown (no sample yet, or SQS is unreachable)\n" in told
    assert told.endswith("\n\nno run in progress")


def test_the_permit_of_a_poll_is_not_taken_for_a_run() -> None:
    told = shown(runs=[], database_connections=1)
    assert "\npermits     [#...] 1 of 4 in use by the poll; 1 connection open\n" in told


def test_why_no_messages_are_taken_is_told_in_full_but_in_three_lines() -> None:
    why = "database: cannot connect to db.example.internal:3306"
    told = shown(breaker="outage", blocked_by=why)
    assert (
        "\nbreaker     open: a dependency is unreachable; the daemon receives no messages\n" in told
    )
    assert f"\nblocked by  {why}\n" in told
    long = shown(blocked_by="word " * 100).splitlines()
    assert [line[:12].strip() for line in long[4:8]] == ["blocked by", "", "", ""]
    assert long[6].endswith(" …")
    assert long[7] == ""


def test_a_limit_that_fell_says_what_it_was() -> None:
    told = shown(permits={"max": 40, "limit": 10, "in_use": 10})
    assert "[#####...............] 10 of 10 in use, reduced from 40; " in told


def test_a_bulk_lane_and_a_refused_reload_show_where_there_are_any() -> None:
    job = {"entity_id": "shop-9", "run_id": RUN, "phase": "database", "seconds": 1, "lane": "bulk"}
    told = shown(
        runs=[job],
        bulk_queue={"visible": 900, "in_flight": 1, "delayed": 0},
        reload={
            "outcome": "refused",
            "at": "2026-11-24T09:00:00.000Z",
            "problems": ["orders.sql: no"],
        },
    )
    assert "\nbulk queue  900 waiting, 1 in flight, 0 delayed\n" in told
    assert "\nreload      refused at 2026-11-24T09:00:00.000Z\n" in told
    assert "\nrefused     orders.sql: no\n" in told
    assert "\nshop-9 (bulk) " in told


@pytest.mark.parametrize("width", [20, 40, 79, 80, 132])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    job = {"entity_id": "s" * 128, "run_id": RUN, "phase": "database", "seconds": 86400.0}
    told = shown(width=width, runs=[job], blocked_by="x" * 500)
    assert all(len(line) <= width for line in told.splitlines())


def test_nothing_that_comes_from_elsewhere_steers_the_terminal() -> None:
    told = shown(blocked_by="database: \x1b[2J\x07 gone", model="m\x1b]0;title\x07")
    assert not [letter for letter in told if letter != "\n" and not letter.isprintable()]


def test_more_lines_than_the_terminal_has_are_counted() -> None:
    assert fitted(["a", "b", "c"], 3) == ["a", "b", "c"]
    assert fitted(["a", "b", "c", "d"], 3) == ["a", "b", "… 2 more"]
