"""What callers and subscribers read."""

from dataclasses import replace

import pytest

from fraudd.prediction.body import body, ended
from fraudd.prediction.formats import new_ulid, rfc3339
from fraudd.prediction.record import Record
from tests.stack.times import NOW

RUN, OTHER = new_ulid(NOW, 1), new_ulid(NOW + 1, 2)
RESULT = {
    "run_id": RUN,
    "requested_at": NOW,
    "started_at": NOW + 1,
    "finished_at": NOW + 2,
    "attempts": 3,
    "expires_at": 9,
    "score": 0.5,
    "decision": "review",
    "model": "m",
    "as_of": NOW,
    "scored_at": NOW + 2,
    "reasons": [],
    "timing_ms": {"total": 2},
    "features": {"f": 1.0},
}
ERROR = {
    "run_id": RUN,
    "requested_at": NOW,
    "started_at": NOW + 1,
    "finished_at": NOW + 2,
    "attempts": 1,
    "expires_at": 9,
    "type": "entity_unknown",
    "detail": "no such shop",
}
QUEUED = Record(entity_id="e", state="queued", run_id=OTHER, requested_at=NOW + 50, attempts=0)
DONE = replace(QUEUED, state="done", run_id=RUN, result=RESULT, finished_at=NOW + 2, attempts=3)


def test_a_done_body_shows_the_result_and_nothing_internal() -> None:
    shown = body(DONE)
    assert shown["status"] == "done"
    assert shown["result"] == {
        "score": 0.5,
        "decision": "review",
        "model": "m",
        "as_of": rfc3339(NOW),
        "scored_at": rfc3339(NOW + 2),
        "reasons": [],
        "timing_ms": {"total": 2},
    }
    assert "error" not in shown


@pytest.mark.parametrize("state", ["queued", "running"])
def test_while_a_run_is_pending_the_previous_result_is_shown(state: str) -> None:
    shown = body(replace(QUEUED, state=state, result=RESULT), estimated_seconds=7)  # type: ignore[arg-type]
    assert shown["status"] == "calculating"
    assert shown["run_id"] == OTHER
    assert shown["result"]["score"] == 0.5
    assert shown["estimated_seconds"] == 7


def test_the_error_is_shown_with_failed_only() -> None:
    assert "error" not in body(replace(QUEUED, error=ERROR))
    assert body(replace(QUEUED, state="failed", error=ERROR))["error"] == {
        "type": "entity_unknown",
        "detail": "no such shop",
        "attempts": 1,
    }


def test_the_end_of_a_run_is_told_though_a_newer_one_stands() -> None:
    told = ended(replace(QUEUED, result=RESULT), RUN)
    assert (told.state, told.run_id, told.requested_at, told.attempts) == ("done", RUN, NOW, 3)
    assert ended(replace(QUEUED, error=ERROR), RUN).state == "failed"


def test_the_end_of_an_unknown_run_is_not_told() -> None:
    with pytest.raises(LookupError, match=OTHER):
        ended(DONE, OTHER)


def test_features_are_shown_to_who_asks_for_them() -> None:
    assert body(DONE, features=True)["result"]["features"] == {"f": 1.0}


def test_a_verdict_on_a_test_entity_is_marked() -> None:
    assert "test" not in body(DONE)
    assert body(replace(DONE, result={**RESULT, "test": True}))["test"] is True
    failed = replace(DONE, state="failed", error={**ERROR, "test": True})
    assert body(failed)["test"] is True


def test_a_run_is_announced_in_its_own_trace_whatever_came_after() -> None:
    """A verdict that an older fraudd stored knows of none."""
    newer = replace(QUEUED, traceparent="newer", result={**RESULT, "traceparent": "older"})
    assert ended(newer, RUN).traceparent == "older"
    assert ended(replace(newer, result=RESULT), RUN).traceparent is None
