"""How long the client pauses before it tries again."""

from hypothesis import given
from hypothesis import strategies as st

from fraudd.client.client import pause_seconds

SHARES = st.floats(0, 1)


@given(st.integers(0, 10_000), st.floats(0, 3600), SHARES)
def test_it_never_asks_sooner_than_it_was_told(attempt: int, told: float, share: float) -> None:
    assert told <= pause_seconds(attempt, told, share) <= told * 1.1


@given(st.integers(0, 10_000), SHARES)
def test_without_a_word_the_pause_grows_up_to_ten_seconds(attempt: int, share: float) -> None:
    assert 0 <= pause_seconds(attempt, None, share) <= 10
    assert pause_seconds(attempt, None, 1.0) <= pause_seconds(attempt + 1, None, 1.0)
