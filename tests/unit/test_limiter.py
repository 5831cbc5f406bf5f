"""An honest Retry-After."""

import pytest

from fraudd.limiter import RunTimes, estimated_seconds


@pytest.mark.parametrize(
    ("waiting", "mean", "permits", "fleet", "seconds"),
    [
        (1, 0.01, 2, 1, 1),
        (10, 2.0, 2, 1, 10),
        (10, 2.0, 2, 5, 2),
        (11, 2.0, 2, 1, 11),
        (10_000, 2.0, 2, 1, 300),
    ],
)
def test_the_estimate_is_what_is_owed_over_how_fast_it_is_worked_on(
    waiting: int, mean: float, permits: int, fleet: int, seconds: int
) -> None:
    assert (
        estimated_seconds(waiting=waiting, mean_run_seconds=mean, permits=permits, fleet=fleet)
        == seconds
    )


def test_the_mean_follows_the_newest_runs() -> None:
    times = RunTimes()
    for _ in range(30):
        times.add(10.0)
    assert 9.9 < times.mean_seconds <= 10.0
