"""From what a run raised to the class of its failure."""

import pytest

from fraudd.engine.failures import classify
from fraudd.errors import PermanentError, RunError, TransientError
from fraudd.prediction.retry import Failure


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (PermanentError("entity_unknown", "d"), Failure("permanent", "entity_unknown", "d")),
        (TransientError("deadlock", "d"), Failure("transient", "deadlock", "d")),
        (TransientError("query_timeout", "d"), Failure("overrun", "query_timeout", "d")),
        (TransientError("too_slow", "d"), Failure("overrun", "too_slow", "d")),
        (RunError("bad_statement", "d"), Failure("bug", "bad_statement", "d")),
    ],
)
def test_each_kind_of_error_has_its_class(error: Exception, failure: Failure) -> None:
    assert classify(error) == failure


def test_a_caller_learns_nothing_of_our_insides() -> None:
    failure = classify(ValueError("the secret is hunter2"))
    assert (failure.kind, failure.type) == ("bug", "internal")
    assert "hunter2" not in failure.detail
