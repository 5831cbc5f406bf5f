"""The connection limit follows the load of the database."""

from hypothesis import given
from hypothesis import strategies as st

from fraudd.database.limit import HALVED_SECONDS, NO_ROOM_SECONDS, AdaptiveLimit

BUSY, CALM = 51, 50


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
