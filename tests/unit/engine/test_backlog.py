"""How many runs are pending, before whom, and an honest Retry-After."""

import pytest

from fraudd.engine.backlog import Backlog, RunTimes, estimated_seconds


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
    backlog.run_opened(1)
    backlog.run_opened(2)
    backlog.run_ended()
    assert backlog.pending == 11
    backlog.sampled(3, 5)
    assert backlog.pending == 3


def test_the_others_of_a_fleet_are_taken_to_end_as_many_runs() -> None:
    backlog = Backlog(fleet_size=3)
    backlog.sampled(10, 0)
    backlog.run_ended()
    assert backlog.pending == 7
    for _ in range(5):
        backlog.run_ended()
    assert backlog.pending == 0


def test_only_runs_asked_for_before_stand_in_the_way_of_one() -> None:
    backlog = Backlog(fleet_size=1)
    for second in range(100):
        backlog.run_opened(second * 1000)
    assert backlog.pending_until(49_000) == 50
    assert backlog.pending_until(99_000) == backlog.pending_until(500_000) == 100
    for _ in range(30):
        backlog.run_ended()
    assert backlog.pending_until(49_000) == 20
    # A run that should have ended counts as the next.
    assert backlog.pending_until(1_000) == 1


def test_runs_opened_elsewhere_are_taken_to_be_spread_between_two_samples() -> None:
    backlog = Backlog(fleet_size=2)
    backlog.sampled(0, 0)
    backlog.run_opened(1_000)
    backlog.sampled(101, 11_000)
    assert backlog.pending_until(1_000) == 10
    assert backlog.pending_until(6_000) == 56
    assert backlog.pending_until(11_000) == 101


def test_the_memory_of_a_backlog_is_bounded() -> None:
    backlog = Backlog(fleet_size=1)
    for at in range(0, 5_000_000, 100):
        backlog.run_opened(at)
    assert backlog.pending == 50_000
    assert backlog.pending_until(4_999_900) == 50_000
    # Of the oldest it is no longer known when they were asked for.
    assert backlog.pending_until(0) == 40_001
