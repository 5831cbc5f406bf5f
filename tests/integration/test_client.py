"""The Python client, against a real daemon, and against servers that fail as they do."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from fraudd.client import Client, Prediction, Problem
from fraudd.config import Config
from tests.stack.daemon import Fraudd, Start
from tests.stack.observer import Observer
from tests.stack.workers import free_port

TOKEN = "frd-secret-of-nobody"


@pytest.fixture
async def fraudd(start: Start, config: Config) -> AsyncIterator[Fraudd]:
    async with start(config) as fraudd:
        yield fraudd


@pytest.fixture
async def client(fraudd: Fraudd) -> AsyncIterator[Client]:
    async with Client(fraudd.url, timeout=10) as client:
        yield client


async def test_a_score_is_waited_for(client: Client) -> None:
    prediction = await client.predict("shop-1", wait=20)
    assert (prediction.status, prediction.pending) == ("done", False)
    assert prediction.result is not None
    assert 0 <= prediction.result.score <= 1
    assert prediction.result.decision in ("approve", "review", "block")
    assert prediction.result.as_of <= prediction.result.scored_at
    assert prediction.result.reasons[0].text
    assert prediction.error is None
    stored = await client.predict("shop-1")
    assert stored.run_id == prediction.run_id
    newer = await client.predict("shop-1", force=True, wait=20)
    assert newer.run_id > prediction.run_id
    assert await client.get("shop-1") == newer


async def test_a_run_that_does_not_end_in_time_is_pending(
    client: Client, observer: Observer
) -> None:
    await observer.hold_up("shop-1")
    prediction = await client.predict("shop-1", wait=0.5)
    assert prediction.pending
    assert prediction.result is None
    assert prediction.estimated_seconds is not None
    await observer.let_go("shop-1")
    assert (await client.predict("shop-1", wait=20)).run_id == prediction.run_id


async def test_a_run_that_failed_says_why(client: Client) -> None:
    prediction = await client.predict("nobody", wait=20)
    assert prediction.status == "failed"
    assert prediction.error is not None
    assert prediction.error.type == "entity_unknown"


async def test_who_was_never_asked_for_is_none_and_forgotten_is_gone(client: Client) -> None:
    assert await client.get("shop-2") is None
    await client.predict("shop-2", wait=20)
    await client.delete("shop-2")
    assert await client.get("shop-2") is None


@pytest.mark.parametrize("entity_id", ["a b", "..", "", "ä", "a/../b", "a?b", "a%2fb"])
async def test_what_is_wrong_is_a_problem_with_its_pointer(client: Client, entity_id: str) -> None:
    with pytest.raises(Problem, match=r"invalid-field.*is not a valid entity_id") as raised:
        await client.predict(entity_id)
    assert (raised.value.status, raised.value.slug) == (422, "invalid-field")
    assert raised.value.errors[0]["pointer"] == "/entity_id"


@pytest.mark.parametrize("entity_id", ["a b", "..", ".", "ä", "a/../b", "a?b", "a%2fb"])
async def test_no_entity_id_leads_to_another_path(client: Client, entity_id: str) -> None:
    with pytest.raises(Problem) as raised:
        await client.get(entity_id)
    assert (raised.value.status, raised.value.slug) == (422, "invalid-field")


async def test_a_batch_answers_in_order_with_a_problem_where_one_is_wrong(client: Client) -> None:
    ids = [f"shop-{number}" for number in range(120)]
    ids[110] = "shop 110"
    answers = await client.batch(ids)
    wrong = answers[110]
    assert isinstance(wrong, Problem)
    assert wrong.slug == "invalid-field"
    right = [answer for answer in answers if isinstance(answer, Prediction)]
    assert [answer.entity_id for answer in right] == ids[:110] + ids[111:]
    assert all(answer.pending for answer in right)


async def test_all_that_failed_is_listed_page_after_page(client: Client) -> None:
    ids = [f"nobody-{number}" for number in range(105)]
    async with asyncio.TaskGroup() as group:
        for entity_id in ids:
            group.create_task(client.predict(entity_id, wait=30))
    listed = [prediction async for prediction in client.list("failed")]
    assert {prediction.entity_id for prediction in listed} == set(ids)
    assert all(prediction.error is not None for prediction in listed)
    assert [prediction async for prediction in client.list("calculating")] == []


async def test_the_status_is_that_of_the_daemon(client: Client) -> None:
    assert (await client.status())["state"] == "serving"


Answers = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(answers: Answers) -> AsyncIterator[str]:
    """A server that answers as it is told; gives its URL."""
    server = web.Server(answers)
    runner = web.ServerRunner(server)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


DONE: Mapping[str, Any] = {
    "entity_id": "shop-1",
    "status": "done",
    "run_id": "01M882XAC44Z2ZSZT7E7GR8CYW",
    "requested_at": "2026-11-24T08:00:00.000Z",
    "attempts": 1,
    "later": {"unknown": "to this client"},
}


def problem(status: int, slug: str, **headers: str) -> web.Response:
    document = {
        "type": f"https://example.org/problems#{slug}",
        "status": status,
        "detail": "it is so",
    }
    return web.json_response(document, status=status, headers=headers)


@pytest.mark.parametrize(
    "failure", ["unavailable", "too-many-pending", "cut off", "a proxy's own page"]
)
async def test_what_passes_is_tried_again(failure: str) -> None:
    calls = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        calls.append((request.method, request.path, await request.json()))
        if len(calls) > 2:
            return web.json_response(DONE)
        match failure:
            case "unavailable":
                return problem(503, failure, **{"Retry-After": "0"})
            case "too-many-pending":
                return problem(429, failure, **{"Retry-After": "0"})
            case "cut off":
                assert request.transport is not None
                request.transport.abort()
            case _:
                return web.Response(status=502, text="<h1>Bad Gateway</h1>")
        return web.Response()

    async with serving(answer) as url, Client(url) as client:
        prediction = await client.predict("shop-1", max_age_seconds=60)
    assert prediction.status == "done"
    assert prediction.body["later"] == {"unknown": "to this client"}
    asked = {"entity_id": "shop-1", "max_age_seconds": 60}
    assert calls == [("POST", "/v1/predictions", asked)] * 3


@pytest.mark.parametrize(("status", "slug"), [(401, "unauthenticated"), (500, "internal")])
async def test_what_does_not_pass_is_raised_at_once(status: int, slug: str) -> None:
    calls = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        calls.append(request)
        return problem(status, slug)

    async with serving(answer) as url, Client(url) as client:
        with pytest.raises(Problem) as raised:
            await client.get("shop-1")
    assert (raised.value.status, raised.value.slug) == (status, slug)
    assert raised.value.detail == "it is so"
    assert len(calls) == 1


async def test_a_pause_longer_than_the_time_left_is_not_begun() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return problem(503, "unavailable", **{"Retry-After": "300"})

    async with asyncio.timeout(20), serving(answer) as url, Client(url, timeout=30) as client:
        with pytest.raises(Problem) as raised:
            await client.get("shop-1")
    assert raised.value.retry_after_seconds == 300


async def test_a_server_that_does_not_answer_is_unreachable_when_the_time_is_up() -> None:
    gone = asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await gone.wait()
        return web.Response()

    async with serving(answer) as url, Client(url, timeout=0.2) as client:
        with pytest.raises(Problem, match=r"unreachable: .*no response within 0.2 s") as raised:
            await client.get("shop-1")
        gone.set()
    assert (raised.value.status, raised.value.slug) == (0, "unreachable")


async def test_nobody_there_is_unreachable() -> None:
    async with Client(f"http://127.0.0.1:{free_port()}", timeout=0.3) as client:
        with pytest.raises(Problem, match="unreachable") as raised:
            await client.status()
    assert raised.value.status == 0


async def test_a_token_is_sent_and_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen = []

    async def elsewhere(request: web.BaseRequest) -> web.StreamResponse:
        seen.append("elsewhere")
        return web.Response()

    async with serving(elsewhere) as other:

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            seen.append(request.headers["Authorization"])
            return web.Response(status=307, headers={"Location": f"{other}/"})

        async with serving(answer) as url, Client(url, token=TOKEN) as client:
            with pytest.raises(Problem) as raised:
                await client.get("shop-1")
            assert TOKEN not in repr(client)
            assert TOKEN not in repr(vars(raised.value)) + str(raised.value)
    assert seen == [f"Bearer {TOKEN}"]
    assert raised.value.slug == "not-fraudd"
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("token", ["", "a b", f"{TOKEN}\n", f"{TOKEN}ä"])
def test_a_token_that_cannot_be_one_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(ValueError, match="is empty or has invalid characters") as raised:
        Client("http://127.0.0.1", token=token)
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8080", "ftp://h", "http://", "http://u:hunter2@h", "http://h/?a=b"]
)
def test_a_url_that_cannot_be_one_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="the URL must") as raised:
        Client(url)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"hello": "world"}),
        (200, {**DONE, "requested_at": "yesterday"}),
        (200, {**DONE, "requested_at": 5}),
        (200, {**DONE, "result": "good"}),
        (400, {"type": 5}),
        (404, {"type": "error", "message": "no such thing"}),
        (404, {"type": "about:blank", "title": "Not Found", "status": 404}),
    ],
)
async def test_an_answer_that_is_not_fraudds_is_told_at_once(status: int, body: Any) -> None:
    calls = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        calls.append(request)
        return web.json_response(body, status=status)

    async with serving(answer) as url, Client(url) as client:
        with pytest.raises(Problem, match="not from fraudd; check the URL") as raised:
            await client.get("shop-1")
    assert (raised.value.status, raised.value.slug) == (status, "not-fraudd")
    assert len(calls) == 1


async def test_who_waits_for_ever_has_the_daemon_wait_as_long_as_it_does() -> None:
    preferred = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        preferred.append(request.headers["Prefer"])
        return web.json_response(DONE)

    async with serving(answer) as url, Client(url) as client:
        await client.predict("shop-1", wait=math.inf)
    assert preferred == ["wait=60"]


async def test_a_url_with_a_path_is_kept() -> None:
    paths = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        paths.append(request.path)
        return web.json_response(DONE)

    async with serving(answer) as url, Client(f"{url}/shops/") as client:
        await client.get("shop-1")
    assert paths == ["/shops/v1/predictions/shop-1"]


async def test_it_looks_again_after_the_time_that_the_daemon_names() -> None:
    """A daemon that does not wait is looked at again, as often as it says, until the run ends."""
    calls = []
    pending = {**DONE, "status": "calculating", "estimated_seconds": 1}

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        calls.append((request.method, request.headers["Prefer"]))
        if len(calls) < 3:
            return web.json_response(pending, status=202, headers={"Retry-After": "1"})
        return web.json_response(DONE)

    async with serving(answer) as url, Client(url) as client:
        prediction = await client.predict("shop-1", wait=30)
    assert prediction.status == "done"
    assert [method for method, _ in calls] == ["POST", "GET", "GET"]
    assert [prefer.startswith("wait=") for _, prefer in calls] == [True] * 3
