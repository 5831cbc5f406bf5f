"""Attacks on who may call: no token, others' tokens, guessing, more than a token allows."""

import logging
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fraudd.config import Config
from fraudd.errors import Misconfigured
from fraudd.web import tokens as token_format
from tests.integration.raw import Answer, connected, discreet, exchange, head, refused
from tests.stack.daemon import Fraudd, Start, changed

TOKENS = {
    name: token_format.new_token(random.Random(name))
    for name in ("reader", "asker", "admin", "unknown")
}
SCOPES: dict[str, list[token_format.Scope]] = {
    "reader": ["read"],
    "asker": ["request"],
    "admin": ["admin"],
}
BODY = b'{"entity_id": "shop-1"}'
CALLS = {
    "read": head("GET /v1/predictions/shop-1 HTTP/1.1")[:-2],
    "request": head(
        "POST /v1/predictions HTTP/1.1",
        "Content-Type: application/json",
        f"Content-Length: {len(BODY)}",
    )[:-2],
    "admin": head("DELETE /v1/predictions/shop-1 HTTP/1.1")[:-2],
}


def by(name: str, call: str) -> bytes:
    """Write a call with a token."""
    return CALLS[call] + f"Authorization: Bearer {TOKENS[name]}\r\n\r\n".encode() + _body(call)


def _body(call: str) -> bytes:
    return BODY if call == "request" else b""


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(
        "".join(f"{token_format.token_line(name, SCOPES[name], TOKENS[name])}\n" for name in SCOPES)
    )
    return path


@pytest.fixture
def guarded(config: Config, token_file: Path) -> Config:
    return changed(config, http={"tokens_credential": str(token_file)})


@pytest.fixture
async def fraudd(start: Start, guarded: Config) -> AsyncIterator[Fraudd]:
    async with start(guarded) as fraudd:
        yield fraudd


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
    """Give the fields of all log lines of an event."""
    return [record.__dict__["fields"] for record in caplog.records if record.getMessage() == event]


@pytest.mark.parametrize("call", CALLS)
async def test_without_a_token_nothing_is_told(
    fraudd: Fraudd, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await exchange(fraudd.port, CALLS[call] + b"\r\n" + _body(call))
    refused(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == 'Bearer realm="fraudd"'
    [line] = logged(caplog, "http.unauthenticated")
    assert (line["error"], line["address"]) == ("no token", "127.0.0.1")


NOT_BEARER = "the Authorization header is not one bearer token"


@pytest.mark.parametrize(
    ("authorization", "error"),
    [
        (f"Bearer {TOKENS['unknown']}", "unknown token"),
        (f"Bearer {TOKENS['reader'][:-1]}", "unknown token"),
        (f"Bearer {TOKENS['reader']}x", "unknown token"),
        (f"Bearer {TOKENS['reader'].upper()}", "unknown token"),
        (f"Bearer {TOKENS['reader']} {TOKENS['admin']}", NOT_BEARER),
        (f"Bearer {TOKENS['reader']}, Bearer {TOKENS['admin']}", NOT_BEARER),
        (f"Basic {TOKENS['reader']}", NOT_BEARER),
        (f"{TOKENS['reader']}", NOT_BEARER),
        ("Bearer", NOT_BEARER),
        ("Bearer ", NOT_BEARER),
        ("Bearer \xff\xfe", NOT_BEARER),
        ("", NOT_BEARER),
    ],
)
async def test_what_is_no_token_of_ours_is_401_and_not_repeated(
    fraudd: Fraudd, authorization: str, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "fraudd")
    data = CALLS["read"] + f"Authorization: {authorization}\r\n\r\n".encode("latin-1")
    answer = await exchange(fraudd.port, data)
    refused(answer, 401, "unauthenticated")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    [line] = logged(caplog, "http.unauthenticated")
    assert line["error"] == error
    told = f"{answer} {[record.__dict__ for record in caplog.records]}"
    for token in TOKENS.values():
        assert token[7:20] not in told


async def test_two_tokens_are_none(fraudd: Fraudd) -> None:
    authorizations = "".join(
        f"Authorization: Bearer {TOKENS[name]}\r\n" for name in ("reader", "admin")
    )
    answer = await exchange(fraudd.port, CALLS["read"] + authorizations.encode() + b"\r\n")
    refused(answer, 401, "unauthenticated")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", SCOPES)
async def test_a_token_is_good_for_its_scopes_alone(
    fraudd: Fraudd, name: str, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await exchange(fraudd.port, by(name, call))
    if call in SCOPES[name]:
        assert answer.status == {"read": 404, "request": 202, "admin": 204}[call]
        discreet(answer)
        return
    document = refused(answer, 403, "scope-missing")
    assert document["detail"].startswith(f"token '{name}' lacks the scope '{call}'; ")
    assert f'error="insufficient_scope", scope="{call}"' in answer.headers["www-authenticate"]
    [line] = logged(caplog, "http.forbidden")
    assert (line["token"], line["scope"], line["address"]) == (name, call, "127.0.0.1")
    assert fraudd.sample("fraudd_aws_calls_total", operation="UpdateItem") == 0


@pytest.mark.parametrize(
    "field",
    [
        "X-HTTP-Method-Override: DELETE",
        "X-Method-Override: DELETE",
        "X-Original-URL: /v1/predictions/shop-1",
        "X-Rewrite-URL: /healthz",
        "X-Forwarded-User: admin",
        "Cookie: token=admin",
    ],
)
async def test_no_header_but_the_token_gives_rights(fraudd: Fraudd, field: str) -> None:
    call = head("GET /v1/predictions/shop-1 HTTP/1.1", field)
    refused(await exchange(fraudd.port, call), 401, "unauthenticated")
    with_token = call[:-2] + f"Authorization: Bearer {TOKENS['reader']}\r\n\r\n".encode()
    refused(await exchange(fraudd.port, with_token), 404, "no-prediction")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/status",
        "/metrics",
        "/v1/nonsense",
        "/nonsense",
        "/healthz/../v1/status",
        "/healthz/%2e%2e/v1/status",
        "/healthz/..%2fv1/status",
        "//v1/status",
        "//healthz",
        "/./v1/status",
        "/healthz;/v1/status",
        "/v1/status/",
        "/V1/STATUS",
        "/healthz/",
        "/%68ealthz/x",
        "/v1/predictions/../../healthz",
        "http://healthz/v1/status",
    ],
)
async def test_no_path_leads_around_the_door(fraudd: Fraudd, path: str) -> None:
    refused(await exchange(fraudd.port, head(f"GET {path} HTTP/1.1")), 401, "unauthenticated")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_need_no_token(fraudd: Fraudd, path: str) -> None:
    assert (await exchange(fraudd.port, head(f"GET {path} HTTP/1.1"))).status == 200


@pytest.mark.parametrize(
    "query", ["access_token={}", "limit=1&token={}", "%74oken={}", "api_key={}"]
)
@pytest.mark.parametrize("path", ["/v1/status", "/healthz"])
async def test_a_token_in_the_url_is_refused_with_the_reason_and_not_logged(
    fraudd: Fraudd, path: str, query: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "fraudd")
    url = f"{path}?{query.format(TOKENS['admin'])}"
    answer = await exchange(fraudd.port, head(f"GET {url} HTTP/1.1"))
    document = refused(answer, 400, "token-in-url")
    assert "Send it as 'Authorization: Bearer" in document["detail"]
    told = f"{answer} {[record.__dict__ for record in caplog.records]}"
    assert TOKENS["admin"][7:20] not in told


async def test_guessing_is_slowed_down_by_address_and_holds_up_nobody_else(
    fraudd: Fraudd, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[Answer] = []
    async with connected(fraudd.port) as caller:
        for _ in range(100):
            await caller.send(by("unknown", "read"))
            answers.append(await caller.answer())
    statuses = [answer.status for answer in answers]
    assert statuses[:10] == [401] * 10
    assert statuses.count(429) >= 50
    refused(answers[-1], 429, "too-many-auth-failures")
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert len(logged(caplog, "http.unauthenticated")) == statuses.count(401)
    # A good token from there, and a bad one from elsewhere, are answered as ever.
    assert (await exchange(fraudd.port, by("reader", "read"))).status == 404
    elsewhere = await exchange(fraudd.port, by("unknown", "read"), source="127.0.0.2")
    assert elsewhere.status == 401


async def test_a_token_may_send_so_many_requests_from_wherever(
    start: Start, guarded: Config
) -> None:
    async with start(changed(guarded, http={"requests_per_second": 0.5})) as fraudd:
        assert (await exchange(fraudd.port, by("reader", "read"))).status == 404
        answer = await exchange(fraudd.port, by("reader", "read"), source="127.0.0.2")
        refused(answer, 429, "too-many-requests")
        assert (await exchange(fraudd.port, by("asker", "request"))).status == 202


async def test_requests_are_logged_with_the_name_of_the_token(
    fraudd: Fraudd, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fraudd")
    async with connected(fraudd.port) as caller:
        await caller.send(by("reader", "read")[:-2] + b"X-Request-Id: of-the-caller\r\n\r\n")
        assert (await caller.answer()).headers["x-request-id"] == "of-the-caller"
    [line] = logged(caplog, "http.request")
    assert line.pop("milliseconds") is not None
    assert line == {
        "request_id": "of-the-caller",
        "method": "GET",
        "path": "/v1/predictions/shop-1",
        "status": 404,
        "address": "127.0.0.1",
        "token": "reader",
    }


async def test_probes_are_logged_for_debugging_alone(
    fraudd: Fraudd, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fraudd")
    await exchange(fraudd.port, head("GET /healthz HTTP/1.1"))
    assert logged(caplog, "http.request") == []


async def test_a_changed_token_file_is_read_at_sighup_and_a_bad_one_changes_nothing(
    fraudd: Fraudd, token_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fraudd")
    good = token_file.read_text()
    token_file.write_text(f"{good}{token_format.token_line('late', ['read'], TOKENS['unknown'])}\n")
    fraudd.daemon.reload()
    assert (await exchange(fraudd.port, by("unknown", "read"))).status == 404
    token_file.write_text(f"reader read {TOKENS['admin']}\n")
    fraudd.daemon.reload()
    assert (await exchange(fraudd.port, by("reader", "read"))).status == 404
    [line] = logged(caplog, "tokens.reload_refused")
    assert f"{token_file}:1: the third word must be a SHA-256" in str(line["problems"])
    assert TOKENS["admin"] not in str(line)
    token_file.write_text(good)
    fraudd.daemon.reload()
    assert (await exchange(fraudd.port, by("unknown", "read"))).status == 401


async def test_a_bad_token_file_is_refused_at_start(
    start: Start, guarded: Config, token_file: Path
) -> None:
    token_file.write_text(f"reader read {TOKENS['admin']}\nadmin all {'0' * 64}\n")
    with pytest.raises(Misconfigured) as wrong:
        async with start(guarded):
            pass
    assert [problem.partition(": ")[0] for problem in wrong.value.problems] == [
        f"{token_file}:1",
        f"{token_file}:2",
    ]
    assert TOKENS["admin"] not in str(wrong.value)
