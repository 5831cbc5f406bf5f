"""The limit that follows the database's load, and an honest Retry-After."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudd.database.limit import HALVED_SECONDS, NO_ROOM_SECONDS, AdaptiveLimit
from fraudd.engine.backlog import Backlog, RunTimes, estimated_seconds

BUSY, CALM = 51, 50


@pytest.mark.parametrize(
    ("waiting", "mean", "permits", "fleet_size", "seconds"),
    [
        (1, 0.01, 2, 1, 1),
        (10, 2.0, 2, 1, 10),
        (10, 2.0, 2, 5, 2),
        (11, 2.0, 2, 1, 11),
        (10_000, 2.0, 2, 1, 300),
    ],
)
def test_the_estimate_is_what_is_owed_over_how_fast_it_is_worked_on(
    waiting: int, mean: float, permits: int, fleet_size: int, seconds: int
) -> None:
    assert (
        estimated_seconds(
            waiting=waiting, mean_run_seconds=mean, permits=permits, fleet_size=fleet_size
        )
        == seconds
    )


def test_the_mean_follows_the_newest_runs() -> None:
    times = RunTimes()
    for _ in range(30):
        times.add(10.0)
    assert 9.9 < times.mean_seconds <= 10.0


def test_the_first_run_takes_the_place_of_the_guess() -> None:
    times = RunTimes()
    times.add(0.1)
    assert times.mean_seconds == pytest.approx(0.1)
    times.add(0.3)
    assert times.mean_seconds == pytest.approx(0.2)


def test_what_was_opened_and_ended_since_the_sample_counts() -> None:
    backlog = Backlog(fleet_size=1)
    backlog.sampled(10, 0)
    backlog.opened(1)
    backlog.opened(2)
    backlog.ended()
    assert backlog.owed == 11
    backlog.sampled(3, 5)
    assert backlog.owed == 3


def test_the_others_of_a_fleet_are_taken_to_end_as_many_runs() -> None:
    backlog = Backlog(fleet_size=3)
    backlog.sampled(10, 0)
    backlog.ended()
    assert backlog.owed == 7
    for _ in range(5):
        backlog.ended()
    assert backlog.owed == 0


def test_only_runs_asked_for_before_stand_in_the_way_of_one() -> None:
    backlog = Backlog(fleet_size=1)
    for second in range(100):
        backlog.opened(second * 1000)
    assert backlog.until(49_000) == 50
    assert backlog.until(99_000) == backlog.until(500_000) == 100
    for _ in range(30):
        backlog.ended()
    assert backlog.until(49_000) == 20
    # What should have ended by now counts as the next.
    assert backlog.until(1_000) == 1


def test_runs_opened_elsewhere_are_taken_to_be_spread_between_two_samples() -> None:
    backlog = Backlog(fleet_size=2)
    backlog.sampled(0, 0)
    backlog.opened(1_000)
    backlog.sampled(101, 11_000)
    assert backlog.until(1_000) == 10
    assert backlog.until(6_000) == 56
    assert backlog.until(11_000) == 101


def test_the_memory_of_a_backlog_is_bounded() -> None:
    backlog = Backlog(fleet_size=1)
    for at in range(0, 5_000_000, 100):
        backlog.opened(at)
    assert backlog.owed == 50_000
    assert backlog.until(4_999_900) == 50_000
    # Of the oldest it is no longer known when they were asked for.
    assert backlog.until(0) == 40_001


def limit(most: int = 8) -> AdaptiveLimit:
    return AdaptiveLimit(most, busy_threads=CALM)


def test_a_busy_server_halves_the_limit_once_in_ten_seconds_and_never_below_one() -> None:
    adaptive, values = limit(), []
    for now in (0.0, 1.0, 9.9, 10.0, 20.0, 30.0, 40.0):
        adaptive.observe(BUSY, now)
        values.append(adaptive.value)
    assert values == [4, 4, 4, 2, 1, 1, 1]


def test_each_calm_reading_gives_one_back_and_never_more_than_there_are() -> None:
    adaptive, values = limit(4), []
    adaptive.observe(BUSY, 0.0)
    adaptive.observe(BUSY, HALVED_SECONDS)
    for now in (11.0, 12.0, 13.0, 14.0):
        adaptive.observe(CALM, now)
        values.append(adaptive.value)
    assert values == [2, 3, 4, 4]


def test_a_refusal_takes_one_at_once() -> None:
    adaptive, values = limit(3), []
    for now in (0.0, 0.1, 0.2):
        assert not adaptive.refused(now, connected=True)
        values.append(adaptive.value)
    assert values == [2, 1, 1]


def test_a_server_without_room_for_a_single_connection_is_out_of_reach_after_a_while() -> None:
    adaptive = limit()
    times = [second / 2 for second in range(21)]
    assert [adaptive.refused(now, connected=False) for now in times] == [False] * 20 + [True]


def test_one_connection_is_enough_to_tell_a_full_server_from_one_out_of_reach() -> None:
    adaptive = limit()
    for second in range(40):
        assert not adaptive.refused(float(second), connected=second % 5 == 0)


def test_a_connection_that_was_had_begins_the_while_anew() -> None:
    adaptive = limit()
    adaptive.refused(0.0, connected=False)
    adaptive.observe(CALM, 5.0)
    assert not adaptive.refused(NO_ROOM_SECONDS, connected=False)


def test_a_refusal_of_long_ago_says_nothing_about_the_time_between() -> None:
    adaptive = limit()
    adaptive.refused(0.0, connected=False)
    assert not adaptive.refused(3600.0, connected=False)


@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.sampled_from(["busy", "calm", "refused"]), st.floats(0, 20))),
)
def test_whatever_happens_the_limit_is_at_least_one_and_at_most_what_there_is(
    most: int, events: list[tuple[str, float]]
) -> None:
    adaptive, now = limit(most), 0.0
    for event, seconds in events:
        now += seconds
        if event == "refused":
            adaptive.refused(now, connected=False)
        else:
            adaptive.observe(BUSY if event == "busy" else CALM, now)
        assert 1 <= adaptive.value <= most
