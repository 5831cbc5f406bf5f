"""The record's transitions, as data."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from fraudd.prediction.events import wake_up
from fraudd.prediction.formats import new_traceparent, new_ulid
from fraudd.prediction.record import (
    ENTITY_ID,
    UNSENT_SHARD,
    Record,
    Transition,
    already_applied,
    lease_end,
    unexpired,
)
from fraudd.prediction.transitions import (
    backed_off,
    claimed,
    completed,
    deleted,
    failed,
    first_claim,
    opened,
    promoted,
    released,
    renewed,
    republished,
    requested_again,
    unpublished,
    unrenewed,
)
from tests.stack.times import NOW

RUN = new_ulid(NOW, 1)
OTHER_RUN = new_ulid(NOW + 1, 2)
NEXT = new_ulid(NOW + 2, 9)
QUEUED = Record(entity_id="shop-1", state="queued", run_id=RUN, requested_at=NOW, published_at=NOW)
RUNNING = replace(
    QUEUED, state="running", worker="w1", lease_until=NOW + 60_000, attempts=1, started_at=NOW
)
RESULT: dict[str, Any] = {
    "run_id": RUN,
    "expires_at": NOW // 1000 + 100,
    "score": 0.5,
    "scored_at": NOW,
}
ERROR: dict[str, Any] = {"run_id": RUN, "expires_at": NOW // 1000 + 50, "type": "x", "detail": "y"}
DONE = replace(QUEUED, state="done", result=RESULT, finished_at=NOW)
ASKED = replace(RUNNING, again=NOW + 3)
BULK = replace(QUEUED, lane="bulk")
TOMBSTONE = Record(entity_id="shop-1", state="deleted", deleted_at=NOW, expires_at=NOW)

TRANSITIONS: dict[str, tuple[Transition, Record | None]] = {
    "opened": (opened("shop-1", None, run_id=RUN, now=NOW), None),
    "opened again": (opened("shop-1", DONE, run_id=OTHER_RUN, now=NOW), DONE),
    "unpublished": (unpublished(QUEUED), QUEUED),
    "republished": (
        republished(replace(QUEUED, published_at=None), now=NOW + 5),
        replace(QUEUED, published_at=None),
    ),
    "claimed": (claimed(QUEUED, worker="w9", now=NOW, lease_until=NOW + 9), QUEUED),
    "claimed from the dead": (
        claimed(RUNNING, worker="w9", now=NOW + 99_000, lease_until=NOW + 200_000),
        RUNNING,
    ),
    "completed": (completed(RUNNING, result=RESULT, now=NOW, next_run_id=NEXT), RUNNING),
    "failed": (failed(RUNNING, error=ERROR, now=NOW, next_run_id=NEXT), RUNNING),
    "backed off": (backed_off(RUNNING, not_before=NOW + 7_000), RUNNING),
    "released": (released(RUNNING), RUNNING),
    "renewed": (renewed(RUNNING, lease_until=NOW + 90_000), RUNNING),
    "asked again": (requested_again(RUNNING, now=NOW + 3), RUNNING),
    "completed and opened": (
        completed(ASKED, result=RESULT, now=NOW + 9, next_run_id=NEXT),
        ASKED,
    ),
    "failed and opened": (failed(ASKED, error=ERROR, now=NOW + 9, next_run_id=NEXT), ASKED),
    "swept": (republished(RUNNING, now=NOW + 99), RUNNING),
    "opened in bulk": (opened("shop-1", None, run_id=RUN, now=NOW, lane="bulk"), None),
    "opened again in the other lane": (
        opened("shop-1", replace(DONE, lane="bulk"), run_id=OTHER_RUN, now=NOW),
        replace(DONE, lane="bulk"),
    ),
    "promoted": (promoted(BULK, now=NOW + 5), BULK),
    "opened after forgetting": (opened("shop-1", TOMBSTONE, run_id=RUN, now=NOW), TOMBSTONE),
}


def after(transition: Transition, before: Record | None) -> Record:
    """What the store holds once the transition was carried out."""
    kept = {} if before is None else asdict(before)
    stored = {"entity_id": transition.entity_id, **kept, **transition.sets}
    return Record(**{name: value for name, value in stored.items() if value is not None})


def holds(transition: Transition, record: Record | None) -> bool:
    def stored(name: str) -> Any:
        return (None if record is None else getattr(record, name)) or None

    return all(stored(name) == (value or None) for name, value in transition.expects.items())


@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_transition_applies_to_the_record_it_was_made_for(name: str) -> None:
    transition, before = TRANSITIONS[name]
    assert holds(transition, before)


@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_transition_never_applies_twice(name: str) -> None:
    transition, before = TRANSITIONS[name]
    once = after(transition, before)
    harmless_twice = ("unpublished", "renewed", "asked again")
    assert name in harmless_twice or not holds(transition, once)


@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_retry_knows_its_own_first_try(name: str) -> None:
    transition, before = TRANSITIONS[name]
    assert already_applied(transition, after(transition, before))


@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_proof_is_of_what_the_transition_sets(name: str) -> None:
    transition, _ = TRANSITIONS[name]
    assert transition.proof == "all" or transition.sets[transition.proof] is not None


@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_retry_does_not_take_another_runs_record_for_its_own(name: str) -> None:
    transition, _ = TRANSITIONS[name]
    foreign = replace(QUEUED, run_id=new_ulid(NOW + 3, 3), published_at=NOW + 77)
    assert not already_applied(transition, foreign)
    assert not already_applied(transition, None)


ENDS = ["completed", "failed", "backed off", "released", "completed and opened"]


@pytest.mark.parametrize("name", [*ENDS, "renewed"])
def test_only_the_claim_that_holds_a_run_ends_it(name: str) -> None:
    transition, _ = TRANSITIONS[name]
    stolen = replace(RUNNING, worker="w2")
    newer = replace(RUNNING, run_id=OTHER_RUN)
    assert not holds(transition, stolen)
    assert not holds(transition, newer)


@pytest.mark.parametrize("name", ENDS)
def test_whoever_ends_a_run_holds_it_no_longer(name: str) -> None:
    ended = after(*TRANSITIONS[name])
    assert (ended.worker, ended.lease_until) == (None, None)


def test_a_verdict_is_known_as_landed_although_a_newer_run_stands() -> None:
    transition, before = TRANSITIONS["completed"]
    done = after(transition, before)
    reopened = after(opened("shop-1", done, run_id=OTHER_RUN, now=NOW + 10), done)
    assert already_applied(transition, reopened)


def test_a_claim_is_not_taken_for_landed_once_another_claim_stands() -> None:
    transition, before = TRANSITIONS["claimed"]
    stolen = replace(after(transition, before), worker="w10")
    assert not already_applied(transition, stolen)


def test_each_part_of_a_condition_is_needed() -> None:
    give_up = failed(QUEUED, error=ERROR, now=NOW, next_run_id=NEXT)
    assert not holds(give_up, replace(DONE, worker=None))
    steal = claimed(RUNNING, worker="w9", now=NOW + 99_000, lease_until=NOW + 200_000)
    assert not holds(steal, replace(RUNNING, worker="w2"))
    reopen = opened("shop-1", DONE, run_id=OTHER_RUN, now=NOW)
    assert not holds(reopen, replace(DONE, state="failed"))
    assert not holds(unpublished(QUEUED), replace(QUEUED, attempts=1))


def test_a_renewed_lease_is_not_stolen_on_a_stale_reading() -> None:
    steal = claimed(RUNNING, worker="w9", now=NOW + 99_000, lease_until=NOW + 200_000)
    assert not holds(steal, replace(RUNNING, lease_until=NOW + 90_000))


def test_a_run_is_not_given_up_over_a_holder_that_renews() -> None:
    giving_up = unrenewed(failed(RUNNING, error=ERROR, now=NOW, next_run_id=NEXT), RUNNING)
    assert holds(giving_up, RUNNING)
    assert not holds(giving_up, after(renewed(RUNNING, lease_until=NOW + 90_000), RUNNING))


def test_a_claim_counts_the_attempt_and_a_release_gives_it_back() -> None:
    running = after(claimed(QUEUED, worker="w", now=NOW, lease_until=NOW + 1), QUEUED)
    assert running.attempts == 1
    assert after(released(running), running).attempts == 0
    assert after(backed_off(running, not_before=NOW), running).attempts == 1


def test_an_overrun_is_counted_until_the_run_ends() -> None:
    once = after(backed_off(RUNNING, not_before=NOW, overran=True), RUNNING)
    assert once.overruns == 1
    claim = after(claimed(once, worker="w", now=NOW, lease_until=NOW), once)
    assert claim.overruns == 1
    assert after(backed_off(claim, not_before=NOW), claim).overruns == 1
    done = after(completed(claim, result=RESULT, now=NOW, next_run_id=NEXT), claim)
    assert after(opened("shop-1", done, run_id=OTHER_RUN, now=NOW), done).overruns == 0


def test_a_back_off_lasts_until_its_end_and_no_longer_than_the_next_claim() -> None:
    waiting = after(*TRANSITIONS["backed off"])
    assert waiting.not_before == NOW + 7_000
    again = after(claimed(waiting, worker="w", now=NOW + 7_000, lease_until=NOW + 9), waiting)
    assert again.not_before is None


def test_a_claim_from_a_dead_lease_counts_the_death() -> None:
    stolen = after(*TRANSITIONS["claimed from the dead"])
    assert (stolen.attempts, stolen.deaths) == (1, 1)


def test_a_claim_that_died_beside_others_costs_no_attempt_and_one_that_died_alone_does() -> None:
    record, counted = RUNNING, []
    for _ in range(4):
        died = claimed(record, worker="w9", now=NOW + 99_000, lease_until=NOW + 200_000)
        record = after(died, record)
        counted.append((record.attempts, record.deaths))
    assert counted == [(1, 1), (1, 2), (2, 3), (3, 4)]


def test_what_was_asked_again_opens_in_the_same_write_as_the_verdict() -> None:
    for name, outcome in (("completed and opened", "result"), ("failed and opened", "error")):
        record = after(*TRANSITIONS[name])
        assert (record.state, record.run_id, record.attempts) == ("queued", NEXT, 0)
        assert (record.requested_at, record.published_at) == (ASKED.again, None)
        assert getattr(record, outcome)["run_id"] == RUN
        assert record.again is None
        assert record.listed == f"pending#{UNSENT_SHARD}"
        assert record.expires_at is None


def test_a_verdict_does_not_land_over_who_asked_again_meanwhile() -> None:
    for plain in ("completed", "failed"):
        assert not holds(TRANSITIONS[plain][0], ASKED)


@pytest.mark.parametrize("name", ["claimed from the dead", "backed off", "released"])
def test_who_asked_again_is_served_by_a_run_that_reads_anew(name: str) -> None:
    transition, _ = TRANSITIONS[name]
    assert after(transition, ASKED).again is None


def test_a_tombstone_holds_nothing_of_what_was_and_needs_no_item() -> None:
    forget = deleted("shop-1", now=NOW, expires_at=5)
    tombstone = Record(entity_id="shop-1", state="deleted", deleted_at=NOW, expires_at=5)
    for before in (None, replace(ASKED, result=RESULT, error=ERROR), DONE):
        assert holds(forget, before)
        assert after(forget, before) == tombstone
    assert unexpired(tombstone, NOW) is None


def test_a_run_opens_only_over_the_tombstone_that_was_read() -> None:
    reopen, _ = TRANSITIONS["opened after forgetting"]
    assert not holds(reopen, replace(TOMBSTONE, deleted_at=NOW + 1))


def test_a_sweep_counts_what_it_sends_again_and_not_what_was_never_sent() -> None:
    unsent = replace(QUEUED, published_at=None)
    assert after(republished(unsent, now=NOW), unsent).requeues == 0
    again = after(*TRANSITIONS["swept"])
    assert again.requeues == 1
    assert after(claimed(again, worker="w", now=NOW, lease_until=NOW), again).requeues == 0


def test_a_wake_up_is_not_sent_again_for_who_was_claimed_or_waits_meanwhile() -> None:
    sweep = republished(RUNNING, now=NOW + 99)
    assert not holds(sweep, replace(RUNNING, worker="w2"))
    assert not holds(republished(QUEUED, now=NOW + 99), replace(QUEUED, not_before=NOW + 500))


def test_the_first_claim_is_a_claim_on_a_run_nobody_has_touched() -> None:
    guess = first_claim("shop-1", RUN, worker="w", now=NOW, lease_until=NOW + 1)
    assert holds(guess, QUEUED)
    for touched in (
        replace(QUEUED, attempts=1),
        replace(QUEUED, deaths=1),
        replace(QUEUED, not_before=NOW),
        RUNNING,
        DONE,
        replace(QUEUED, run_id=OTHER_RUN),
    ):
        assert not holds(guess, touched)


def test_opening_keeps_the_previous_result_and_drops_what_was_of_the_last_run() -> None:
    worn = replace(RUNNING, result=RESULT, deaths=2, not_before=NOW)
    failed_once = after(failed(worn, error=ERROR, now=NOW, next_run_id=NEXT), worn)
    again = after(opened("shop-1", failed_once, run_id=OTHER_RUN, now=NOW), failed_once)
    assert again.result == RESULT
    assert (again.attempts, again.deaths) == (0, 0)
    assert (again.started_at, again.finished_at, again.expires_at) == (None, None, None)
    assert (again.worker, again.lease_until, again.not_before) == (None, None, None)
    assert again.listed == failed_once.listed.replace("failed", "pending")  # type: ignore[union-attr]


def test_a_run_belongs_to_the_trace_it_was_asked_for_in_or_begins_its_own() -> None:
    given = f"00-{'a' * 32}-{'b' * 16}-01"
    asked = after(opened("shop-1", None, run_id=RUN, now=NOW, traceparent=given), None)
    assert asked.traceparent == given
    own = after(opened("shop-1", DONE, run_id=OTHER_RUN, now=NOW), DONE)
    assert own.traceparent == new_traceparent(OTHER_RUN)
    assert wake_up(asked).attributes == {"fraudd.run_id": RUN, "traceparent": given}


def test_opening_drops_a_result_that_has_expired() -> None:
    later = RESULT["expires_at"] * 1000
    assert after(opened("shop-1", DONE, run_id=OTHER_RUN, now=later), DONE).result is None


def test_failed_runs_are_listed_by_the_time_they_were_asked_for() -> None:
    record = after(failed(RUNNING, error=ERROR, now=NOW + 99, next_run_id=NEXT), RUNNING)
    assert record.listed is not None
    assert record.listed.startswith("failed#")
    assert record.listed_at == RUNNING.requested_at


def test_a_result_is_kept_as_long_as_the_longer_of_result_and_error() -> None:
    lasting = {**ERROR, "expires_at": RESULT["expires_at"] + 1}
    done = completed(replace(RUNNING, error=lasting), result=RESULT, now=NOW, next_run_id=NEXT)
    assert done.sets["expires_at"] == lasting["expires_at"]


def test_a_failure_is_kept_as_long_as_the_longer_of_result_and_error() -> None:
    assert (
        failed(RUNNING, error=ERROR, now=NOW, next_run_id=NEXT).sets["expires_at"]
        == ERROR["expires_at"]
    )
    with_result = replace(RUNNING, result=RESULT)
    assert (
        failed(with_result, error=ERROR, now=NOW, next_run_id=NEXT).sets["expires_at"]
        == RESULT["expires_at"]
    )


@pytest.mark.parametrize(
    ("record", "seconds_later", "seen"),
    [
        (None, 0, None),
        (DONE, 99, DONE),
        (DONE, 100, None),
        (replace(QUEUED, result=RESULT), 100, QUEUED),
        (replace(QUEUED, result=RESULT), 99, replace(QUEUED, result=RESULT)),
        (replace(QUEUED, state="failed", error=ERROR), 50, None),
        (
            replace(QUEUED, state="failed", error=ERROR, result=RESULT),
            49,
            replace(QUEUED, state="failed", error=ERROR, result=RESULT),
        ),
    ],
)
def test_a_reader_takes_what_has_expired_as_absent(
    record: Record | None, seconds_later: int, seen: Record | None
) -> None:
    assert unexpired(record, NOW // 1000 * 1000 + seconds_later * 1000) == seen


def test_a_lease_ends_before_its_message_comes_back() -> None:
    assert lease_end(NOW) == NOW - 4_000


@pytest.mark.parametrize("good", ["a", "shop-42", "A.b_c:d@e-f", "0" * 128])
def test_entity_ids_are_what_the_contract_says(good: str) -> None:
    assert ENTITY_ID.fullmatch(good)


@pytest.mark.parametrize("bad", ["", "-a", "a b", "a" * 129, "ä", "a/b", "a\n", ".a"])
def test_other_strings_are_no_entity_ids(bad: str) -> None:
    assert not ENTITY_ID.fullmatch(bad)


def test_a_run_keeps_its_lane_until_it_is_hastened_or_another_opens() -> None:
    assert after(*TRANSITIONS["opened in bulk"]).lane == "bulk"
    running = replace(RUNNING, lane="bulk")
    assert after(released(running), running).lane == "bulk"
    assert after(*TRANSITIONS["promoted"]).lane is None
    assert after(*TRANSITIONS["opened again in the other lane"]).lane is None
    asked = replace(ASKED, lane="bulk")
    # Another service asked meanwhile, and that is not in bulk.
    ended = completed(asked, result=RESULT, now=NOW + 9, next_run_id=NEXT)
    assert after(ended, asked).lane is None
