"""How many messages are asked for, of which lane, and for how long."""

from typing import Any

import pytest

from fraudd.engine.polling import MAX_MESSAGES_PER_POLL, SHORT_WAIT_SECONDS, FirstPoll, first_poll

ALONE = FirstPoll(most=MAX_MESSAGES_PER_POLL, wait_seconds=None, bulk="no")
BESIDE = FirstPoll(most=1, wait_seconds=None, bulk="beside")
IN_TURN = FirstPoll(most=1, wait_seconds=0, bulk="after")
FULL_LOOK = FirstPoll(most=1, wait_seconds=SHORT_WAIT_SECONDS, bulk="after")


def decided(**more: Any) -> FirstPoll:
    given: dict[str, Any] = {
        "lanes": 2,
        "pairs": 2,
        "closed": True,
        "brought": False,
        "bulk_due": True,
        "full_look_seconds": 1.0,
    }
    return first_poll(**{**given, **more})


@pytest.mark.parametrize("pairs", [1, 2, 9])
@pytest.mark.parametrize("brought", [True, False])
def test_without_a_bulk_lane_one_long_poll_asks_for_all(pairs: int, brought: bool) -> None:
    assert decided(lanes=1, pairs=pairs, brought=brought) == ALONE
    assert decided(lanes=1, pairs=pairs, closed=False).most == 1


def test_the_bulk_lane_is_polled_beside_a_long_poll_that_keeps_one_pair() -> None:
    assert decided() == decided(bulk_due=False) == decided(pairs=9) == BESIDE


def test_it_gets_nothing_before_the_other_is_known_to_be_empty() -> None:
    again = decided(brought=True)
    assert (again.most, again.wait_seconds, again.bulk) == (MAX_MESSAGES_PER_POLL, 0, "no")


def test_with_one_pair_the_lanes_take_turns() -> None:
    assert decided(pairs=1) == decided(pairs=1, brought=True) == IN_TURN
    # Not to wait asks only some of the servers: now and then all are asked.
    assert decided(pairs=1, full_look_seconds=10.0) == FULL_LOOK


def test_what_is_known_to_be_empty_costs_no_turn() -> None:
    assert decided(pairs=1, bulk_due=False) == FirstPoll(most=1, wait_seconds=None, bulk="after")


def test_while_something_is_wrong_one_message_is_tried_of_whichever_lane() -> None:
    assert decided(closed=False, pairs=9) == IN_TURN
    assert decided(closed=False, pairs=9, full_look_seconds=60.0) == FULL_LOOK
