"""Attacks by bytes: what is no HTTP, what is ambiguous, what is too large. See docs/security.md."""

import logging
from collections.abc import AsyncIterator

import pytest

from fraudd.config import Config
from tests.integration.raw import connected, exchange, head, refused
from tests.stack.daemon import Fraudd, Start

POST = "POST /v1/predictions HTTP/1.1"
JSON = "Content-Type: application/json"
PROBE = head("GET /healthz HTTP/1.1")


@pytest.fixture
async def fraudd(start: Start, config: Config) -> AsyncIterator[Fraudd]:
    async with start(config) as fraudd:
        yield fraudd
        # Whatever came before, the daemon goes on.
        assert (await exchange(fraudd.port, PROBE)).status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03secret-of-the-caller\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /secret-of-the-caller\r\n\r\n",
        b"GET /secret-of-the-caller HTTP/3.7\r\nHost: localhost\r\n\r\n",
        b"secret-of-the-caller / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET secret-of-the-caller HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nsecret-of-the-caller\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n folded: secret-of-the-caller\r\n\r\n",
        b"GET / HTTP/1.1\nHost: localhost\n\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: secret\x00of-the-caller\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: secret\rof-the-caller\r\n\r\n",
        b"GET /v1/predictions/secret\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\r\n\r\n\r\nsecret-of-the-caller",
    ],
)
async def test_what_is_not_http_is_told_so_without_an_echo(fraudd: Fraudd, data: bytes) -> None:
    async with connected(fraudd.port) as caller:
        await caller.send(data)
        answer = await caller.answer()
        refused(answer, 400, "malformed-request")
        assert b"secret" not in answer.body
        assert await caller.ended() == b""


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: 5", "Content-Length: 5"),
        ("Content-Length: 5, 6",),
        ("Content-Length: +5",),
        ("Content-Length: -1",),
        ("Content-Length: 0x5",),
        ("Content-Length: 99999999999999999999999",),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding : chunked",),
        ("Transfer-Encoding: \x0bchunked",),
    ],
)
async def test_a_request_with_two_lengths_is_refused_and_hides_no_other(
    fraudd: Fraudd, fields: tuple[str, ...]
) -> None:
    smuggled = b"0\r\n\r\n" + head("DELETE /v1/predictions/shop-1 HTTP/1.1")
    async with connected(fraudd.port) as caller:
        await caller.send(head(POST, JSON, *fields) + smuggled)
        refused(await caller.answer(), 400, "malformed-request")
        assert await caller.ended() == b""
    assert fraudd.sample("fraudd_aws_calls_total", operation="UpdateItem") == 0


@pytest.mark.parametrize(
    "chunks", [b"zz\r\n{}\r\n0\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n", b"2\r\n{}xx0\r\n\r\n", b"2;\n{}"]
)
async def test_a_bad_chunk_is_refused(fraudd: Fraudd, chunks: bytes) -> None:
    async with connected(fraudd.port) as caller:
        await caller.send(head(POST, JSON, "Transfer-Encoding: chunked") + chunks)
        refused(await caller.answer(), 400, "malformed-request")
        await caller.ended()


@pytest.mark.parametrize("hosts", [b"", b"Host: localhost\r\nHost: b\r\n"])
async def test_no_host_or_two_are_refused(fraudd: Fraudd, hosts: bytes) -> None:
    answer = await exchange(fraudd.port, b"GET /healthz HTTP/1.1\r\n" + hosts + b"\r\n")
    refused(answer, 400, "malformed-request")


async def test_a_long_url_is_414(fraudd: Fraudd) -> None:
    answer = await exchange(fraudd.port, head(f"GET /v1/predictions/{'a' * 5_000} HTTP/1.1"))
    refused(answer, 414, "uri-too-long")


async def test_a_huge_header_is_431(fraudd: Fraudd) -> None:
    answer = await exchange(fraudd.port, head("GET /healthz HTTP/1.1", f"X: {'a' * 9_000}"))
    refused(answer, 431, "headers-too-large")


async def test_too_many_headers_are_431(fraudd: Fraudd) -> None:
    fields = [f"X-{number}: a" for number in range(100)]
    refused(await exchange(fraudd.port, head(POST, *fields)), 431, "headers-too-large")


async def test_headers_without_end_are_431(fraudd: Fraudd) -> None:
    async with connected(fraudd.port) as caller:
        await caller.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        for number in range(5):
            await caller.send(f"X-{number}: {'a' * 8_000}\r\n".encode())
        refused(await caller.answer(), 431, "headers-too-large")
        await caller.ended()


async def test_a_large_body_is_refused_before_it_is_sent(fraudd: Fraudd) -> None:
    answer = await exchange(fraudd.port, head(POST, JSON, "Content-Length: 1000000000"))
    refused(answer, 413, "body-too-large")


async def test_a_large_body_in_chunks_is_refused_once_it_is_too_large(fraudd: Fraudd) -> None:
    async with connected(fraudd.port) as caller:
        await caller.send(head(POST, JSON, "Transfer-Encoding: chunked"))
        for _ in range(17):
            await caller.send(b"1000\r\n" + b" " * 4096 + b"\r\n")
        refused(await caller.answer(), 413, "body-too-large")


async def test_a_compressed_body_is_not_unpacked(fraudd: Fraudd) -> None:
    data = head(POST, JSON, "Content-Encoding: gzip", "Content-Length: 2") + b"\x1f\x8b"
    refused(await exchange(fraudd.port, data), 415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET http://elsewhere.example/healthz HTTP/1.1", 200),
        ("OPTIONS * HTTP/1.1", 404),
        ("CONNECT elsewhere.example:443 HTTP/1.1", 404),
        ("TRACE /healthz HTTP/1.1", 405),
        ("OPTIONS /v1/predictions HTTP/1.1", 405),
    ],
)
async def test_it_is_no_proxy_and_echoes_no_request(fraudd: Fraudd, line: str, status: int) -> None:
    answer = await exchange(fraudd.port, head(line, "X-Secret: secret-of-the-caller"))
    assert answer.status == status
    assert b"secret" not in answer.body


async def test_expecting_the_impossible_is_417(fraudd: Fraudd) -> None:
    data = head(POST, JSON, "Expect: secret-of-the-caller", "Content-Length: 0")
    answer = await exchange(fraudd.port, data)
    refused(answer, 417, "expectation-failed")
    assert b"secret" not in answer.body


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
async def test_no_other_protocol_can_be_switched_to(fraudd: Fraudd, protocol: str) -> None:
    fields = ("Connection: Upgrade", f"Upgrade: {protocol}", "Sec-WebSocket-Version: 13")
    answer = await exchange(fraudd.port, head("GET /healthz HTTP/1.1", *fields))
    assert answer.status == 200
    assert "upgrade" not in answer.headers


async def test_requests_sent_at_once_are_answered_in_their_order(fraudd: Fraudd) -> None:
    async with connected(fraudd.port) as caller:
        await caller.send(
            b"".join(
                head("GET /v1/status HTTP/1.1", f"X-Request-Id: {number}") for number in range(200)
            )
        )
        for number in range(200):
            assert (await caller.answer()).headers["x-request-id"] == str(number)


@pytest.mark.parametrize(
    "data",
    [
        b"GET /healthz HTTP/3.7\r\nHost: localhost\r\n\r\n",
        head(POST, JSON, "Expect: the impossible", "Content-Length: 0"),
        # Headers without end, as far as anybody looks.
        b"GET /healthz HTTP/1.1\r\n" + b"".join(b"X: " + b"a" * 8_000 + b"\r\n" for _ in range(5)),
    ],
)
async def test_what_no_handler_saw_is_in_the_log_by_the_id_that_was_answered(
    fraudd: Fraudd, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fraudd")
    answer = await exchange(fraudd.port, data)
    [line] = [one for one in caplog.records if one.getMessage() == "http.malformed"]
    fields = line.__dict__["fields"]
    assert fields["request_id"] == answer.headers["x-request-id"]
    assert fields["address"] == "127.0.0.1"
