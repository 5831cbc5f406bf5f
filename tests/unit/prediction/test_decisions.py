"""What requests and messages come to: the two tables, row by row."""

from dataclasses import replace
from typing import Any

import pytest

from fraudd.prediction.decisions import (
    Announce,
    Claim,
    Drop,
    GiveUp,
    HandOver,
    OnMessage,
    OnRequest,
    Promote,
    Release,
    RunAgain,
    StartRun,
    is_lost,
    on_message,
    on_request,
)
from fraudd.prediction.formats import new_ulid
from fraudd.prediction.record import SKEW_MARGIN_MS, Record
from fraudd.prediction.retry import Limits
from tests.stack.times import NOW

RUN, OTHER = new_ulid(NOW, 1), new_ulid(NOW + 1, 2)
QUEUED = Record(entity_id="e", state="queued", run_id=RUN, requested_at=NOW, published_at=NOW)
LEASE = NOW + 60_000
RUNNING = replace(
    QUEUED, state="running", worker="w", lease_until=LEASE, attempts=1, started_at=NOW
)
RESULT = {"run_id": RUN, "expires_at": NOW, "scored_at": NOW}
DONE = replace(QUEUED, state="done", result=RESULT, finished_at=NOW)
FAILED = replace(QUEUED, state="failed", error={"run_id": RUN, "expires_at": NOW}, finished_at=NOW)


@pytest.mark.parametrize(
    ("record", "now", "max_age", "force", "decision"),
    [
        (None, NOW, None, False, "start"),
        (None, NOW, None, True, "start"),
        (QUEUED, NOW, None, False, "pending"),
        (QUEUED, NOW, None, True, "pending"),
        (RUNNING, NOW, 0, True, "pending"),
        (DONE, NOW + 10**9, None, False, "stored"),
        (DONE, NOW + 60_000, 60, False, "stored"),
        (DONE, NOW + 60_001, 60, False, "start"),
        (DONE, NOW, 0, False, "stored"),
        (DONE, NOW, None, True, "start"),
        (FAILED, NOW + 59_999, None, False, "failed"),
        (FAILED, NOW + 60_000, None, False, "start"),
        (FAILED, NOW, None, True, "start"),
    ],
)
def test_requests(
    record: Record | None, now: int, max_age: float | None, force: bool, decision: OnRequest
) -> None:
    assert (
        on_request(
            record,
            now=now,
            max_age_seconds=max_age,
            force=force,
            retry_failed_after_seconds=60,
        )
        == decision
    )


BACKED_OFF = replace(QUEUED, attempts=1, not_before=NOW + 5_000, started_at=NOW)
DEAD = LEASE + SKEW_MARGIN_MS
WORN_OUT = replace(RUNNING, attempts=5, deaths=2)
DIED_ONCE = replace(RUNNING, deaths=1)
DIED_TWICE = replace(RUNNING, deaths=2)
TOMBSTONE = Record(entity_id="e", state="deleted", deleted_at=NOW)
NEWER = replace(QUEUED, run_id=OTHER)
IN_BULK = replace(QUEUED, lane="bulk")
HASTENED = replace(QUEUED, published_at=NOW + 50_000)
SENT_AGAIN = replace(QUEUED, published_at=NOW + 50_000, requeues=1)
NEWER_WITH_RESULT = replace(NEWER, result=RESULT)


@pytest.mark.parametrize(
    ("record", "run_id", "now", "decision"),
    [
        (QUEUED, RUN, NOW, Claim(QUEUED)),
        (BACKED_OFF, RUN, NOW + 4_999, Release(NOW + 5_000)),
        (BACKED_OFF, RUN, NOW + 5_000, Claim(BACKED_OFF)),
        (RUNNING, RUN, NOW, Release(DEAD)),
        (RUNNING, RUN, DEAD, Release(DEAD + 1_000)),
        (RUNNING, RUN, DEAD + 1, Claim(RUNNING)),
        (WORN_OUT, RUN, DEAD, Release(DEAD + 1_000)),
        (WORN_OUT, RUN, DEAD + 1, GiveUp(WORN_OUT, "exhausted")),
        (QUEUED, RUN, NOW + 100_001, GiveUp(QUEUED, "expired")),
        (QUEUED, RUN, NOW + 100_000, Claim(QUEUED)),
        (RUNNING, RUN, NOW + 100_001, Claim(RUNNING)),
        # Who asks in bulk waits for as long as it takes; who hastens such a run waits anew.
        (IN_BULK, RUN, NOW + 100_001, Claim(IN_BULK)),
        (HASTENED, RUN, NOW + 150_000, Claim(HASTENED)),
        (HASTENED, RUN, NOW + 150_001, GiveUp(HASTENED, "expired")),
        # An outage of SNS is no time in which the run could have started.
        (SENT_AGAIN, RUN, NOW + 100_001, Claim(SENT_AGAIN)),
        (DONE, RUN, NOW, Announce(DONE, RUN)),
        (FAILED, RUN, NOW, Announce(FAILED, RUN)),
        (NEWER_WITH_RESULT, RUN, NOW, Announce(NEWER_WITH_RESULT, RUN)),
        (NEWER, RUN, NOW, Drop("superseded")),
        (replace(DONE, result=None), RUN, NOW, Drop("superseded")),
        (None, RUN, NOW, Drop("superseded")),
        (TOMBSTONE, RUN, NOW, Drop("entity_deleted")),
        (None, None, NOW, StartRun(None)),
        (DONE, None, NOW, StartRun(DONE)),
        (FAILED, None, NOW, StartRun(FAILED)),
        (QUEUED, None, NOW, Drop("covered")),
        (BACKED_OFF, None, NOW, Drop("covered")),
        (RUNNING, None, NOW, RunAgain(RUNNING)),
        (DIED_TWICE, RUN, DEAD + 1, Claim(DIED_TWICE, alone=True)),
        (DIED_ONCE, RUN, DEAD + 1, Claim(DIED_ONCE, alone=True)),
        (replace(QUEUED, deaths=1), RUN, NOW, Claim(replace(QUEUED, deaths=1))),
        (replace(QUEUED, deaths=2), RUN, NOW, Claim(replace(QUEUED, deaths=2), alone=True)),
    ],
)
def test_messages(record: Record | None, run_id: str | None, now: int, decision: OnMessage) -> None:
    assert decided(record, run_id, now=now) == decision


def decided(record: Record | None, run_id: str | None, **more: Any) -> OnMessage:
    given: dict[str, Any] = {
        "now": NOW,
        "sent_at": NOW,
        "holder": None,
        "steal_from": 0,
        "limits": Limits(max_attempts=5, max_wait_seconds=100),
    }
    return on_message(record, run_id, **{**given, **more})


def test_without_max_wait_a_run_never_expires() -> None:
    forever = Limits(max_attempts=5, max_wait_seconds=None)
    assert decided(QUEUED, RUN, now=NOW + 10**10, limits=forever) == Claim(QUEUED)


def test_a_message_that_comes_again_while_in_hand_renews_the_receipt_of_its_holder() -> None:
    assert decided(RUNNING, RUN, holder="w") == HandOver()
    assert decided(RUNNING, RUN, holder="w", now=DEAD + 1) == HandOver()
    assert decided(RUNNING, RUN, holder="x") == Release(DEAD)


def test_nothing_is_stolen_before_others_had_their_beat() -> None:
    quiet = DEAD + 30_000
    assert decided(RUNNING, RUN, now=DEAD + 1, steal_from=quiet) == Release(quiet)
    assert decided(RUNNING, RUN, now=quiet + 1, steal_from=quiet) == Claim(RUNNING)
    assert decided(QUEUED, RUN, steal_from=quiet) == Claim(QUEUED)


def test_what_was_sent_before_an_entity_was_forgotten_is_forgotten_with_it() -> None:
    within = NOW + SKEW_MARGIN_MS
    assert decided(TOMBSTONE, None, sent_at=within) == Drop("entity_deleted")
    assert decided(TOMBSTONE, None, sent_at=within + 1) == StartRun(TOMBSTONE)


def swept(record: Record, *, seconds_later: float, emptied_at: int | None = None) -> bool:
    now = NOW + int(seconds_later * 1000)
    return is_lost(record, now=now, requeue_after_seconds=100, emptied_at=emptied_at)


def test_a_wake_up_that_was_never_sent_is_sent_at_once() -> None:
    assert swept(replace(QUEUED, published_at=None), seconds_later=0.001)


def test_a_wake_up_without_effect_is_sent_again_ever_more_rarely() -> None:
    for requeues, after in ((0, 100), (1, 200), (4, 1600), (5, 3200), (9, 3200)):
        record = replace(QUEUED, requeues=requeues)
        assert not swept(record, seconds_later=after)
        assert swept(record, seconds_later=after + 0.001)


def test_an_empty_queue_shows_at_once_that_a_wake_up_is_lost() -> None:
    after_it = NOW + SKEW_MARGIN_MS + 1
    assert swept(QUEUED, seconds_later=10, emptied_at=after_it)
    assert not swept(QUEUED, seconds_later=10, emptied_at=after_it - 1)
    assert not swept(replace(QUEUED, requeues=1), seconds_later=10, emptied_at=after_it)


def test_who_waits_or_works_is_not_swept() -> None:
    assert not swept(replace(QUEUED, not_before=NOW + 200_000), seconds_later=200)
    assert not swept(replace(QUEUED, not_before=NOW + 200_000), seconds_later=300)
    assert swept(replace(QUEUED, not_before=NOW + 200_000), seconds_later=300.001)
    dead_seconds = (DEAD - NOW) / 1000
    assert not swept(RUNNING, seconds_later=dead_seconds, emptied_at=DEAD + 10**6)
    assert swept(RUNNING, seconds_later=dead_seconds + 1, emptied_at=DEAD + 10**6)
    assert not swept(RUNNING, seconds_later=dead_seconds + 100)
    assert swept(RUNNING, seconds_later=dead_seconds + 100.001)
    assert not swept(DONE, seconds_later=10**6)


def test_another_services_event_does_not_wait_in_the_bulk_lane() -> None:
    bulk = replace(QUEUED, lane="bulk")
    assert decided(bulk, None) == Promote(bulk)
    assert decided(replace(RUNNING, lane="bulk"), None) == RunAgain(replace(RUNNING, lane="bulk"))
    assert decided(QUEUED, None) == Drop("covered")
