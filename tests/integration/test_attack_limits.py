"""Attacks by time and number: slow, idle, many. See docs/security.md."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from fraudd.aws.dynamodb import DynamoDbStore
from fraudd.aws.sns import SnsTopics
from fraudd.config import Config
from fraudd.prediction.events import RequestEvent
from fraudd.web import admission, app
from fraudd.web.openapi.problem_types import PROBLEMS_URL
from fraudd.web.server import server
from tests.integration.raw import connected, exchange, head, refused
from tests.stack.daemon import Fraudd, Start, changed
from tests.stack.observer import Observer
from tests.stack.subscriber import Inbox

POST = "POST /v1/predictions HTTP/1.1"
JSON = "Content-Type: application/json"
PROBE = head("GET /healthz HTTP/1.1")
LOOK_UP = head("GET /v1/predictions/shop-1 HTTP/1.1")


@pytest.fixture
async def fraudd(start: Start, config: Config) -> AsyncIterator[Fraudd]:
    async with start(config) as fraudd:
        yield fraudd
        assert (await exchange(fraudd.port, PROBE)).status == 200


@pytest.mark.parametrize("sent", [b"GET /", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "])
async def test_a_sender_of_slow_headers_is_cut_off(
    fraudd: Fraudd, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEADERS_SECONDS", 0.3)
    async with connected(fraudd.port) as caller, asyncio.TaskGroup() as group:

        async def dribble() -> None:
            await caller.send(sent)
            while True:
                await asyncio.sleep(0.02)
                await caller.send(b"a")

        dribbling = group.create_task(dribble())
        refused(await caller.answer(), 408, "slow-request")
        await caller.ended()
        dribbling.cancel()


async def test_slow_headers_after_a_good_request_are_cut_off_too(
    fraudd: Fraudd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEADERS_SECONDS", 0.3)
    async with connected(fraudd.port) as caller:
        await caller.send(PROBE)
        assert (await caller.answer()).status == 200
        await caller.send(PROBE[:20])
        refused(await caller.answer(), 408, "slow-request")
        await caller.ended()


async def test_headers_in_pieces_are_headers(fraudd: Fraudd) -> None:
    async with connected(fraudd.port) as caller:
        for _ in range(3):
            for byte in PROBE:
                await caller.send(bytes([byte]))
                await asyncio.sleep(0)
            assert (await caller.answer()).status == 200


@pytest.mark.parametrize("length", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_a_sender_of_a_slow_body_is_cut_off(
    fraudd: Fraudd, length: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "BODY_SECONDS", 0.3)
    async with connected(fraudd.port) as caller:
        await caller.send(head(POST, JSON, length))
        if length.startswith("Content"):
            await caller.send(b'{"entity_id"')
        refused(await caller.answer(), 408, "slow-request")
        assert await caller.ended() == b""


async def test_an_idle_connection_is_closed(
    start: Start, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "KEEP_ALIVE_SECONDS", 0.3)
    async with start(config) as fraudd, connected(fraudd.port) as silent:
        assert await silent.ended() == b""
        async with connected(fraudd.port) as caller:
            await caller.send(PROBE)
            assert (await caller.answer()).status == 200
            assert await caller.ended() == b""


async def test_who_does_not_read_answers_is_cut_off(
    fraudd: Fraudd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "UNREAD_SECONDS", 0.5)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    with sock:
        await loop.sock_connect(sock, ("127.0.0.1", fraudd.port))
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(20):
                while True:
                    await loop.sock_sendall(sock, head("GET /metrics HTTP/1.1") * 100)


async def test_who_sends_half_a_request_and_hangs_up_leaves_nothing_behind(fraudd: Fraudd) -> None:
    for sent in (PROBE[:10], head(POST, JSON, "Content-Length: 100") + b"{"):
        async with connected(fraudd.port) as caller:
            await caller.send(sent)
            caller.writer.write_eof()
            assert await caller.ended() == b""
    assert fraudd.sample("fraudd_http_requests_in_flight") == 0


class Stuck:
    """A store that never answers a reader, until it is told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Semaphore(0)
        self.left = asyncio.Semaphore(0)

    async def get(self, _: str) -> None:
        self.asked.release()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.release()


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Stuck:
    store = Stuck()
    monkeypatch.setattr(DynamoDbStore, "get", lambda _, entity_id: store.get(entity_id))
    return store


async def test_for_who_hung_up_nothing_goes_on(
    fraudd: Fraudd, stuck: Stuck, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fraudd")
    async with asyncio.timeout(10), connected(fraudd.port) as caller:
        await caller.send(LOOK_UP)
        await stuck.asked.acquire()
        assert fraudd.sample("fraudd_http_requests_in_flight") == 1
        caller.writer.transport.abort()
        await stuck.left.acquire()
    assert fraudd.sample("fraudd_http_requests_in_flight") == 0
    [line] = (one for one in caplog.records if one.getMessage() == "http.aborted")
    fields = line.__dict__["fields"]
    assert fields["request_id"]
    assert (fields["method"], fields["path"]) == ("GET", "/v1/predictions/shop-1")
    assert (fields["address"], fields["token"]) == ("127.0.0.1", None)


async def test_a_run_whose_caller_hung_up_is_opened_whole(
    fraudd: Fraudd, requests: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, goes_on = asyncio.Event(), asyncio.Event()
    publish = SnsTopics.request

    async def held_up(topics: SnsTopics, event: RequestEvent) -> None:
        written.set()
        await goes_on.wait()
        await publish(topics, event)

    monkeypatch.setattr(SnsTopics, "request", held_up)
    body = b'{"entity_id": "shop-1"}'
    async with connected(fraudd.port) as caller:
        await caller.send(head(POST, JSON, f"Content-Length: {len(body)}") + body)
        await asyncio.wait_for(written.wait(), 10)
        caller.writer.transport.abort()
    # Who is answered now comes after the end of that connection.
    assert (await exchange(fraudd.port, PROBE)).status == 200
    goes_on.set()
    [event] = await requests.take(1)
    assert event["entity_id"] == "shop-1"


async def test_what_has_no_answer_in_time_is_503(
    fraudd: Fraudd, stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "DEADLINE_SECONDS", 0.3)
    answer = await exchange(fraudd.port, LOOK_UP)
    refused(answer, 503, "timeout")
    assert answer.headers["retry-after"] == "1"
    async with asyncio.timeout(10):
        await stuck.left.acquire()


async def test_with_too_many_requests_in_hand_the_next_is_refused_at_once(
    fraudd: Fraudd, stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MAX_IN_FLIGHT", 3)
    async with AsyncExitStack() as stack, asyncio.timeout(10):
        for _ in range(3):
            caller = await stack.enter_async_context(connected(fraudd.port))
            await caller.send(LOOK_UP)
            await stuck.asked.acquire()
        answer = await exchange(fraudd.port, LOOK_UP)
        refused(answer, 503, "overloaded")
        assert answer.headers["retry-after"] == "1"
        assert (await exchange(fraudd.port, PROBE)).status == 200
    async with asyncio.timeout(10):
        for _ in range(3):
            await stuck.left.acquire()
    assert fraudd.sample("fraudd_http_requests_in_flight") == 0


async def test_idle_connections_make_room_for_a_new_one(
    start: Start, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 5)
    async with start(config) as fraudd, AsyncExitStack() as stack:
        idle = []
        for _ in range(5):
            caller = await stack.enter_async_context(connected(fraudd.port))
            await caller.send(PROBE)
            assert (await caller.answer()).status == 200
            idle.append(caller)
        assert (await exchange(fraudd.port, PROBE)).status == 200
        assert await idle[0].ended() == b""
        await idle[4].send(PROBE)
        assert (await idle[4].answer()).status == 200
        assert fraudd.sample("fraudd_http_connections") <= 5


async def test_where_no_connection_idles_a_new_one_is_refused(
    start: Start, config: Config, stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    async with start(config) as fraudd, AsyncExitStack() as stack, asyncio.timeout(20):
        for _ in range(3):
            caller = await stack.enter_async_context(connected(fraudd.port))
            await caller.send(LOOK_UP)
            await stuck.asked.acquire()
        async with connected(fraudd.port) as late:
            refused(await late.answer(), 503, "overloaded")
            assert await late.ended() == b""


async def test_more_requests_than_allowed_are_refused_by_address(
    start: Start, config: Config
) -> None:
    async with start(changed(config, http={"requests_per_second": 0.5})) as fraudd:
        assert (await exchange(fraudd.port, LOOK_UP)).status == 404
        answer = await exchange(fraudd.port, LOOK_UP)
        refused(answer, 429, "too-many-requests")
        assert answer.headers["retry-after"] in ("1", "2")
        # A probe is no request, and another caller has a rate of its own; who claims to be another
        # has not.
        assert (await exchange(fraudd.port, PROBE)).status == 200
        claims = head(
            "GET /v1/predictions/shop-1 HTTP/1.1",
            "X-Forwarded-For: 192.0.2.1",
            "Forwarded: for=192.0.2.1",
            "X-Real-IP: 192.0.2.1",
        )
        refused(await exchange(fraudd.port, claims), 429, "too-many-requests")
        assert (await exchange(fraudd.port, LOOK_UP, source="127.0.0.2")).status == 404


async def test_no_more_runs_are_opened_than_may_be_pending(
    start: Start, config: Config, observer: Observer
) -> None:
    for entity in ("shop-1", "shop-2"):
        await observer.hold_up(entity)
    async with start(changed(config, http={"max_pending": 2})) as fraudd:
        assert [(await fraudd.ask(f"shop-{number}"))[0] for number in (1, 2)] == [202, 202]
        status, problem = await fraudd.ask("shop-3")
        assert (status, problem["type"]) == (429, f"{PROBLEMS_URL}too-many-pending")
        assert "max_pending is 2" in problem["detail"]
        # What opens no run is answered.
        status, body = await fraudd.ask("shop-1")
        assert (status, body["status"]) == (202, "calculating")
        assert (await fraudd.look_up("shop-3"))[0] == 404
        for entity in ("shop-1", "shop-2"):
            await observer.let_go(entity)
            assert (await fraudd.ended(entity))["status"] == "done"
