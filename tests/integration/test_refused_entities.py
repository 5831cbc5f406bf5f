"""An entity that AWS or fraudd refuses: it alone is affected, and its answer says why."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fraudd.aws.dynamodb import DynamoDbStore
from fraudd.config import Config
from fraudd.errors import RunError, Unreadable
from fraudd.web.openapi.problem_types import PROBLEMS_URL
from tests.integration.raw import exchange
from tests.stack.daemon import Fraudd, Start

ERRORS = {
    "shop-unreadable": Unreadable("shop-unreadable", "KeyError: state"),
    "shop-refused": RunError("refused_by_aws", "Item size has exceeded the maximum allowed size"),
}


@pytest.fixture
async def fraudd(
    start: Start, config: Config, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Fraudd]:
    whole = DynamoDbStore.get

    async def get(store: DynamoDbStore, entity_id: str) -> Any:
        if entity_id in ERRORS:
            raise ERRORS[entity_id]
        return await whole(store, entity_id)

    async with start(config) as fraudd:
        monkeypatch.setattr(DynamoDbStore, "get", get)
        yield fraudd


@pytest.mark.parametrize(
    ("entity_id", "slug"),
    [("shop-unreadable", "record-unreadable"), ("shop-refused", "refused-by-aws")],
)
async def test_the_answer_is_a_problem_that_says_why(
    fraudd: Fraudd, entity_id: str, slug: str, caplog: pytest.LogCaptureFixture
) -> None:
    status, problem = await fraudd.look_up(entity_id)
    assert (status, problem["type"]) == (500, f"{PROBLEMS_URL}{slug}")
    status, problem = await fraudd.ask(entity_id)
    assert (status, problem["type"]) == (500, f"{PROBLEMS_URL}{slug}")
    assert [record for record in caplog.records if record.getMessage() == "http.bug"] == []


async def test_the_others_of_a_batch_get_their_answers(fraudd: Fraudd) -> None:
    ids = ["shop-1", "shop-unreadable", "shop-2", "shop-refused"]
    asked = {"predictions": [{"entity_id": one} for one in ids]}
    async with fraudd.http.post("/v1/batches", json=asked) as answer:
        assert answer.status == 200
        first, unreadable, second, refused = (await answer.json())["predictions"]
    assert (first["status"], second["status"]) == ("started", "started")
    assert unreadable["problem"]["type"] == f"{PROBLEMS_URL}record-unreadable"
    assert refused["entity_id"] == "shop-refused"
    assert refused["problem"]["type"] == f"{PROBLEMS_URL}refused-by-aws"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "localhost.evil.example"])
@pytest.mark.parametrize("path", ["/v1/status", "/readyz", "/nonsense"])
async def test_a_page_that_leads_its_name_to_loopback_is_refused(
    fraudd: Fraudd, host: str, path: str
) -> None:
    answer = await exchange(
        fraudd.port, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer.status == 421
    assert json.loads(answer.body)["type"] == f"{PROBLEMS_URL}wrong-host"
