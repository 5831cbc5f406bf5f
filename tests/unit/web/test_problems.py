"""What callers are told of what is out of reach."""

import pytest

from fraudd.errors import Unavailable
from fraudd.web.problems import of_intake


@pytest.mark.parametrize(
    ("part", "told"), [("store", "the store is out of reach"), ("clock", "the clock is off")]
)
def test_what_is_out_of_reach_is_named_and_its_details_are_not(part: str, told: str) -> None:
    problem = of_intake(Unavailable(part, "10.0.0.7: secret"))
    assert (problem.status, problem.slug) == (503, "unavailable")
    assert problem.detail == f"{told}; ask again: it is safe"
    assert problem.headers["Retry-After"] == "5"
