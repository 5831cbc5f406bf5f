"""Bars, durations and cut lines."""

import pytest

from fraudd.commands.terminal import bar, clipped, duration, printable


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 0 s"),
        (61, "1 min 1 s"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h 0 min"),
        (7_260, "2 h 1 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d 0 h"),
        (180_000, "2 d 2 h"),
        (1_209_599, "13 d 23 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "total", "text"),
    [
        (0, 0, "[..........]"),
        (0, 9, "[..........]"),
        (1, 1000, "[#.........]"),
        (5, 10, "[#####.....]"),
        (99, 100, "[#########.]"),
        (10, 10, "[##########]"),
        (12, 10, "[##########]"),
    ],
)
def test_a_bar_shows_the_first_and_is_full_only_at_the_end(
    count: int, total: int, text: str
) -> None:
    assert bar(count, total, width=10) == text


def test_a_bar_without_room_is_empty() -> None:
    assert bar(1, 2, width=0) == "[]"


def test_a_line_that_is_cut_says_so() -> None:
    assert clipped("abcdef", 4) == "abc…"
    assert clipped("abcd", 4) == "abcd"


def test_nothing_in_a_text_controls_the_terminal() -> None:
    assert printable("a\x1b[2J\nb\rc\x07") == "a?[2J?b?c?"
