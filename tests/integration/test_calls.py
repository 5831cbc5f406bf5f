"""The calls of the API beside asking and looking up one, on real components."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from fraudd.config import Config
from fraudd.engine.listing import BEGINNING
from fraudd.telemetry import log
from tests.stack.aws import Aws
from tests.stack.daemon import Fraudd, Start, changed
from tests.stack.features import FEATURES
from tests.stack.observer import Observer
from tests.stack.subscriber import Inbox, subscribed

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACE = f"00-{TRACE_ID}-b7ad6b7169203331-01"


@pytest.fixture
async def fraudd(start: Start, config: Config) -> AsyncIterator[Fraudd]:
    async with start(config) as fraudd:
        yield fraudd


async def batch(fraudd: Fraudd, requests: Any, status: int = 200) -> Any:
    """Ask for many; gives the body."""
    async with fraudd.http.post("/v1/batches", json={"predictions": requests}) as answer:
        assert answer.status == status
        return await answer.json(content_type=None)


async def listed(fraudd: Fraudd, expected: int = 200, /, **query: Any) -> Any:
    """List; gives the body."""
    async with fraudd.http.get("/v1/predictions", params=query) as answer:
        body = await answer.json(content_type=None)
        assert answer.status == expected, body
        return body


# Batches


async def test_a_batch_gives_each_its_answer_in_order(fraudd: Fraudd, observer: Observer) -> None:
    await fraudd.ask("shop-1")
    done = await fraudd.ended("shop-1")
    await observer.hold_up("shop-2")
    body = await batch(
        fraudd,
        [
            {"entity_id": "shop-2"},
            {"entity_id": "shop-1"},
            {"entity_id": "no good"},
            {"entity_id": "shop-2"},
            {"entity_id": "shop-1", "max_age": 1},
            7,
        ],
    )
    started, stored, wrong, again, unknown, nothing = body["predictions"]
    assert (started["entity_id"], started["status"]) == ("shop-2", "started")
    assert (again["status"], again["run_id"]) == ("calculating", started["run_id"])
    assert stored == done
    assert unknown.pop("entity_id") == "shop-1"
    keys = "the keys are entity_id, max_age_seconds, force"
    for problem, pointer, says in (
        (wrong, "/predictions/2/entity_id", "'no good' is not a valid entity_id"),
        (unknown, "/predictions/4/max_age", f"unknown key; {keys}"),
        (nothing, "/predictions/5", "7: must be an object; its keys are entity_id, max_age"),
    ):
        assert problem.keys() == {"problem"}
        assert problem["problem"]["status"] == 422
        assert problem["problem"]["instance"] == "/v1/batches"
        [error] = problem["problem"]["errors"]
        assert error["pointer"] == pointer
        assert says in error["detail"]
    await observer.let_go("shop-2")
    assert (await fraudd.ended("shop-2"))["run_id"] == started["run_id"]


async def test_a_batch_of_a_hundred_starts_a_hundred_runs_and_no_more(fraudd: Fraudd) -> None:
    requests = [{"entity_id": f"shop-{n}"} for n in range(100)]
    first, second = await asyncio.gather(batch(fraudd, requests), batch(fraudd, requests))
    both = [*first["predictions"], *second["predictions"]]
    assert [one["entity_id"] for one in first["predictions"]] == [f"shop-{n}" for n in range(100)]
    assert sum(one["status"] == "started" for one in both) == 100
    assert len({one["run_id"] for one in both}) == 100
    await fraudd.jobs("done", 100)


@pytest.mark.parametrize(
    ("body", "pointer", "says"),
    [
        ({"predictions": []}, "/predictions", "0 items; the number of items must be 1 to 100"),
        (
            {"predictions": [{"entity_id": "a"}] * 101},
            "/predictions",
            "101 items; the number of items",
        ),
        ({"predictions": {"entity_id": "a"}}, "/predictions", "must be a valid array"),
        ({"predictions": [{"entity_id": "a"}], "force": True}, "/force", "unknown key"),
        ({}, "/predictions", "required key is missing"),
        ([{"entity_id": "a"}], "", '[{"entity_id": "a"}]: must be an object; its keys are'),
    ],
)
async def test_what_is_no_batch_is_refused_as_a_whole(
    fraudd: Fraudd, body: Any, pointer: str, says: str
) -> None:
    async with fraudd.http.post("/v1/batches", json=body) as answer:
        assert answer.status == 422
        [error] = (await answer.json(content_type=None))["errors"]
        assert error["pointer"] == pointer
        assert says in error["detail"]
        assert len(error["detail"]) < 300


# Listings


async def test_a_list_goes_through_all_that_failed_oldest_first(fraudd: Fraudd) -> None:
    names = [f"nobody-{n}" for n in range(12)]
    for name in names:
        await fraudd.ask(name)
    await fraudd.ask("shop-1")
    await fraudd.jobs("failed", 12)
    await fraudd.jobs("done")
    pages: list[list[str]] = []
    cursor: dict[str, str] = {}
    async with asyncio.timeout(10):
        while True:
            page = await listed(fraudd, status="failed", limit=5, **cursor)
            pages.append([one["entity_id"] for one in page["predictions"]])
            assert all(one["status"] == "failed" for one in page["predictions"])
            if "cursor" not in page:
                break
            cursor = {"cursor": page["cursor"]}
    assert pages == [names[:5], names[5:10], names[10:]]
    assert await listed(fraudd, status="calculating") == {"predictions": []}


async def test_what_is_calculating_is_listed_with_its_estimate(
    fraudd: Fraudd, observer: Observer
) -> None:
    for name in ("shop-1", "shop-2"):
        await observer.hold_up(name)
        await fraudd.ask(name)
    page = await listed(fraudd, status="calculating")
    assert [one["entity_id"] for one in page["predictions"]] == ["shop-1", "shop-2"]
    assert all(one["estimated_seconds"] >= 1 for one in page["predictions"])
    await observer.let_go("shop-1")
    assert (await fraudd.ended("shop-1"))["status"] == "done"
    page = await listed(fraudd, status="calculating")
    assert [one["entity_id"] for one in page["predictions"]] == ["shop-2"]
    await observer.let_go("shop-2")
    await fraudd.ended("shop-2")


def cursor_of(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({}, "/status"),
        ({"status": "done"}, "/status"),
        ({"status": "failed", "limit": 0}, "/limit"),
        ({"status": "failed", "limit": 101}, "/limit"),
        ({"status": "failed", "limit": "x"}, "/limit"),
        ({"status": "failed", "include": "all"}, "/include"),
        ({"status": "failed", "x": 1}, "/x"),
        ({"status": "failed", "cursor": "x"}, "/cursor"),
        ({"status": "failed", "cursor": "ä"}, "/cursor"),
        ({"status": "failed", "cursor": cursor_of([])}, "/cursor"),
        ({"status": "failed", "cursor": cursor_of({"status": "failed", "after": []})}, "/cursor"),
        (
            {
                "status": "failed",
                "cursor": cursor_of({"status": "calculating", "after": [None] * 4}),
            },
            "/cursor",
        ),
        (
            {
                "status": "failed",
                "cursor": cursor_of({"status": "failed", "after": [[2**53, "a"], *[None] * 3]}),
            },
            "/cursor",
        ),
        (
            {
                "status": "failed",
                "cursor": cursor_of({"status": "failed", "after": [[1, "a b"], *[None] * 3]}),
            },
            "/cursor",
        ),
    ],
)
async def test_a_wrong_query_is_422_with_its_pointer(
    fraudd: Fraudd, query: Any, pointer: str
) -> None:
    [error] = (await listed(fraudd, 422, **query))["errors"]
    assert error["pointer"] == pointer


async def test_a_cursor_of_ones_own_making_does_no_more_than_begin_elsewhere(
    fraudd: Fraudd,
) -> None:
    await fraudd.ask("nobody-1")
    await fraudd.jobs("failed")
    for at, found in ((0, 1), (2**53 - 1, 0)):
        forged = cursor_of({"status": "failed", "after": [[at, "any"]] * len(BEGINNING)})
        page = await listed(fraudd, status="failed", cursor=forged)
        assert len(page["predictions"]) == found


async def test_a_key_that_is_given_twice_is_refused(fraudd: Fraudd) -> None:
    async with fraudd.http.get("/v1/predictions?status=failed&status=failed") as answer:
        assert answer.status == 422
        [error] = (await answer.json(content_type=None))["errors"]
        assert (error["pointer"], error["detail"]) == ("/status", "given twice")


# What is shown


async def test_features_are_shown_to_who_asks(fraudd: Fraudd) -> None:
    await fraudd.ask("shop-1")
    plain = await fraudd.ended("shop-1")
    assert "features" not in plain["result"]
    include = {"include": "features"}
    async with fraudd.http.get("/v1/predictions/shop-1", params=include) as answer:
        shown = (await answer.json())["result"].pop("features")
    assert shown.keys() == {*FEATURES, "nothing"}
    assert (shown["size"], shown["nothing"]) == (6.0, None)
    body = {"entity_id": "shop-1"}
    async with fraudd.http.post("/v1/predictions", params=include, json=body) as answer:
        assert (await answer.json())["result"]["features"] == shown
    both = {"predictions": [body]}
    async with fraudd.http.post("/v1/batches", params=include, json=both) as answer:
        assert (await answer.json())["predictions"][0]["result"]["features"] == shown


async def test_who_has_the_answer_already_is_told_so(fraudd: Fraudd, observer: Observer) -> None:
    await observer.hold_up("shop-1")
    await fraudd.ask("shop-1")
    path = "/v1/predictions/shop-1"
    async with fraudd.http.get(path) as answer:
        pending = answer.headers["ETag"]
        assert pending.startswith('"')
    await observer.let_go("shop-1")
    await fraudd.ended("shop-1")
    async with fraudd.http.get(path, headers={"If-None-Match": pending}) as answer:
        assert answer.status == 200
        done = answer.headers["ETag"]
        assert done != pending
    for known in (done, f'"x", W/{done}', "*"):
        async with fraudd.http.get(path, headers={"If-None-Match": known}) as answer:
            assert (answer.status, answer.headers["ETag"]) == (304, done)
            assert await answer.read() == b""
            assert "Content-Type" not in answer.headers
    async with fraudd.http.get(path, params={"include": "features"}) as answer:
        assert answer.headers["ETag"] != done
    async with fraudd.http.head(path) as answer:
        assert (answer.status, answer.headers["ETag"]) == (200, done)
    async with fraudd.http.get("/v1/predictions?status=failed") as answer:
        known = answer.headers["ETag"]
    given = {"If-None-Match": known}
    async with fraudd.http.get("/v1/predictions?status=failed", headers=given) as answer:
        assert answer.status == 304
    async with fraudd.http.get("/v1/predictions/shop-7", headers=given) as answer:
        assert (answer.status, "ETag" in answer.headers) == (404, False)


# Waiting


async def wait_for(
    fraudd: Fraudd, entity_id: str, prefer: str = "wait=20"
) -> tuple[int, Any, str | None]:
    """Ask and wait; gives status, body and the preference that was applied."""
    body, headers = {"entity_id": entity_id}, {"Prefer": prefer}
    async with fraudd.http.post("/v1/predictions", json=body, headers=headers) as answer:
        return answer.status, await answer.json(), answer.headers.get("Preference-Applied")


async def waits(fraudd: Fraudd, count: int) -> None:
    """See that so many wait."""
    async with asyncio.timeout(10):
        while (await fraudd.status())["waiters"] != count:
            pass


async def test_who_prefers_to_wait_is_answered_when_the_run_ends(
    fraudd: Fraudd, observer: Observer
) -> None:
    await observer.hold_up("shop-1")
    asking = asyncio.create_task(wait_for(fraudd, "shop-1"))
    await waits(fraudd, 1)
    looking = asyncio.create_task(
        fraudd.http.get("/v1/predictions/shop-1", headers={"Prefer": "wait=20"})
    )
    await waits(fraudd, 2)
    await observer.let_go("shop-1")
    status, body, applied = await asking
    assert (status, body["status"], applied) == (200, "done", "wait=20")
    async with await looking as answer:
        assert answer.headers["Preference-Applied"] == "wait=20"
        assert await answer.json() == body
    # What is stored is not waited for.
    status, again, applied = await wait_for(fraudd, "shop-1", "wait=20")
    assert (status, again, applied) == (200, body, "wait=20")


async def test_who_waits_hears_of_a_failure(fraudd: Fraudd) -> None:
    body, headers = {"entity_id": "nobody-1"}, {"Prefer": "respond-async, wait=20"}
    async with fraudd.http.post("/v1/predictions", json=body, headers=headers) as answer:
        assert answer.status == 200
        assert 0 < int(answer.headers["Retry-After"]) <= 60
        assert (await answer.json())["error"]["type"] == "entity_unknown"


async def test_when_the_time_is_up_the_answer_is_as_things_stand(
    start: Start, config: Config, observer: Observer
) -> None:
    await observer.hold_up("shop-1")
    async with start(changed(config, http={"max_wait_seconds": 1})) as fraudd:
        status, body, applied = await wait_for(fraudd, "shop-1", "wait=50")
        assert (status, body["status"], applied) == (202, "started", "wait=1")
        status, body, _ = await wait_for(fraudd, "shop-1", "wait=50")
        assert (status, body["status"]) == (202, "calculating")
        _, _, applied = await wait_for(fraudd, "shop-1", "wait=soon")
        assert applied is None
        assert (await fraudd.status())["waiters"] == 0
        await observer.let_go("shop-1")
        await fraudd.ended("shop-1")


async def test_who_waits_at_one_daemon_hears_of_a_run_at_another(
    start: Start, config: Config, observer: Observer
) -> None:
    await observer.hold_up("shop-1")
    async with start(config) as one, start(config) as other:
        waiting = [asyncio.create_task(wait_for(at, "shop-1")) for at in (one, other)]
        for at in (one, other):
            await waits(at, 1)
        await observer.let_go("shop-1")
        answers = [(await task)[:2] for task in waiting]
        assert answers[0] == answers[1]
        assert answers[0][1]["status"] == "done"
        computed = [at.sample("fraudd_messages_total", outcome="done") for at in (one, other)]
        assert sorted(computed) == [0, 1]


async def test_who_hangs_up_is_gone_and_the_run_goes_on(fraudd: Fraudd, observer: Observer) -> None:
    await observer.hold_up("shop-1")
    asking = asyncio.create_task(wait_for(fraudd, "shop-1"))
    await waits(fraudd, 1)
    asking.cancel()
    await waits(fraudd, 0)
    await observer.let_go("shop-1")
    assert (await fraudd.ended("shop-1"))["status"] == "done"


async def test_who_hangs_up_while_asking_leaves_no_run_without_its_wake_up(
    start: Start, config: Config, requests: Inbox
) -> None:
    """Whenever the connection is cut: what was opened is published."""
    async with start(config) as fraudd:
        port = fraudd.http._base_url.port  # type: ignore[union-attr]
        body = b'{"entity_id": "shop-%d"}'
        head = b"POST /v1/predictions HTTP/1.1\r\nHost: [::1]\r\nContent-Type: application/json\r\n"
        for number in range(40):
            content = body % number
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head + b"Content-Length: %d\r\n\r\n" % len(content) + content)
            await writer.drain()
            await asyncio.sleep(number * 0.0005)
            writer.transport.abort()
        opened = []
        for number in range(40):
            status, _ = await fraudd.look_up(f"shop-{number}")
            if status == 200:
                opened.append(f"shop-{number}")
                assert (await fraudd.ended(f"shop-{number}"))["status"] == "done"
        published = await requests.take(len(opened))
        assert sorted(one["entity_id"] for one in published) == sorted(opened)
        assert opened, "some got as far"


async def test_who_waits_is_answered_when_the_daemon_stops(
    start: Start, config: Config, observer: Observer
) -> None:
    await observer.hold_up("shop-1")
    async with start(changed(config, consumers={"drain_seconds": 20})) as fraudd:
        asking = asyncio.create_task(wait_for(fraudd, "shop-1"))
        await waits(fraudd, 1)
        fraudd.daemon.stop()
        status, body, _ = await asking
        assert (status, body["status"]) == (202, "started")
        status, body, applied = await wait_for(fraudd, "shop-1")
        assert (status, body["status"], applied) == (202, "calculating", None)
        await observer.let_go("shop-1")
        await fraudd.task


async def test_who_waits_for_what_is_forgotten_is_told_so(
    fraudd: Fraudd, observer: Observer
) -> None:
    await observer.hold_up("shop-1")
    await fraudd.ask("shop-1")
    headers = {"Prefer": "wait=20"}
    looking = asyncio.create_task(fraudd.http.get("/v1/predictions/shop-1", headers=headers))
    await waits(fraudd, 1)
    async with fraudd.http.delete("/v1/predictions/shop-1") as answer:
        assert answer.status == 204
    async with await looking as answer:
        assert answer.status == 404
    await observer.let_go("shop-1")


# Test entities


@pytest.mark.parametrize("decision", ["approve", "review", "block"])
async def test_a_test_entity_goes_through_everything_but_the_database(
    start: Start, config: Config, decision: str, completions: Inbox, observer: Observer
) -> None:
    async with start(changed(config, http={"test_entities": True})) as fraudd:
        status, asked = await fraudd.ask(f"test:{decision}")
        assert (status, asked["status"], asked["test"]) == (202, "started", True)
        done = await fraudd.ended(f"test:{decision}")
        assert (done["status"], done["test"], done["run_id"]) == ("done", True, asked["run_id"])
        assert done["result"]["decision"] == decision
        [announced] = await completions.take(1)
        assert announced["data"] == done
        assert fraudd.sample("fraudd_database_connections") <= 1, "that of the check at start"
        await fraudd.ask("shop-1")
        assert "test" not in await fraudd.ended("shop-1")


async def test_a_test_entity_can_fail_and_can_take_its_time(start: Start, config: Config) -> None:
    async with start(changed(config, http={"test_entities": True})) as fraudd:
        _, slow, _ = await wait_for(fraudd, "test:slow-5", "wait=1")
        assert (slow["status"], slow["test"]) == ("started", True)
        _, failed, _ = await wait_for(fraudd, "test:fail")
        assert (failed["status"], failed["error"]["type"], failed["test"]) == (
            "failed",
            "test",
            True,
        )
        # It keeps nobody from the database meanwhile.
        assert (await fraudd.status())["permits"]["in_use"] <= 1
        _, done, _ = await wait_for(fraudd, "test:slow-5")
        assert (done["status"], done["result"]["decision"]) == ("done", "approve")


async def test_without_the_key_there_are_no_test_entities(fraudd: Fraudd) -> None:
    await fraudd.ask("test:approve")
    failed = await fraudd.ended("test:approve")
    assert (failed["error"]["type"], "test" in failed) == ("entity_unknown", False)


# Traces


@pytest.mark.usefixtures("own_log")
async def test_a_trace_goes_from_the_caller_to_the_subscriber_and_into_every_line(
    start: Start,
    config: Config,
    aws: Aws,
    completions: Inbox,
    capsys: pytest.CaptureFixture[str],
) -> None:
    requests = await subscribed(aws, aws.names.requests_arn)
    log.configure(level="debug", form="json")
    async with start(config) as fraudd:
        body = {"entity_id": "shop-1"}
        headers = {"traceparent": TRACE}
        async with fraudd.http.post("/v1/predictions", json=body, headers=headers) as answer:
            run_id = (await answer.json())["run_id"]
        await fraudd.ended("shop-1")
        [announced] = await completions.take(1)
        await fraudd.ask("nobody-1")
        await fraudd.ended("nobody-1")
        [other] = await completions.take(1)
    assert announced["traceparent"] == TRACE
    [first, second] = await requests.attributes(2)
    assert first["traceparent"] == TRACE
    record = await aws.store.get("shop-1")
    assert record is not None
    assert record.traceparent == TRACE
    # Who came without a trace has begun one.
    assert other["traceparent"] == second["traceparent"]
    assert TRACE_ID not in other["traceparent"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    of_run = [line for line in lines if line.get("run_id") == run_id]
    assert {line["event"] for line in of_run} >= {"run.opened", "run.computed"}
    assert {line["trace_id"] for line in of_run} == {TRACE_ID}
    asked = [line for line in lines if line["event"] == "http.request" and line["status"] == 202]
    assert asked[0]["trace_id"] == TRACE_ID
    assert {line.get("trace_id") for line in lines if line.get("entity_id") == "nobody-1"} == {
        other["traceparent"].split("-")[1]
    }


async def test_the_trace_of_another_services_event_is_that_of_its_run(
    start: Start, config: Config, aws: Aws, completions: Inbox
) -> None:
    async with start(config):
        await aws.clients.sns.publish(
            TopicArn=aws.names.requests_arn,
            Message='{"entity_id": "shop-1"}',
            MessageAttributes={"traceparent": {"DataType": "String", "StringValue": TRACE}},
        )
        [announced] = await completions.take(1)
    assert announced["traceparent"] == TRACE


async def test_connections_of_waiters_are_http(fraudd: Fraudd) -> None:
    """HEAD answers as GET does."""
    async with aiohttp.ClientSession(fraudd.http._base_url) as http:
        async with http.head("/v1/predictions/shop-1") as answer:
            assert answer.status == 404
        async with http.head("/v1/predictions?status=failed") as answer:
            assert answer.status == 200
