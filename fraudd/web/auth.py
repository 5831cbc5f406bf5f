"""Who may call: tokens with scopes, of which fraudd keeps the SHA-256 alone.

Pure: the file's text and the randomness are arguments.
"""

import hashlib
import hmac
import random
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from fraudd.errors import Misconfigured

Scope = Literal["read", "request", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

#: A name goes into logs and limits: nothing in it that could be taken for anything else.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
#: So that a scanner for secrets knows one when it sees it.
_PREFIX = "fraudd_"
#: 256 bits: nobody guesses one, so a plain SHA-256 keeps it as well as a slow hash would.
_TOKEN_BYTES = 32

#: What anybody may see: probes know no token, and the others say nothing about anybody.
_OPEN = frozenset({"/healthz", "/readyz", "/openapi.json", "/"})
_SCOPE_OF_METHOD: dict[str, Scope] = {"POST": "request", "DELETE": "admin"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A line of the token file."""

    name: str
    scopes: frozenset[Scope]
    digest: bytes = field(repr=False)


class Tokens:
    """The tokens that there are."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tuple(tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def __iter__(self) -> Iterator[Token]:
        return iter(self._tokens)

    def holder(self, bearer: str) -> Token | None:
        """Find whose token this is.

        Every token is compared, each in constant time: how long it takes tells nothing.
        """
        digest = hashlib.sha256(bearer.encode("utf-8", "surrogateescape")).digest()
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found


def needed_scope(method: str, route: str | None) -> Scope | None:
    """Give the scope that a call needs; None where anybody may call.

    ``route`` is the one that was found, as ``/v1/predictions/{entity_id}``; None: there is none.
    """
    if route in _OPEN:
        return None
    return _SCOPE_OF_METHOD.get(method, "read")


def parse(text: str, *, source: str) -> Tokens:
    """Read a token file: lines ``name scope[,scope] sha256hex``, and comments after ``#``.

    Raises ``Misconfigured`` with every bad line's number; what may be a secret is not shown.
    """
    tokens: list[Token] = []
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        wrong = _wrong(words) or _taken(words, tokens)
        if wrong is None:
            tokens.append(_token(words))
        else:
            problems.append(f"{source}:{number}: {wrong}")
    if not tokens and not problems:
        problems.append(f"{source}: no token in it; make one by fraudd token new NAME --scope read")
    if problems:
        raise Misconfigured(*problems)
    return Tokens(tokens)


def new_token(rng: random.Random) -> str:
    """Make a token; ``rng`` must be the system's."""
    return _PREFIX + urlsafe_b64encode(rng.randbytes(_TOKEN_BYTES)).decode().rstrip("=")


def line_of(name: str, scopes: Sequence[Scope], token: str) -> str:
    """Write the token's line for the file."""
    return f"{name} {','.join(scopes)} {hashlib.sha256(token.encode()).hexdigest()}"


def wrong_name(name: str) -> str | None:
    """Say what is wrong with a token's name; None: nothing."""
    if _NAME.fullmatch(name):
        return None
    return (
        f"{name[:20]!r} is not a token's name: 1 to 40 characters of A-Z a-z 0-9 . _ -,"
        " the first a letter or digit"
    )


def wrong_scopes(text: str) -> str | None:
    """Say what is wrong with scopes, written ``scope[,scope]``; None: nothing."""
    for scope in text.split(","):
        if scope not in SCOPES:
            return f"{scope[:20]!r} is not a scope: they are {', '.join(SCOPES)}"
    return None


def _wrong(words: list[str]) -> str | None:
    if len(words) != 3:
        return f"{len(words)} words; a line is: name scope[,scope] sha256hex"
    # A name as long as a hash is one in the wrong place, or a token: it is not shown.
    if len(words[0]) > 40 or len(words[1]) > 40:
        return "a line is: name scope[,scope] sha256hex, in this order"
    if not _SHA256.fullmatch(words[2]):
        return "the third word must be a SHA-256: 64 digits of 0-9 a-f"
    return wrong_name(words[0]) or wrong_scopes(words[1])


def _taken(words: list[str], tokens: Sequence[Token]) -> str | None:
    new = _token(words)
    for token in tokens:
        if token.name == new.name:
            return f"there is a token {token.name} already"
        if token.digest == new.digest:
            return f"this is the token of {token.name}"
    return None


def _token(words: list[str]) -> Token:
    name, scopes, digest = words
    return Token(
        name=name,
        scopes=frozenset(scope for scope in SCOPES if scope in scopes.split(",")),
        digest=bytes.fromhex(digest),
    )
