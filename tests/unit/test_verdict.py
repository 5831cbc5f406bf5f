"""What requests and messages come to: the two tables, row by row."""

from dataclasses import replace

import pytest

from fraudd.prediction import SKEW_MARGIN_MS, Record, new_run_id
from fraudd.verdict import (
    Announce,
    Claim,
    Drop,
    GiveBack,
    GiveUp,
    OnMessage,
    OnRequest,
    Open,
    on_message,
    on_request,
)
from tests.conftest import NOW

RUN, OTHER = new_run_id(NOW, 1), new_run_id(NOW + 1, 2)
QUEUED = Record(entity_id="e", state="queued", run_id=RUN, requested_at=NOW, published_at=NOW)
LEASE = NOW + 60_000
RUNNING = replace(
    QUEUED, state="running", worker="w", lease_until=LEASE, attempts=1, started_at=NOW
)
RESULT = {"run_id": RUN, "expires_at": NOW, "scored_at": NOW}
DONE = replace(QUEUED, state="done", result=RESULT, finished_at=NOW)
FAILED = replace(QUEUED, state="failed", error={"run_id": RUN, "expires_at": NOW}, finished_at=NOW)


@pytest.mark.parametrize(
    ("record", "now", "max_age", "force", "verdict"),
    [
        (None, NOW, None, False, "open"),
        (None, NOW, None, True, "open"),
        (QUEUED, NOW, None, False, "pending"),
        (QUEUED, NOW, None, True, "pending"),
        (RUNNING, NOW, 0, True, "pending"),
        (DONE, NOW + 10**9, None, False, "stored"),
        (DONE, NOW + 60_000, 60, False, "stored"),
        (DONE, NOW + 60_001, 60, False, "open"),
        (DONE, NOW, 0, False, "stored"),
        (DONE, NOW, None, True, "open"),
        (FAILED, NOW + 59_999, None, False, "failed"),
        (FAILED, NOW + 60_000, None, False, "open"),
        (FAILED, NOW, None, True, "open"),
    ],
)
def test_requests(
    record: Record | None, now: int, max_age: float | None, force: bool, verdict: OnRequest
) -> None:
    assert (
        on_request(
            record,
            now=now,
            max_age_seconds=max_age,
            force=force,
            retry_failed_after_seconds=60,
        )
        == verdict
    )


BACKED_OFF = replace(QUEUED, attempts=1, not_before=NOW + 5_000, started_at=NOW)
DEAD = LEASE + SKEW_MARGIN_MS
WORN_OUT = replace(RUNNING, attempts=5)
NEWER = replace(QUEUED, run_id=OTHER)
NEWER_WITH_RESULT = replace(NEWER, result=RESULT)


@pytest.mark.parametrize(
    ("record", "run_id", "now", "verdict"),
    [
        (QUEUED, RUN, NOW, Claim(QUEUED)),
        (BACKED_OFF, RUN, NOW + 4_999, GiveBack(NOW + 5_000)),
        (BACKED_OFF, RUN, NOW + 5_000, Claim(BACKED_OFF)),
        (RUNNING, RUN, NOW, GiveBack(DEAD)),
        (RUNNING, RUN, DEAD, GiveBack(DEAD + 1_000)),
        (RUNNING, RUN, DEAD + 1, Claim(RUNNING)),
        (WORN_OUT, RUN, DEAD, GiveBack(DEAD + 1_000)),
        (WORN_OUT, RUN, DEAD + 1, GiveUp(WORN_OUT, "exhausted")),
        (QUEUED, RUN, NOW + 100_001, GiveUp(QUEUED, "expired")),
        (QUEUED, RUN, NOW + 100_000, Claim(QUEUED)),
        (RUNNING, RUN, NOW + 100_001, Claim(RUNNING)),
        (DONE, RUN, NOW, Announce(DONE, RUN)),
        (FAILED, RUN, NOW, Announce(FAILED, RUN)),
        (NEWER_WITH_RESULT, RUN, NOW, Announce(NEWER_WITH_RESULT, RUN)),
        (NEWER, RUN, NOW, Drop("superseded")),
        (replace(DONE, result=None), RUN, NOW, Drop("superseded")),
        (None, RUN, NOW, Drop("superseded")),
        (None, None, NOW, Open(None)),
        (DONE, None, NOW, Open(DONE)),
        (FAILED, None, NOW, Open(FAILED)),
        (QUEUED, None, NOW, Drop("covered")),
        (RUNNING, None, NOW, GiveBack(DEAD)),
    ],
)
def test_messages(record: Record | None, run_id: str | None, now: int, verdict: OnMessage) -> None:
    assert on_message(record, run_id, now=now, max_attempts=5, max_wait_seconds=100) == verdict


def test_without_max_wait_a_run_never_expires() -> None:
    much_later = NOW + 10**10
    verdict = on_message(QUEUED, RUN, now=much_later, max_attempts=5, max_wait_seconds=None)
    assert verdict == Claim(QUEUED)
