"""What the HTTP API refuses, and with which problem document."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fraudd.config import Config
from fraudd.web.openapi.problem_types import PROBLEMS_URL
from tests.stack.daemon import Fraudd, Start

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def fraudd(start: Start, config: Config) -> AsyncIterator[Fraudd]:
    async with start(config) as fraudd:
        yield fraudd


async def refused(
    fraudd: Fraudd, method: str, path: str, status: int, slug: str, **request: Any
) -> Any:
    """Send a request that must be refused; gives the problem document."""
    async with fraudd.http.request(method, path, **request) as answer:
        assert answer.status == status
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["X-Request-Id"]
        assert answer.headers["Server"] == "fraudd"
        problem = await answer.json(content_type=None)
        assert problem["type"] == f"{PROBLEMS_URL}{slug}"
        assert problem["status"] == status
        assert problem["title"]
        assert problem["detail"]
        assert path.startswith(problem["instance"]), "a URI reference, as RFC 9457 has it"
        return problem


@pytest.mark.parametrize(
    ("body", "pointer", "says"),
    [
        ({"entity_id": "a b"}, "/entity_id", "'a b' is not a valid entity_id: 1 to 128 characters"),
        ({"entity_id": "a" * 129}, "/entity_id", "1 to 128 characters"),
        ({"entity_id": "a\n"}, "/entity_id", "1 to 128 characters"),
        ({"entity_id": ""}, "/entity_id", "1 to 128 characters"),
        ({"entity_id": 42}, "/entity_id", "42: must be a valid string"),
        ({"entity_id": None}, "/entity_id", "null: must be a valid string"),
        ({}, "/entity_id", "required key is missing"),
        ({"entity_id": "a", "max_age_seconds": -1}, "/max_age_seconds", "greater than or equal"),
        ({"entity_id": "a", "max_age_seconds": "1"}, "/max_age_seconds", "must be a valid number"),
        (
            {"entity_id": "a", "max_age_seconds": True},
            "/max_age_seconds",
            "true: must be a valid number",
        ),
        ({"entity_id": "a", "force": 1}, "/force", "1: must be a valid boolean"),
        ({"entity_id": "a", "forse": True}, "/forse", "unknown key; the keys are entity_id"),
        (["a"], "", '["a"]: must be an object; its keys are entity_id, max_age_seconds, force'),
        ("a", "", "'a': must be an object"),
    ],
)
async def test_a_wrong_field_is_422_with_its_pointer_and_what_is_right(
    fraudd: Fraudd, body: Any, pointer: str, says: str
) -> None:
    problem = await refused(
        fraudd, "POST", "/v1/predictions", 422, "invalid-field", data=json.dumps(body), headers=JSON
    )
    [error] = problem["errors"]
    assert error["pointer"] == pointer
    assert says in error["detail"]
    assert len(error["detail"]) < 300


async def test_all_wrong_fields_are_told_at_once(fraudd: Fraudd) -> None:
    body = {"max_age_seconds": -1, "force": "yes", "x": 1}
    problem = await refused(fraudd, "POST", "/v1/predictions", 422, "invalid-field", json=body)
    assert {error["pointer"] for error in problem["errors"]} == {
        "/entity_id",
        "/max_age_seconds",
        "/force",
        "/x",
    }


@pytest.mark.parametrize("body", ["", "{", "nonsense", '{"entity_id": "a",}', b"\xff\xfe", "NaN"])
async def test_what_is_not_json_is_400(fraudd: Fraudd, body: Any) -> None:
    slug = "invalid-field" if body == "NaN" else "not-json"
    status = 422 if body == "NaN" else 400
    await refused(fraudd, "POST", "/v1/predictions", status, slug, data=body, headers=JSON)


async def test_not_a_number_is_no_age(fraudd: Fraudd) -> None:
    body = '{"entity_id": "a", "max_age_seconds": NaN}'
    await refused(fraudd, "POST", "/v1/predictions", 422, "invalid-field", data=body, headers=JSON)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
async def test_another_content_type_is_415(fraudd: Fraudd, content_type: str) -> None:
    body, headers = '{"entity_id": "a"}', {"Content-Type": content_type}
    await refused(
        fraudd,
        "POST",
        "/v1/predictions",
        415,
        "unsupported-media-type",
        data=body,
        headers=headers,
    )


async def test_who_sends_no_content_type_is_told_to(fraudd: Fraudd) -> None:
    problem = await refused(
        fraudd,
        "POST",
        "/v1/predictions",
        415,
        "unsupported-media-type",
        data=b'{"entity_id": "a"}',
        skip_auto_headers=["Content-Type"],
    )
    assert problem["detail"] == ("the Content-Type must be application/json, but it is missing")


async def test_a_body_over_64_kib_is_413_and_one_of_64_kib_is_read(fraudd: Fraudd) -> None:
    fits = '{"entity_id": "shop-1"' + " " * (64 * 1024 - 23) + "}"
    assert len(fits) == 64 * 1024
    async with fraudd.http.post("/v1/predictions", data=fits, headers=JSON) as answer:
        assert answer.status == 202
    await refused(
        fraudd, "POST", "/v1/predictions", 413, "body-too-large", data=fits + " ", headers=JSON
    )


@pytest.mark.parametrize("path", ["/nope", "/v1", "/v1/predictions/a/b", "/%00", "/v2/predictions"])
async def test_an_unknown_path_is_404(fraudd: Fraudd, path: str) -> None:
    async with fraudd.http.get(path) as answer:
        assert answer.status == 404
        assert (await answer.json(content_type=None))["type"] == f"{PROBLEMS_URL}no-such-path"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/predictions", "GET, HEAD, POST"),
        ("POST", "/v1/predictions/shop-1", "DELETE, GET, HEAD"),
        ("DELETE", "/healthz", "GET, HEAD"),
        ("PATCH", "/v1/status", "GET, HEAD"),
    ],
)
async def test_an_unknown_method_is_405_and_says_which_are_known(
    fraudd: Fraudd, method: str, path: str, allowed: str
) -> None:
    await refused(fraudd, method, path, 405, "method-not-allowed")
    async with fraudd.http.request(method, path) as answer:
        assert answer.headers["Allow"] == allowed


async def test_an_entity_nobody_asked_for_is_404(fraudd: Fraudd) -> None:
    await refused(fraudd, "GET", "/v1/predictions/shop-7", 404, "no-prediction")


@pytest.mark.parametrize("entity", ["a%20b", "a" * 129, "-a", "a%2Fb", "%C3%A4"])
async def test_a_wrong_entity_in_the_path_is_422(fraudd: Fraudd, entity: str) -> None:
    async with fraudd.http.get(f"/v1/predictions/{entity}") as answer:
        assert answer.status == 422
        problem = await answer.json(content_type=None)
    assert problem["errors"][0]["pointer"] == "/entity_id"
    assert problem["instance"] == f"/v1/predictions/{entity}"


async def test_probes_say_that_the_daemon_lives_and_is_ready(fraudd: Fraudd) -> None:
    for path, status in (("/healthz", "alive"), ("/readyz", "ready")):
        async with fraudd.http.get(path) as answer:
            assert (answer.status, await answer.json()) == (200, {"status": status})
