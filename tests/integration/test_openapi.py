"""Real answers are what the OpenAPI document says, and what it says is valid is taken."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from openapi_spec_validator import validate

from fraudd.config import Config
from fraudd.web.openapi.document import document
from tests.documents.contract import assert_is
from tests.stack.daemon import Fraudd, Start, changed
from tests.stack.observer import Observer

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def fraudd(start: Start, config: Config) -> AsyncIterator[Fraudd]:
    async with start(config) as fraudd:
        yield fraudd


async def test_the_document_is_served_and_valid(fraudd: Fraudd) -> None:
    async with fraudd.http.get("/openapi.json") as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        served = await answer.json()
    validate(served)
    assert served["openapi"] == "3.1.0"


def test_the_document_of_a_daemon_with_tokens_is_valid() -> None:
    validate(cast(Any, document(authenticated=True)))


async def test_a_prediction_is_as_described_in_every_state(
    fraudd: Fraudd, observer: Observer
) -> None:
    await observer.hold_up("shop-1")
    for expected in ("started", "calculating"):
        status, body = await fraudd.ask("shop-1")
        assert (status, body["status"]) == (202, expected)
        assert_is("Prediction", body)
    await observer.busy("User lock")
    status, running = await fraudd.look_up("shop-1")
    assert (status, running["status"], running["attempts"]) == (200, "calculating", 1)
    assert_is("Prediction", running)
    assert "entity_id" in (await fraudd.status())["runs"][0]
    assert_is("Status", await fraudd.status())
    await observer.let_go("shop-1")
    done = await fraudd.ended("shop-1")
    assert done["result"]["reasons"]
    assert_is("Prediction", done)
    assert_is("Prediction", (await fraudd.ask("shop-1", force=True))[1])
    await fraudd.ended("shop-1")
    await fraudd.ask("nobody")
    failed = await fraudd.ended("nobody")
    assert failed["status"] == "failed"
    assert_is("Prediction", failed)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/predictions", "{", 400),
        ("POST", "/v1/predictions", "{}", 422),
        ("POST", "/v1/predictions", f'"{"a" * 70_000}"', 413),
        ("GET", "/v1/predictions/shop-9", None, 404),
        ("GET", "/v1/predictions/a%20b", None, 422),
        ("GET", "/nowhere", None, 404),
        ("PUT", "/v1/predictions", None, 405),
    ],
)
async def test_a_problem_is_as_described(
    fraudd: Fraudd, method: str, path: str, body: Any, status: int
) -> None:
    async with fraudd.http.request(method, path, data=body, headers=JSON) as answer:
        assert answer.status == status
        problem = await answer.json(content_type=None)
    assert_is("Problem", problem)


async def test_status_and_probes_are_as_described(fraudd: Fraudd) -> None:
    assert_is("Status", await fraudd.status())
    for path in ("/healthz", "/readyz"):
        async with fraudd.http.get(path) as answer:
            assert_is("Probe", await answer.json())


async def test_which_methods_a_path_has_is_told_without_a_token(
    start: Start, config: Config, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"reader read {'0' * 64}\n")
    async with start(changed(config, http={"tokens_credential": str(tokens)})) as fraudd:
        async with fraudd.http.get("/openapi.json") as answer:
            document = await answer.json()
            assert document["paths"]["/v1/status"]["get"]["security"] == [{"token": []}]
        for path, allowed in (("/healthz", "GET, HEAD"), ("/v1/predictions", "GET, HEAD, POST")):
            async with fraudd.http.request("TRACE", path) as answer:
                assert (answer.status, answer.headers["Allow"]) == (405, allowed)
        async with fraudd.http.get("/v1/status") as answer:
            assert answer.status == 401
            assert_is("Problem", await answer.json(content_type=None))
