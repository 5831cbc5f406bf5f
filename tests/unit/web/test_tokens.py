"""Tokens: what the file may say, whose a token is, what it is good for."""

import hashlib
import hmac
import random

import pytest

from fraudd.errors import Misconfigured
from fraudd.web import tokens as token_file
from fraudd.web.auth import is_loopback, needed_scope
from fraudd.web.tokens import new_token, parse, token_line


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


FILE = f"""\
# callers
shop-backend read,request {digest("one")}   # since May
  analyst    read         {digest("two").upper()}

ops read,request,admin {digest("three")}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(Misconfigured) as refused:
        parse(text, source="tokens")
    return list(refused.value.problems)


def test_a_token_is_found_by_its_hash_alone() -> None:
    tokens = parse(FILE, source="tokens")
    assert len(tokens) == 3
    for token, name, scopes in (
        ("one", "shop-backend", {"read", "request"}),
        ("two", "analyst", {"read"}),
        ("three", "ops", {"read", "request", "admin"}),
    ):
        holder = tokens.find(token)
        assert holder is not None
        assert (holder.name, set(holder.scopes)) == (name, scopes)


@pytest.mark.parametrize("token", ["", "One", "one ", digest("one"), "\udcff", "shop-backend"])
def test_nothing_else_is_a_token(token: str) -> None:
    assert parse(FILE, source="tokens").find(token) is None


@pytest.mark.parametrize("token", ["one", "two", "three", "none of them"])
def test_every_token_is_compared_in_constant_time_whichever_it_is(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []

    class Watched:
        """Notes what is compared."""

        @staticmethod
        def compare_digest(kept: bytes, given: bytes) -> bool:
            compared.append(kept)
            return hmac.compare_digest(kept, given)

    monkeypatch.setattr(token_file, "hmac", Watched)
    parse(FILE, source="tokens").find(token)
    assert compared == [
        hashlib.sha256(known.encode()).digest() for known in ("one", "two", "three")
    ]


def test_a_token_does_not_show_its_hash() -> None:
    holder = parse(FILE, source="tokens").find("one")
    assert digest("one") not in repr(holder)
    assert str(bytes.fromhex(digest("one"))) not in repr(holder)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("a read", "2 words instead of 3; a line is: name scope[,scope] sha256hex"),
        (f"a read {digest('x')} more", "4 words"),
        (f"{digest('x')} read a", "wrong order of words"),
        (f"a {digest('x')} read", "wrong order of words"),
        ("a read fraudd_secret", "the third word must be a SHA-256: 64 digits of 0-9 a-f"),
        (f"a read {digest('x')[1:]}", "the third word must be a SHA-256"),
        (
            f"a read,write {digest('x')}",
            "'write' is not a scope; the scopes are read, request, admin",
        ),
        (f"a read, {digest('x')}", "'' is not a scope"),
        (f"-a read {digest('x')}", "'-a' is not a valid token name"),
        (f"a\x1b[0m read {digest('x')}", "is not a valid token name"),
        (
            f"shop-backend read {digest('x')}",
            "duplicate name: an earlier line has the token shop-backend",
        ),
        (
            f"other read {digest('one')}",
            "duplicate token: it is the same as the token shop-backend",
        ),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_without_its_hash(line: str, says: str) -> None:
    [told] = problems(f"{FILE}{line}\n")
    assert told.startswith("tokens:6: ")
    assert says in told
    assert digest("x") not in told
    assert "secret" not in told
    assert told.isprintable()


def test_all_bad_lines_are_told_at_once() -> None:
    told = problems(f"a\n\nb write {digest('x')}\nc read {digest('y')}\nc read z\n")
    assert [problem.split()[0] for problem in told] == ["tokens:1:", "tokens:3:", "tokens:5:"]


@pytest.mark.parametrize("text", ["", "# none yet\n"])
def test_a_file_without_a_token_lets_nobody_in_and_is_refused(text: str) -> None:
    [told] = problems(text)
    assert "the file has no token. Run: fraudd token new" in told


def test_a_new_token_works_by_its_line() -> None:
    token = new_token(random.Random(1))
    line = token_line("shop-backend", ["read", "request"], token)
    assert token not in line
    holder = parse(line, source="tokens").find(token)
    assert holder is not None
    assert (holder.name, set(holder.scopes)) == ("shop-backend", {"read", "request"})


def test_no_two_tokens_are_alike() -> None:
    rng = random.Random(1)
    tokens = {new_token(rng) for _ in range(100)}
    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {len("fraudd_") + 43}


@pytest.mark.parametrize(
    ("method", "route", "scope"),
    [
        ("GET", "/v1/predictions/{entity_id}", "read"),
        ("HEAD", "/v1/predictions/{entity_id}", "read"),
        ("GET", "/v1/predictions", "read"),
        ("GET", "/v1/status", "read"),
        ("GET", "/metrics", "read"),
        ("POST", "/v1/predictions", "request"),
        ("POST", "/v1/batches", "request"),
        ("DELETE", "/v1/predictions/{entity_id}", "admin"),
        ("GET", "/healthz", None),
        ("GET", "/readyz", None),
        ("GET", "/openapi.json", None),
        ("GET", "/", None),
        # What does not exist is told to those alone who may know.
        ("GET", None, "read"),
        ("PATCH", None, "read"),
        ("DELETE", None, "admin"),
    ],
)
def test_what_a_call_needs(method: str, route: str | None, scope: str | None) -> None:
    assert needed_scope(method, route) == scope


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        (None, True),
        ("localhost", True),
        ("LOCALHOST:8080", True),
        ("shop.localhost:8080", True),
        ("127.0.0.1:8080", True),
        ("127.1.2.3", True),
        ("[::1]:8080", True),
        ("", False),
        ("10.0.0.1:8080", False),
        ("fraudd.example:8080", False),
        ("127.0.0.1.nip.io", False),
        ("[::1", False),
        ("127.0.0.1:8080, evil.example", False),
    ],
)
def test_only_a_loopback_host_names_this_machine(host: str | None, ours: bool) -> None:
    assert is_loopback(host) == ours
