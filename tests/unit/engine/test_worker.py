"""From what a run raised to the class of its failure."""

import pytest

from fraudd.engine.worker import classify
from fraudd.errors import PermanentError, RunError, TransientError
from fraudd.prediction.retry import FailureClass


@pytest.mark.parametrize(
    ("error", "failure", "type_"),
    [
        (PermanentError("entity_unknown", "d"), "permanent", "entity_unknown"),
        (TransientError("deadlock", "d"), "transient", "deadlock"),
        (TransientError("query_timeout", "d"), "overrun", "query_timeout"),
        (TransientError("too_slow", "d"), "overrun", "too_slow"),
        (RunError("bad_statement", "d"), "bug", "bad_statement"),
    ],
)
def test_each_kind_of_error_has_its_class(
    error: Exception, failure: FailureClass, type_: str
) -> None:
    assert classify(error) == (failure, type_, "d")


def test_a_caller_learns_nothing_of_our_insides() -> None:
    failure, type_, detail = classify(ValueError("the secret is hunter2"))
    assert (failure, type_) == ("bug", "internal")
    assert "hunter2" not in detail
