"""When work is taken, and who may look whether it can be again."""

import math
import random

import pytest

from fraudd.engine.breaker import (
    FAULT_RUNS,
    FAULT_TRIAL_SECONDS,
    MAX_FAULT_TRIAL_SECONDS,
    Breaker,
    Go,
    Permission,
    Wait,
    WaitForChange,
)


class Certain(random.Random):
    """Draws the longest back-off each time, so that a test can tell when it is over."""

    def uniform(self, a: float, b: float) -> float:
        return b


def seconds(permission: Permission) -> float:
    """The seconds of a permission that is a wait."""
    assert isinstance(permission, Wait)
    return permission.seconds


@pytest.fixture
def breaker() -> Breaker:
    """A breaker whose trial calls come after 2, 4, 8, then always 10 seconds."""
    return Breaker(base_seconds=2.0, max_seconds=10.0, rng=Certain())


def test_while_all_is_well_everything_may_be_called_and_polled(breaker: Breaker) -> None:
    assert breaker.state == "closed"
    assert breaker.blocked_by is None
    assert breaker.enter("store", 0.0) == Go()
    assert breaker.may_poll(0.0, in_flight=3) == Go()
    assert breaker.seconds_since_outage("store", 0.0) == math.inf


def test_an_outage_stops_the_poll_and_says_what_is_wrong(breaker: Breaker) -> None:
    assert breaker.failed("database", "refused", 0.0)
    assert breaker.state == "outage"
    assert breaker.blocked_by == "database: refused"
    assert breaker.may_poll(5.0, in_flight=1) == WaitForChange()


def test_only_the_part_that_is_out_is_waited_for(breaker: Breaker) -> None:
    breaker.failed("database", "refused", 0.0)
    assert breaker.enter("store", 0.0) == Go()
    assert breaker.enter("database", 0.0) == Wait(2.0)


def test_of_all_who_wait_one_probes_and_the_interval_grows_to_its_cap(breaker: Breaker) -> None:
    breaker.failed("store", "gone", 0.0)
    now, waits = 0.0, []
    for _ in range(4):
        wait = seconds(breaker.enter("store", now))
        waits.append(wait)
        now += wait
        assert breaker.enter("store", now) == Go()
        assert breaker.enter("store", now) == WaitForChange()
        assert not breaker.failed("store", "gone", now)
    assert waits == [2.0, 4.0, 8.0, 10.0]
    assert breaker.enter("store", now + 10) == Go()
    assert breaker.answered("store", now + 10)
    assert breaker.state == "closed"
    assert breaker.enter("store", now + 10) == Go()


def test_a_probe_that_is_cut_off_leaves_its_turn_to_another(breaker: Breaker) -> None:
    breaker.failed("store", "gone", 0.0)
    assert breaker.enter("store", 2.0) == Go()
    breaker.left("store")
    assert breaker.enter("store", 2.0) == Go()


def test_calls_that_were_under_way_when_the_outage_began_do_not_put_the_probe_off(
    breaker: Breaker,
) -> None:
    breaker.failed("store", "gone", 0.0)
    for _ in range(9):
        assert not breaker.failed("store", "gone", 1.0)
    assert breaker.enter("store", 2.0) == Go()


def test_after_an_outage_the_breaker_knows_for_how_long_the_part_has_answered(
    breaker: Breaker,
) -> None:
    breaker.failed("store", "gone", 0.0)
    assert breaker.seconds_since_outage("store", 1.0) == 0
    breaker.answered("store", 5.0)
    assert breaker.seconds_since_outage("store", 7.0) == 2.0
    breaker.answered("store", 8.0)
    assert breaker.seconds_since_outage("store", 9.0) == 4.0


def test_with_nothing_in_hand_one_poll_is_the_probe(breaker: Breaker) -> None:
    breaker.failed("database", "refused", 0.0)
    assert breaker.may_poll(0.0, in_flight=0) == Wait(2.0)
    assert breaker.may_poll(2.0, in_flight=0) == Go()


def test_a_queue_that_is_out_is_polled_at_its_own_pace(breaker: Breaker) -> None:
    breaker.failed("topics", "gone", 0.0)
    breaker.failed("queue", "gone", 1.5)
    assert breaker.may_poll(2.0, in_flight=0) == Wait(1.5)
    assert not breaker.failed("queue", "gone", 3.5)
    assert breaker.may_poll(3.5, in_flight=0) == Wait(4.0)


def test_an_outage_beside_a_fault_does_not_bring_its_probe_forward(breaker: Breaker) -> None:
    fail(breaker, *ENTITIES)
    breaker.failed("store", "gone", 0.0)
    assert breaker.may_poll(0.0, in_flight=0) == Wait(FAULT_TRIAL_SECONDS)


def fail(breaker: Breaker, *entities: str, now: float = 0.0) -> list[bool]:
    return [breaker.run_failed(entity, "no such column", now) for entity in entities]


ENTITIES = [f"shop-{n}" for n in range(FAULT_RUNS)]


def test_a_row_of_runs_of_different_entities_that_fail_is_one_fault(breaker: Breaker) -> None:
    assert fail(breaker, *ENTITIES) == [False] * (FAULT_RUNS - 1) + [True]
    assert breaker.state == "fault"
    assert "no such column" in (breaker.blocked_by or "")


def test_one_entity_that_fails_again_and_again_is_no_fault_of_all(breaker: Breaker) -> None:
    fail(breaker, *["shop-1"] * 50)
    assert breaker.state == "closed"


def test_a_success_in_between_shows_that_it_is_no_fault_of_all(breaker: Breaker) -> None:
    fail(breaker, *ENTITIES[:-1])
    assert not breaker.run_succeeded()
    fail(breaker, *ENTITIES[:-1])
    assert breaker.state == "closed"


def test_after_a_fault_one_message_at_a_time_is_tried_ever_more_rarely(breaker: Breaker) -> None:
    fail(breaker, *ENTITIES)
    assert breaker.may_poll(0.0, in_flight=1) == WaitForChange()
    now, waits = 0.0, []
    for n in range(6):
        waits.append(seconds(breaker.may_poll(now, in_flight=0)))
        now += waits[-1]
        breaker.run_began(now)
        fail(breaker, f"probe-{n}", now=now)
    assert waits[:3] == [FAULT_TRIAL_SECONDS, 2 * FAULT_TRIAL_SECONDS, 4 * FAULT_TRIAL_SECONDS]
    assert waits[-1] == MAX_FAULT_TRIAL_SECONDS
    assert breaker.run_succeeded()
    assert breaker.may_poll(now, in_flight=0) == Go()


def test_only_an_attempt_that_began_puts_the_next_probe_off(breaker: Breaker) -> None:
    fail(breaker, *ENTITIES)
    assert breaker.may_poll(FAULT_TRIAL_SECONDS, in_flight=0) == Go()
    breaker.run_began(FAULT_TRIAL_SECONDS)
    assert breaker.may_poll(FAULT_TRIAL_SECONDS, in_flight=0) == Wait(FAULT_TRIAL_SECONDS)


def test_what_somebody_may_have_mended_is_tried_at_once(breaker: Breaker) -> None:
    breaker.failed("database", "no such column", 0.0)
    assert breaker.enter("database", 1.0) == Wait(1.0)
    breaker.retry(1.0)
    assert breaker.enter("database", 1.0) == Go()
    breaker.answered("database", 1.0)
    for number in range(FAULT_RUNS):
        breaker.run_failed(f"shop-{number}", "no such column", 1.0)
    assert isinstance(breaker.may_poll(2.0, in_flight=0), Wait)
    breaker.retry(2.0)
    assert breaker.may_poll(2.0, in_flight=0) == Go()


def test_without_the_bulk_queue_all_else_goes_on(breaker: Breaker) -> None:
    assert breaker.failed("bulk_queue", "gone", 0.0)
    assert (breaker.state, breaker.blocked_by) == ("closed", None)
    assert breaker.may_poll(0.0, in_flight=3) == Go()
    # Its own polls wait. A job that settles one of its messages makes the trial call.
    wait = breaker.may_poll_bulk(0.0)
    assert breaker.may_poll_bulk(seconds(wait)) == Go()
    assert breaker.enter("bulk_queue", 0.0) == wait
    breaker.failed("store", "gone", 0.0)
    assert "bulk" not in (breaker.blocked_by or "")
    assert breaker.answered("bulk_queue", 1.0)
    assert breaker.may_poll_bulk(1.0) == Go()


def test_a_part_that_refuses_writes_stays_in_outage_while_it_answers_reads(
    breaker: Breaker,
) -> None:
    assert breaker.failed("store", "no writes", 0.0, "write")
    assert isinstance(breaker.enter("store", 0.0, "read"), Go)
    assert not breaker.answered("store", 0.0, "read")
    assert seconds(breaker.enter("store", 0.0, "write")) == 2
    assert isinstance(breaker.enter("store", 2.0, "write"), Go)
    assert not breaker.failed("store", "no writes", 2.0, "write"), "it is one outage"
    assert seconds(breaker.enter("store", 2.0, "write")) == 4, "the back-off grows"
    assert breaker.state == "outage"
    assert breaker.answered("store", 7.0, "write")
    assert breaker.blocked_by is None


def test_an_outage_ends_only_after_each_failing_kind_of_call_has_answered(
    breaker: Breaker,
) -> None:
    breaker.failed("queue", "down", 0.0, "receive")
    breaker.failed("queue", "down", 0.5, "settle")
    assert not breaker.answered("queue", 2.0, "receive")
    assert breaker.state == "outage"
    assert isinstance(breaker.enter("queue", 2.0, "settle"), Go), "it may answer again, too"
    assert breaker.answered("queue", 2.0, "settle")


@pytest.mark.parametrize(
    ("part", "call"),
    [("dead_letter_queue", "settle"), ("topics", "request"), ("store", "list")],
)
def test_what_no_healthy_run_needs_stops_no_work(breaker: Breaker, part: str, call: str) -> None:
    assert breaker.failed(part, "down", 0.0, call)
    assert breaker.state == "closed"
    assert isinstance(breaker.may_poll(0.0, in_flight=3), Go)


def test_an_outage_shorter_than_a_heartbeat_interval_is_nothing_to_wait_for(
    breaker: Breaker,
) -> None:
    breaker.failed("store", "hiccup", 0.0)
    breaker.answered("store", 5.0)
    assert breaker.seconds_since_outage("store", 6.0, lasting=40.0) == math.inf
    breaker.failed("store", "down", 10.0)
    assert breaker.seconds_since_outage("store", 30.0, lasting=40.0) == math.inf
    assert breaker.seconds_since_outage("store", 51.0, lasting=40.0) == 0
    breaker.answered("store", 60.0)
    assert breaker.seconds_since_outage("store", 61.0, lasting=40.0) == 1
