"""The OpenAPI document: with valid examples, and with every operation and problem."""

import ast
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast
from unittest.mock import MagicMock

import pytest

from fraudd import web
from fraudd.web.app import routes
from fraudd.web.openapi import document as openapi
from fraudd.web.openapi.operations import OPERATIONS
from fraudd.web.openapi.problem_types import PROBLEM_TYPES
from tests.documents.contract import assert_is

DOCUMENT = openapi.document(authenticated=True)
#: The first word of a description is none of these prepositions and pronouns.
NO_FIRST_WORD = frozenset(
    ("of", "as", "to", "with", "from", "in", "it", "for", "by", "at", "on"),
)


def examples() -> Iterator[Any]:
    """Every example and the schema it is an example of."""
    for operation in OPERATIONS:
        described = DOCUMENT["paths"][operation.path][operation.method]
        bodies = [described["requestBody"]] if "requestBody" in described else []
        for part in [*described["responses"].values(), *bodies]:
            for content in part.get("content", {}).values():
                schema = content["schema"].get("$ref", "").rpartition("/")[2]
                for name, example in content.get("examples", {}).items():
                    component = example.get("$ref", "").rpartition("/")[2]
                    value = DOCUMENT["components"]["examples"][component] if component else example
                    yield pytest.param(
                        schema, value["value"], id=f"{operation.operation_id}-{name}"
                    )


@pytest.mark.parametrize(("schema", "value"), [*examples()])
def test_an_example_is_what_its_schema_says(schema: str, value: Any) -> None:
    assert_is(schema, value)


@pytest.mark.parametrize("wrong", [{}, {"entity_id": "a b"}, {"entity_id": "a", "more": 1}])
def test_what_a_schema_forbids_is_noticed(wrong: Any) -> None:
    with pytest.raises(Exception, match="Failed validating"):
        assert_is("PredictionRequest", wrong)


def sources() -> Iterator[Path]:
    """Every module of the HTTP API that may raise a problem."""
    described = {"problem_types.py", "operations.py", "document.py", "examples.py"}
    for path in Path(web.__file__).parent.glob("**/*.py"):
        if path.name not in described:
            yield path


def raised_slugs() -> set[str]:
    """The slug of every problem that the sources build."""
    slugs = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name(id="Problem" | "retryable" | "slow_down"),
                    args=[ast.Constant(value=str(slug)), *_],
                ):
                    slugs.add(slug)
    return slugs


def test_the_problems_that_are_raised_are_those_of_the_table() -> None:
    assert raised_slugs() == set(PROBLEM_TYPES)


def test_every_problem_is_in_the_document_with_its_status() -> None:
    shown = {
        (slug, int(status))
        for operation in OPERATIONS
        for status, response in DOCUMENT["paths"][operation.path][operation.method][
            "responses"
        ].items()
        for content in response.get("content", {}).values()
        for slug in content.get("examples", {})
        if slug in PROBLEM_TYPES
    }
    elsewhere = {("no-such-path", 404), ("method-not-allowed", 405)}
    statuses = {slug: problem_type.status for slug, problem_type in PROBLEM_TYPES.items()}
    assert shown | elsewhere == set(statuses.items())
    assert all(HTTPStatus(status).phrase for status in statuses.values())


def test_every_operation_is_in_the_document_and_nothing_else() -> None:
    options = dict.fromkeys(
        (
            "metrics",
            "status",
            "unready",
            "detached",
            "max_wait_seconds",
            "test_entities",
            "authenticated",
        ),
        MagicMock(),
    )
    served = cast(Any, routes)(MagicMock(), **options)
    described = {(operation.method.upper(), operation.path) for operation in OPERATIONS}
    assert {(route.method, route.path) for route in served if route.path != "/"} == described


def test_operations_take_a_token_only_if_the_daemon_requires_one() -> None:
    with_tokens = {
        operation.operation_id
        for operation in OPERATIONS
        if DOCUMENT["paths"][operation.path][operation.method]["security"] == [{"token": []}]
    }
    public = {operation.operation_id for operation in OPERATIONS} - with_tokens
    assert public == {"getLiveness", "getReadiness", "getOpenApi"}
    assert "401" in DOCUMENT["paths"]["/v1/status"]["get"]["responses"]
    without = openapi.document(authenticated=False)
    assert "401" not in without["paths"]["/v1/status"]["get"]["responses"]
    assert without["paths"]["/v1/status"]["get"]["security"] == []


def test_operation_ids_are_verbs_with_nouns_and_unique() -> None:
    ids = [operation.operation_id for operation in OPERATIONS]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"(create|get|list|delete)([A-Z][A-Za-z]+)", name) for name in ids)


def test_components_have_short_names() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert {"Prediction", "Problem", "Status", "PredictionRequest"} <= schemas.keys()
    assert not [name for name in schemas if name.endswith("Schema")]
    assert all(schema["title"] == name for name, schema in schemas.items())


def descriptions(value: Any) -> Iterator[str]:
    """Every summary and description of the document."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name in ("description", "summary") and isinstance(part, str):
                yield from re.split(r"\n+(?:- )?(?=[A-Z`])", part.strip().removeprefix("- "))
            elif name not in ("example", "examples", "value"):
                yield from descriptions(part)
    elif isinstance(value, list):
        for part in value:
            yield from descriptions(part)


def test_descriptions_are_sentences() -> None:
    texts = {*descriptions(DOCUMENT)}
    assert len(texts) > 50
    assert [text for text in texts if len(text.split()) < 3] == []
    assert [text for text in texts if text.split()[0].lower() in NO_FIRST_WORD] == []
    assert [text for text in texts if "; or: " in text] == []
