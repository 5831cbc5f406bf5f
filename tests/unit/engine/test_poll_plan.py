"""Which lane is polled, for how many messages, and for how long."""

import random

import pytest

from fraudd.engine.breaker import FAULT_RUNS, FAULT_TRIAL_SECONDS, Breaker, Wait, WaitForChange
from fraudd.engine.poll_plan import (
    EMPTY_SECONDS,
    FULL_POLL_SECONDS,
    MAX_MESSAGES_PER_POLL,
    SHORT_WAIT_SECONDS,
    TURN_SECONDS,
    Lanes,
    Poll,
)
from fraudd.telemetry.clock_skew import ClockSkew
from tests.stack.times import NOW

ALONE = Poll(lane="interactive", max_messages=MAX_MESSAGES_PER_POLL)
SHARED = Poll(lane="interactive", max_messages=1, shared=True)
AGAIN = Poll(lane="interactive", max_messages=MAX_MESSAGES_PER_POLL, wait_seconds=0)
FIRST = Poll(lane="interactive", max_messages=1, wait_seconds=0)
FIRST_FULL = Poll(lane="interactive", max_messages=1, wait_seconds=SHORT_WAIT_SECONDS)
LONG = Poll(lane="interactive", max_messages=1)
BULK_TURN = Poll(lane="bulk", max_messages=1, wait_seconds=SHORT_WAIT_SECONDS)
BULK_SHARED = Poll(lane="bulk", max_messages=MAX_MESSAGES_PER_POLL, wait_seconds=SHORT_WAIT_SECONDS)


class Plan:
    """The poll plan of a daemon, at a time that the test sets."""

    def __init__(self, *, has_bulk: bool = True, slots: int = 2) -> None:
        self.breaker = Breaker(base_seconds=2.0, max_seconds=10.0, rng=random.Random(1))
        self.skew = ClockSkew()
        self.lanes = Lanes(self.breaker, self.skew, has_bulk=has_bulk)
        self.slots = slots
        self.now = 1000.0

    def next(self, *, jobs: int = 0) -> Poll | Wait | WaitForChange:
        return self.lanes.next_poll(self.now, slots=self.slots, jobs=jobs)

    def shared(self) -> Poll | Wait | WaitForChange:
        return self.lanes.next_shared_poll(self.now)

    def began(self, poll: Poll) -> None:
        self.lanes.began(poll, self.now)

    def ended(self, poll: Poll, messages: int | None) -> None:
        self.lanes.ended(poll, self.now, messages=messages)

    def poll(self, poll: Poll, messages: int | None) -> None:
        self.began(poll)
        self.ended(poll, messages)

    def fail(self) -> None:
        for number in range(FAULT_RUNS):
            self.breaker.run_failed(f"shop-{number}", "no such column", self.now)
        self.now += FAULT_TRIAL_SECONDS


@pytest.mark.parametrize("slots", [1, 2, 9])
@pytest.mark.parametrize("messages", [0, 1, 10])
def test_without_a_bulk_lane_one_long_poll_asks_for_all(slots: int, messages: int) -> None:
    plan = Plan(has_bulk=False, slots=slots)
    assert plan.next() == ALONE
    plan.poll(ALONE, messages)
    assert plan.next() == ALONE
    plan.fail()
    assert plan.next() == LONG


@pytest.mark.parametrize("slots", [2, 9])
def test_the_bulk_lane_is_polled_during_a_long_poll_that_keeps_one_slot(slots: int) -> None:
    plan = Plan(slots=slots)
    assert plan.next() == SHARED
    assert plan.shared() == WaitForChange(), "the interactive lane goes first"
    plan.began(SHARED)
    assert plan.shared() == BULK_SHARED
    plan.began(BULK_SHARED)
    assert plan.shared() == WaitForChange(), "one poll of a lane at a time"
    plan.ended(BULK_SHARED, 10)
    assert plan.shared() == BULK_SHARED
    plan.ended(SHARED, 0)
    assert plan.shared() == WaitForChange()


def test_the_bulk_lane_gets_nothing_before_the_interactive_lane_is_known_to_be_empty() -> None:
    plan = Plan()
    plan.poll(SHARED, 1)
    assert plan.next() == AGAIN
    plan.began(AGAIN)
    assert plan.shared() == WaitForChange()
    plan.ended(AGAIN, None)
    assert plan.next() == AGAIN, "a failed poll shows nothing"
    plan.poll(AGAIN, 10)
    assert plan.next() == AGAIN
    plan.poll(AGAIN, 0)
    assert plan.next() == SHARED


def test_an_empty_bulk_lane_is_polled_rarely_unless_a_run_is_opened_for_it() -> None:
    plan = Plan()
    plan.began(SHARED)
    plan.poll(BULK_SHARED, 0)
    plan.now += 5.0
    assert plan.shared() == Wait(EMPTY_SECONDS - 5.0)
    plan.lanes.bulk_run_opened()
    assert plan.shared() == BULK_SHARED
    plan.began(BULK_SHARED)
    plan.lanes.bulk_run_opened()
    plan.ended(BULK_SHARED, 0)
    assert plan.shared() == BULK_SHARED, "the poll may have missed it"


def test_with_one_slot_the_lanes_take_turns() -> None:
    plan = Plan(slots=1)
    assert plan.next() == FIRST_FULL
    plan.poll(FIRST_FULL, 0)
    assert plan.next() == BULK_TURN
    plan.poll(BULK_TURN, 1)
    assert plan.next() == FIRST, "its turn is over"
    plan.poll(FIRST, 0)
    assert plan.next() == BULK_TURN


def test_with_one_slot_the_interactive_lane_goes_first_until_it_is_empty() -> None:
    plan = Plan(slots=1)
    plan.poll(LONG, 0)
    plan.poll(LONG, 1)
    assert plan.next() == FIRST


def test_with_one_slot_a_turn_that_comes_late_goes_to_the_interactive_lane() -> None:
    plan = Plan(slots=1)
    plan.poll(FIRST_FULL, 0)
    plan.now += TURN_SECONDS
    assert plan.next() == FIRST
    plan.poll(FIRST, None)
    assert plan.next() == FIRST, "a failed poll does not show that the lane is empty"


def test_with_one_slot_some_polls_ask_all_servers() -> None:
    plan = Plan(slots=1)
    plan.poll(FIRST_FULL, 0)
    for seconds, poll in ((TURN_SECONDS, FIRST), (FULL_POLL_SECONDS - TURN_SECONDS, FIRST_FULL)):
        plan.now += seconds
        assert plan.next() == poll
        plan.poll(poll, 0)
    plan.now += TURN_SECONDS
    assert plan.next() == FIRST


def test_with_one_slot_an_empty_bulk_lane_costs_no_turn() -> None:
    plan = Plan(slots=1)
    plan.poll(FIRST_FULL, 0)
    plan.poll(BULK_TURN, 0)
    assert plan.next() == LONG
    plan.poll(LONG, 0)
    assert plan.next() == LONG
    plan.now += EMPTY_SECONDS
    plan.poll(LONG, 0)
    assert plan.next() == BULK_TURN


@pytest.mark.parametrize("slots", [1, 2, 9])
def test_during_a_fault_one_message_is_tried_of_either_lane(slots: int) -> None:
    plan = Plan(slots=slots)
    plan.began(SHARED)
    plan.fail()
    assert plan.next() == plan.shared() == WaitForChange(), "a poll is outstanding"
    plan.ended(SHARED, 1)
    assert plan.next(jobs=1) == WaitForChange()
    assert plan.next() == FIRST_FULL
    plan.poll(FIRST_FULL, 0)
    assert plan.next() == BULK_TURN
    plan.began(BULK_TURN)
    assert plan.next() == WaitForChange()


def test_an_outage_of_the_bulk_queue_leaves_the_other_lane_alone() -> None:
    plan = Plan()
    plan.breaker.failed("bulk_queue", "gone", plan.now)
    assert plan.next() == SHARED
    plan.began(SHARED)
    wait = plan.shared()
    assert isinstance(wait, Wait)
    plan.now += wait.seconds
    assert plan.shared() == BULK_SHARED


def test_nothing_is_polled_by_a_clock_that_is_off() -> None:
    plan = Plan()
    plan.began(SHARED)
    for _ in range(2):
        plan.skew.answered(date=NOW, sent=NOW + 60_000, received=NOW + 60_050)
    assert isinstance(plan.next(), Wait)
    assert plan.shared() == WaitForChange()
    assert plan.lanes.blocked_by is not None
