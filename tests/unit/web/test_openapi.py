"""The OpenAPI document: valid, with examples that are, and with every call and problem."""

import ast
import inspect
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast
from unittest.mock import MagicMock

import pytest
from openapi_spec_validator import validate

from fraudd.web import call as handlers
from fraudd.web.call import Handlers
from fraudd.web.openapi import document as openapi
from fraudd.web.openapi.operations import CALLS
from fraudd.web.openapi.problem_types import TYPES
from tests.contract import assert_is

DOCUMENT = openapi.document(authenticated=True)


def test_it_is_valid_openapi() -> None:
    validate(cast(Any, DOCUMENT))


def examples() -> Iterator[Any]:
    """Every example and the schema it is an example of."""
    for call in CALLS:
        operation = DOCUMENT["paths"][call.path][call.method]
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        for described in [*operation["responses"].values(), *bodies]:
            for content in described.get("content", {}).values():
                schema = content["schema"].get("$ref", "").rpartition("/")[2]
                for name, example in content.get("examples", {}).items():
                    component = example.get("$ref", "").rpartition("/")[2]
                    found = DOCUMENT["components"]["examples"][component] if component else example
                    yield pytest.param(schema, found["value"], id=f"{call.name}-{name}")


@pytest.mark.parametrize(("schema", "value"), [*examples()])
def test_an_example_is_what_its_schema_says(schema: str, value: Any) -> None:
    assert_is(schema, value)


@pytest.mark.parametrize("wrong", [{}, {"entity_id": "a b"}, {"entity_id": "a", "more": 1}])
def test_what_a_schema_forbids_is_noticed(wrong: Any) -> None:
    with pytest.raises(Exception, match="Failed validating"):
        assert_is("PredictionRequest", wrong)


def raised_problems() -> dict[str, int]:
    """Slug and status of every problem that the source makes."""
    found = {}
    for path in Path(handlers.__file__).parent.glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name(id="Problem"),
                    args=[ast.Constant(value=int(status)), ast.Constant(value=str(slug)), *_],
                ):
                    found[slug] = status
    return found


def test_every_problem_is_in_the_table_with_its_status() -> None:
    raised = raised_problems()
    assert len(raised) > 8
    assert {slug: TYPES[slug][0] for slug in raised if slug in TYPES} == raised


def test_every_problem_of_the_table_may_be_raised() -> None:
    described = {"problem_types.py", "calls.py", "openapi.py", "examples.py"}
    source = "".join(
        path.read_text()
        for path in Path(handlers.__file__).parent.glob("**/*.py")
        if path.name not in described
    )
    assert [slug for slug in TYPES if f'"{slug}"' not in source] == []


def test_every_problem_is_in_the_document_with_its_status() -> None:
    told = {
        (slug, int(status))
        for call in CALLS
        for status, answer in DOCUMENT["paths"][call.path][call.method]["responses"].items()
        for content in answer.get("content", {}).values()
        for slug in content.get("examples", {})
        if slug in TYPES
    }
    elsewhere = {("no-such-path", 404), ("method-not-allowed", 405)}
    assert told | elsewhere == {(slug, status) for slug, (status, _) in TYPES.items()}
    assert all(HTTPStatus(status).phrase for status, _ in TYPES.values())


def test_every_call_is_in_the_document_and_nothing_else() -> None:
    given = {name: MagicMock() for name in inspect.signature(Handlers).parameters}
    built = cast(Any, Handlers)(**given)
    served = built.routes()
    told = {(call.method.upper(), call.path) for call in CALLS}
    assert {(route.method, route.path) for route in served if route.path != "/"} == told


def test_calls_take_a_token_only_where_the_daemon_asks_for_one() -> None:
    with_tokens = [
        call.name
        for call in CALLS
        if DOCUMENT["paths"][call.path][call.method]["security"] == [{"token": []}]
    ]
    assert {call.name for call in CALLS} - set(with_tokens) == {"healthz", "readyz", "openapi"}
    assert "401" in DOCUMENT["paths"]["/v1/status"]["get"]["responses"]
    without = openapi.document(authenticated=False)
    assert "401" not in without["paths"]["/v1/status"]["get"]["responses"]
    assert without["paths"]["/v1/status"]["get"]["security"] == []
