"""The token file: tokens with scopes. fraudd stores only the SHA-256 of a token.

Pure: the text of the file and the randomness are arguments.
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

#: A name appears in logs and in rate limits, so it has no special characters.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
#: Secret scanners recognize a token by its prefix.
_PREFIX = "fraudd_"
#: Nobody can guess 256 bits, so a plain SHA-256 protects a token as well as a slow hash would.
_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A line of the token file."""

    name: str
    scopes: frozenset[Scope]
    digest: bytes = field(repr=False)


class Tokens:
    """The tokens of a token file."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tuple(tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def __iter__(self) -> Iterator[Token]:
        return iter(self._tokens)

    def find(self, bearer: str) -> Token | None:
        """Find a token by its secret.

        All tokens are compared, each in constant time, so the duration reveals nothing.
        """
        digest = hashlib.sha256(bearer.encode("utf-8", "surrogateescape")).digest()
        match = None
        for token in self._tokens:
            if hmac.compare_digest(token.digest, digest):
                match = token
        return match


def parse(text: str, *, source: str) -> Tokens:
    """Parse a token file: lines ``name scope[,scope] sha256hex``, and comments after ``#``.

    Raises ``Misconfigured`` with the number of every invalid line, but without its words: they
    may be secret.
    """
    tokens: list[Token] = []
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        problem = _line_problem(words) or _duplicate(words, tokens)
        if problem is None:
            tokens.append(_token(words))
        else:
            problems.append(f"{source}:{number}: {problem}")
    if not tokens and not problems:
        problems.append(
            f"{source}: the file has no token. Run: fraudd token new NAME --scope read,request"
        )
    if problems:
        raise Misconfigured(*problems)
    return Tokens(tokens)


def new_token(rng: random.Random) -> str:
    """Make a token. ``rng`` must be ``random.SystemRandom``."""
    return _PREFIX + urlsafe_b64encode(rng.randbytes(_TOKEN_BYTES)).decode().rstrip("=")


def token_line(name: str, scopes: Sequence[Scope], token: str) -> str:
    """Return the line of a token for the token file."""
    return f"{name} {','.join(scopes)} {hashlib.sha256(token.encode()).hexdigest()}"


def name_problem(name: str) -> str | None:
    """Return the reason why a token's name is invalid, or None."""
    if _NAME.fullmatch(name):
        return None
    return (
        f"{name[:20]!r} is not a valid token name: use 1 to 40 characters of A-Z a-z 0-9 . _ -,"
        " starting with a letter or digit"
    )


def scopes_problem(text: str) -> str | None:
    """Return the reason why scopes (``scope[,scope]``) are invalid, or None."""
    for scope in text.split(","):
        if scope not in SCOPES:
            return f"{scope[:20]!r} is not a scope; the scopes are {', '.join(SCOPES)}"
    return None


def _line_problem(words: list[str]) -> str | None:
    if len(words) != 3:
        return f"{len(words)} words instead of 3; a line is: name scope[,scope] sha256hex"
    # A name that is as long as a hash may be a misplaced hash or a token, so it is not shown.
    if len(words[0]) > 40 or len(words[1]) > 40:
        return "wrong order of words; a line is: name scope[,scope] sha256hex"
    if not _SHA256.fullmatch(words[2]):
        return "the third word must be a SHA-256: 64 digits of 0-9 a-f"
    return name_problem(words[0]) or scopes_problem(words[1])


def _duplicate(words: list[str], tokens: Sequence[Token]) -> str | None:
    new = _token(words)
    for token in tokens:
        if token.name == new.name:
            return f"duplicate name: an earlier line has the token {token.name}"
        if token.digest == new.digest:
            return f"duplicate token: it is the same as the token {token.name}"
    return None


def _token(words: list[str]) -> Token:
    name, scopes, digest = words
    return Token(
        name=name,
        scopes=frozenset(scope for scope in SCOPES if scope in scopes.split(",")),
        digest=bytes.fromhex(digest),
    )
