"""Attacks by what a well-formed request says: types, unicode, paths, injection."""

import json
import re
from collections.abc import AsyncIterator
from typing import Literal

import pytest

from fraudd.config import Config
from fraudd.engine.intake import Intake
from fraudd.telemetry import log
from tests.integration.raw import Answer, exchange, head, refused
from tests.stack.daemon import Fraudd, Start

JSON = "Content-Type: application/json"
#: How a line of the log begins.
_JSON_LINE = re.compile(r'{"time": "\S+Z", "level": "[a-z]+", "event": "([a-z._]+)"')
_TEXT_LINE = re.compile(r"\S+Z [A-Z]+ +([a-z._]+)( |$)")
#: What an attacker would like to see in a log as a line of its own.
FORGED = '\n{"event": "daemon.stopped"}\n2026-11-24T08:00:00Z ERROR   forged\r\x1b[2J\u2028\x85'


@pytest.fixture
async def fraudd(start: Start, config: Config) -> AsyncIterator[Fraudd]:
    async with start(config) as fraudd:
        yield fraudd


async def post(fraudd: Fraudd, body: bytes, *fields: str, json_type: str = JSON) -> Answer:
    """POST a body as it is."""
    start = "POST /v1/predictions HTTP/1.1"
    data = head(start, json_type, f"Content-Length: {len(body)}", *fields) + body
    return await exchange(fraudd.port, data)


def opened(fraudd: Fraudd) -> bool:
    """Whether anything was written."""
    return fraudd.sample("fraudd_aws_calls_total", operation="UpdateItem") > 0


@pytest.mark.parametrize(
    "entity_id",
    [
        42,
        4.2,
        True,
        None,
        [],
        ["shop-1"],
        {"S": "shop-1"},
        "",
        " shop-1",
        "shop-1 ",
        "shop-1\n",
        "shop-1\x00",
        "a" * 129,
        "-shop",
        "../etc/passwd",
        "shop/1",
        "shop-1' OR '1'='1",
        "shop-1;DROP TABLE orders",
        "${jndi:ldap://elsewhere.example}",
        "{{7*7}}",
        "%s%n",
        "<script>alert(1)</script>",
        "sh\u043ep-1",  # a Cyrillic o
        "shop-\uff11",
        "shop\u200b-1",
        "\u202eshop",
        "\ufeffshop-1",
        "💳",
    ],
)
async def test_what_is_no_entity_is_422_and_opens_nothing(
    fraudd: Fraudd, entity_id: object
) -> None:
    answer = await post(fraudd, json.dumps({"entity_id": entity_id}).encode())
    [error] = refused(answer, 422, "invalid-field")["errors"]
    assert error["pointer"] == "/entity_id"
    assert not opened(fraudd)


@pytest.mark.parametrize(
    "body",
    [
        '{"entity_id": "shop-1"}'.encode("utf-16"),
        b'\xef\xbb\xbf{"entity_id": "shop-1"}',
        b'{"entity_id": "shop-\xc0\xb1"}',
        b'{"entity_id": "shop-\xed\xa0\x80"}',
        b'{"entity_id": "\\ud800"}',
        b"{'entity_id': 'shop-1'}",
        b'{"entity_id": "shop-1"} {"entity_id": "shop-2"}',
        b'{"entity_id": "shop-1", "force": tru',
        b"[" * 30_000,
        b'{"entity_id":' * 4_000,
        b"\x00",
        b'{"entity_id": "shop-1", "max_age_seconds": ' + b"9" * 5_000 + b"}",
    ],
)
async def test_what_is_no_json_is_400(fraudd: Fraudd, body: bytes) -> None:
    refused(await post(fraudd, body), 400, "not-json")
    assert not opened(fraudd)


@pytest.mark.parametrize(
    "more",
    [
        '"max_age_seconds": 1e999',
        '"max_age_seconds": -1e999',
        '"max_age_seconds": NaN',
        '"max_age_seconds": "1"',
        '"force": "false"',
        '"force": 1',
        '"__proto__": {"force": true}',
        '"constructor": 1',
        '"run_id": "01JD"',
        '"FORCE": true',
    ],
)
async def test_wrong_numbers_and_unknown_keys_are_422(fraudd: Fraudd, more: str) -> None:
    body = f'{{"entity_id": "shop-1", {more}}}'.encode()
    refused(await post(fraudd, body), 422, "invalid-field")
    assert not opened(fraudd)


@pytest.mark.parametrize(
    "json_type",
    [
        "Content-Type: text/plain",
        "Content-Type: text/plain; application/json",
        "Content-Type: application/jsonp",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: multipart/form-data; boundary=application/json",
        "Content-Type: ",
        "X: none",
    ],
)
async def test_another_type_is_415_so_that_no_form_of_a_browser_is_a_request(
    fraudd: Fraudd, json_type: str
) -> None:
    answer = await post(fraudd, b'{"entity_id": "shop-1"}', json_type=json_type)
    refused(answer, 415, "unsupported-media-type")
    assert not opened(fraudd)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/predictions/../status", 404),
        ("/v1/predictions/..", 422),
        ("/v1/predictions/.", 422),
        ("/v1/predictions/%2e%2e", 422),
        ("/v1/predictions/..%2f..%2fetc%2fpasswd", 422),
        ("/v1/predictions/shop-1%00", 422),
        ("/v1/predictions/shop-1%0d%0aX-Injected:%20yes", 422),
        ("/v1/predictions/%ff", 422),
        ("/v1/predictions/%c0%ae", 422),
        ("/v1/predictions/%", 422),
        ("/v1/predictions/shop-1/", 404),
        ("/v1//predictions/shop-1", 404),
        ("/v1/predictions/shop-1;a=b", 422),
        ("/../../etc/passwd", 404),
        ("/static/..%2f..%2fetc/passwd", 404),
        ("/%2e%2e/v1/status", 404),
        ("/V1/status", 404),
    ],
)
async def test_a_path_is_what_it_says_and_nothing_else(
    fraudd: Fraudd, path: str, status: int
) -> None:
    answer = await exchange(fraudd.port, head(f"GET {path} HTTP/1.1"))
    refused(answer, status, "no-such-path" if status == 404 else "invalid-field")
    assert "x-injected" not in answer.headers
    # Strictly UTF-8, and no half of a surrogate pair: every parser reads it.
    json.dumps(json.loads(answer.body.decode()), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "given", ["a b", "a" * 129, "", "a\tb", "\xff", "%0d%0aX-Injected: yes", '"}', "a;b"]
)
async def test_a_request_id_that_could_harm_is_replaced(fraudd: Fraudd, given: str) -> None:
    answer = await exchange(fraudd.port, head("GET /healthz HTTP/1.1", f"X-Request-Id: {given}"))
    assert len(answer.headers["x-request-id"]) == 26
    assert "x-injected" not in answer.headers


async def test_a_request_id_that_is_none_of_ours_is_kept_where_it_is_harmless(
    fraudd: Fraudd,
) -> None:
    answer = await exchange(fraudd.port, head("GET /healthz HTTP/1.1", "X-Request-Id: a.B:c_d-9"))
    assert answer.headers["x-request-id"] == "a.B:c_d-9"


@pytest.mark.parametrize("form", ["json", "text"])
async def test_nothing_that_is_sent_makes_a_log_line_of_its_own(
    fraudd: Fraudd,
    form: Literal["json", "text"],
    own_log: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log.configure(level="debug", form=form)
    quoted = "".join(f"%{byte:02x}" for byte in FORGED.encode())
    for data in (
        head(f"GET /v1/predictions/{quoted} HTTP/1.1"),
        head(f"GET /{quoted}?{quoted} HTTP/1.1"),
        head("GET /v1/predictions/\xff\xc2\x85 HTTP/1.1"),
        head("GET /v1/status HTTP/1.1", "X-Request-Id: \xc2\x85", f"User-Agent: {quoted}"),
        head("GET /v1/status HTTP/1.1", f"X-Forwarded-For: {quoted}"),
        head("FORGED /v1/status HTTP/1.1"),
    ):
        await exchange(fraudd.port, data)
    await post(fraudd, json.dumps({"entity_id": FORGED}).encode())
    await post(fraudd, json.dumps({FORGED: FORGED}).encode())

    async def broken(_: object, entity_id: str) -> None:
        raise ValueError(FORGED)

    monkeypatch.setattr(Intake, "get", broken)
    await exchange(fraudd.port, head("GET /v1/predictions/shop-1 HTTP/1.1"))

    lines = capsys.readouterr().out.removesuffix("\n").split("\n")
    assert all(line.isprintable() for line in lines)
    # On a terminal a traceback follows its line, indented.
    first = [line for line in lines if form == "json" or not line.startswith("    ")]
    written = _JSON_LINE if form == "json" else _TEXT_LINE
    events = {match[1] for line in first if (match := written.match(line))}
    assert events >= {"http.request", "http.malformed", "http.bug"}
    assert all(written.match(line) for line in first)
    assert events.isdisjoint({"forged", "daemon.stopped"})


async def test_a_bug_is_told_without_its_traceback(
    fraudd: Fraudd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise ValueError("secret of the inside")

    monkeypatch.setattr(Intake, "get", broken)
    answer = await exchange(fraudd.port, head("GET /v1/predictions/shop-1 HTTP/1.1"))
    document = refused(answer, 500, "internal")
    assert "secret" not in answer.body.decode()
    [record] = [r for r in caplog.records if r.getMessage() == "http.bug"]
    assert record.__dict__["fields"]["request_id"] in document["detail"]
    assert record.exc_info is not None


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/status", "/nonsense"])
async def test_every_answer_has_the_headers_that_protect_a_browser(
    fraudd: Fraudd, path: str
) -> None:
    answer = await exchange(
        fraudd.port, head(f"GET {path} HTTP/1.1", "Origin: https://elsewhere.example")
    )
    for name, value in (
        ("cache-control", "no-store"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("server", "fraudd"),
        ("x-content-type-options", "nosniff"),
    ):
        assert answer.headers[name] == value
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_another_site_may_not_call_from_a_browser(fraudd: Fraudd) -> None:
    preflight = head(
        "OPTIONS /v1/predictions HTTP/1.1",
        "Origin: https://elsewhere.example",
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: content-type",
    )
    refused(await exchange(fraudd.port, preflight), 405, "method-not-allowed")


async def test_the_store_never_sees_what_is_no_entity(fraudd: Fraudd) -> None:
    for path in ("a%20b", "%24x", "a'--"):
        answer = await exchange(fraudd.port, head(f"GET /v1/predictions/{path} HTTP/1.1"))
        assert answer.status == 422
    assert fraudd.sample("fraudd_aws_calls_total", operation="GetItem") == 0
