"""Problem documents of unavailable dependencies."""

import pytest

from fraudd.errors import Unavailable
from fraudd.web.problems import from_intake


@pytest.mark.parametrize(
    ("part", "cause"),
    [
        ("store", "DynamoDB is unreachable"),
        ("topics", "SNS is unreachable"),
        ("clock", "the clock of this daemon is wrong"),
    ],
)
def test_what_is_out_of_reach_is_named_and_its_details_are_not(part: str, cause: str) -> None:
    problem = from_intake(Unavailable(part, "10.0.0.7: secret"))
    assert (problem.status, problem.slug) == (503, "unavailable")
    assert problem.detail == f"{cause}. Retry after 5 s; retrying is safe."
    assert problem.headers["Retry-After"] == "5"
