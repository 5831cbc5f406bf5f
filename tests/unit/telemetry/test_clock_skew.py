"""A clock is off when no time within the call can explain the answer's ``Date``."""

import pytest

from fraudd.telemetry.clock_skew import ClockSkew
from tests.stack.times import NOW


@pytest.mark.parametrize(
    ("date", "sent", "received", "blocked_by"),
    [
        (0, 0, 50, None),
        (0, 999, 1_050, None),
        (0, 2_999, 3_050, None),
        (0, 3_000, 3_050, "2.0 s ahead"),
        (2_000, -50, 0, None),
        (3_000, -50, 0, "3.0 s behind"),
        (10_000, 0, 20_000, None),
        (0, 600_000, 600_050, "599.0 s ahead"),
    ],
)
def test_a_clock_that_is_off_by_more_than_leases_allow_is_told(
    date: int, sent: int, received: int, blocked_by: str | None
) -> None:
    skew = ClockSkew()
    for _ in range(2):
        skew.answered(date=NOW + date, sent=NOW + sent, received=NOW + received)
    told = skew.blocked_by
    assert told is None if blocked_by is None else told is not None and blocked_by in told


def test_a_clock_that_was_set_right_is_trusted_again() -> None:
    skew = ClockSkew()
    for _ in range(2):
        skew.answered(date=NOW, sent=NOW + 60_000, received=NOW + 60_050)
    assert skew.blocked_by is not None
    skew.answered(date=NOW, sent=NOW, received=NOW + 50)
    assert skew.blocked_by is None


def test_how_far_it_is_off_is_told_with_its_direction() -> None:
    skew = ClockSkew()
    skew.answered(date=NOW, sent=NOW + 600_000, received=NOW + 600_050)
    assert skew.off_seconds == 599.001
    skew.answered(date=NOW + 3_000, sent=NOW - 50, received=NOW)
    assert skew.off_seconds == -3
    skew.answered(date=NOW, sent=NOW, received=NOW + 50)
    assert skew.off_seconds == 0


def test_one_odd_answer_decides_nothing() -> None:
    skew = ClockSkew()
    for _ in range(3):
        skew.answered(date=NOW, sent=NOW + 60_000, received=NOW + 60_050)
        assert (skew.blocked_by, skew.in_doubt) == (None, True)
        skew.answered(date=NOW, sent=NOW, received=NOW + 50)
        assert (skew.blocked_by, skew.in_doubt) == (None, False)
