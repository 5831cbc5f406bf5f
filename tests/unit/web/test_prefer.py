"""How long a caller is ready to wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudd.web.prefer import preferred_wait


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        (["wait=10"], 10),
        (["Wait=10"], 10),
        (["wait = 10"], 10),
        (['wait="10"'], 10),
        (["wait=0"], 0),
        (["respond-async, wait=10"], 10),
        (["respond-async", "wait=10"], 10),
        (["handling=lenient; a=1;b, wait=10 ; x=y"], 10),
        (['foo="a, wait=1", wait=10'], 10),
        (['foo="\\", wait=1", wait=10'], 10),
        ([",, wait=10"], 10),
        (["foo=, wait=10"], 10),
        # Of several the first counts.
        (["wait=1, wait=10"], 1),
        (["wait", "wait=10"], None),
        # No number of seconds.
        (["wait"], None),
        (["wait="], None),
        (["wait=soon"], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait=9999999999"], None),
        (["await=10"], None),
        # Nothing after what cannot be read.
        (["(), wait=10"], None),
        (['foo="open, wait=10'], None),
    ],
)
def test_the_wait_is_read_as_rfc_7240_writes_it(headers: list[str], seconds: int | None) -> None:
    assert preferred_wait(headers) == seconds


@given(st.lists(st.text(alphabet='wait=10;, \t"\\a()'), max_size=5))
def test_no_header_breaks_the_reader(headers: list[str]) -> None:
    assert (preferred_wait(headers) or 0) >= 0


@pytest.mark.parametrize("unit", [" ", "\t;", "a=", 'a="', "a;b;", "\\", "a ", ", "])
def test_no_header_takes_long(unit: str) -> None:
    """A quadratic reader would take minutes over these."""
    assert preferred_wait([unit * 100_000 + "("]) is None
