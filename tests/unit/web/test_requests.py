"""The validators take what the OpenAPI document says, and nothing else."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from fraudd.prediction.record import ENTITY_ID
from fraudd.web.requests import BatchRequest, PredictionRequest, preferred_wait
from tests.documents.contract import is_valid

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.text(max_size=5), inner, max_size=3
    ),
    max_leaves=5,
)  # fmt: skip
ENTITY_IDS = st.from_regex(ENTITY_ID, fullmatch=True) | st.text(max_size=130)
#: Nearly right: the values of known keys are drawn from what is nearly right, too.
REQUESTS = JSON | st.fixed_dictionaries(
    {},
    optional={
        "entity_id": ENTITY_IDS | JSON,
        "max_age_seconds": st.floats(allow_nan=False, allow_infinity=False) | JSON,
        "force": st.booleans() | JSON,
        "more": JSON,
    },
)
BATCHES = JSON | st.fixed_dictionaries(
    {}, optional={"predictions": st.lists(REQUESTS, max_size=3) | JSON, "more": JSON}
)


def taken(model: type[PredictionRequest] | type[BatchRequest], value: Any) -> bool:
    """Whether the value is taken as a body."""
    try:
        model.model_validate_json(json.dumps(value))
    except ValidationError:
        return False
    return True


@given(REQUESTS)
@example({"entity_id": "a", "max_age_seconds": 108})
@example({"entity_id": "a", "max_age_seconds": 108.0, "force": True})
@example({"entity_id": "a", "max_age_seconds": -0.0})
@example({"entity_id": "a", "max_age_seconds": True})
@example({"entity_id": "a", "max_age_seconds": 2**70})
@example({"entity_id": "a", "force": None})
def test_a_request_is_taken_if_and_only_if_it_is_as_described(value: Any) -> None:
    # Python's "$" matches before a last newline; that of JSON Schema does not.
    if isinstance(value, dict) and str(value.get("entity_id", "")).endswith("\n"):
        assert not taken(PredictionRequest, value)
    else:
        assert taken(PredictionRequest, value) == is_valid("PredictionRequest", value)


@given(BATCHES)
@example({"predictions": []})
@example({"predictions": [1] * 100})
@example({"predictions": [1] * 101})
def test_a_batch_is_taken_if_and_only_if_it_is_as_described(value: Any) -> None:
    assert taken(BatchRequest, value) == is_valid("BatchRequest", value)


@given(ENTITY_IDS)
@example("a" * 128)
@example("a" * 129)
@example("a\n")
@example("٣")
def test_an_entity_id_is_one_in_a_body_if_it_is_one_in_a_path(entity_id: str) -> None:
    in_path = ENTITY_ID.fullmatch(entity_id) is not None
    assert taken(PredictionRequest, {"entity_id": entity_id}) == in_path


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 400])
def test_no_age_is_endless(number: str) -> None:
    with pytest.raises(ValidationError):
        PredictionRequest.model_validate_json(f'{{"entity_id": "a", "max_age_seconds": {number}}}')


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
        # Other preferences are not parsed, so a comma in a quoted string counts, too.
        (["(), wait=10"], 10),
        (['foo="a, b", wait=10'], 10),
        (['foo="a, wait=1", wait=10'], 1),
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
