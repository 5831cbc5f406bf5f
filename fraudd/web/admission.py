"""Who is let in: by token and scope, at a bounded rate, no more at a time than can be served."""

import asyncio
import ipaddress
import math
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

from fraudd.ports import Clock
from fraudd.telemetry import log
from fraudd.web.auth import Scope, Tokens
from fraudd.web.buckets import Buckets
from fraudd.web.problems import Problem

#: Two seconds of work at some 2,000 look-ups a second: who waits longer has long hung up.
MAX_IN_HAND = 4_000
#: A little longer than the store's own time-outs; who only waits for a run has none.
DEADLINE_SECONDS = 10.0
_DEADLINE = web.RequestKey("deadline", asyncio.Timeout)
#: A caller may save up this many seconds of its rate.
_BURST_SECONDS = 2.0
#: Failed authentications of an address: ten at once are a mistake, many more are not.
_FAILURES_BURST, _FAILURES_PER_SECOND = 10, 1.0

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Names under which tokens are sent in URLs, RFC 6750's first.
_TOKEN_KEYS = frozenset({"access_token", "token", "api_key", "apikey"})


class Admission:
    """Lets requests in. ``tokens`` may be replaced while it is open; None: anybody may call."""

    def __init__(
        self, *, tokens: Tokens | None, requests_per_second: float | None, clock: Clock
    ) -> None:
        self.tokens = tokens
        self.in_hand = 0
        self._clock = clock
        self._failures = Buckets(per_second=_FAILURES_PER_SECOND, burst=_FAILURES_BURST)
        self._rates = None
        if requests_per_second is not None:
            burst = max(1.0, requests_per_second * _BURST_SECONDS)
            self._rates = Buckets(per_second=requests_per_second, burst=burst)

    def admit(self, request: web.Request, scope: Scope, request_id: str) -> str | None:
        """Let a request in that needs a scope, or raise ``Problem`` 401, 403 or 429.

        Gives the name of the caller's token; None where anybody may call.
        """
        name = None
        if self.tokens is not None:
            name = self._authenticated(request, self.tokens, scope, request_id)
        if self._rates is not None:
            caller = f"token {name}" if name else network(request.remote)
            if wait := self._rates.take(caller, self._clock.monotonic()):
                raise _slower("too-many-requests", "more requests than are allowed", wait)
        return name

    async def served(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Have a request answered: counted as in hand, by a deadline. Raises ``Problem`` 503."""
        if self.in_hand >= MAX_IN_HAND:
            raise _later("overloaded", "too many requests are in hand; ask again: it is safe")
        self.in_hand += 1
        try:
            async with asyncio.timeout(DEADLINE_SECONDS) as deadline:
                request[_DEADLINE] = deadline
                return await handler(request)
        except TimeoutError:
            if not deadline.expired():
                raise
            detail = f"no answer within {DEADLINE_SECONDS:g} s; ask again: it is safe"
            raise _later("deadline", detail) from None
        finally:
            self.in_hand -= 1

    @contextmanager
    def aside(self, request: web.Request) -> Iterator[None]:
        """Let a request wait for something: without a deadline, and not counted as in hand."""
        deadline = request[_DEADLINE]
        deadline.reschedule(None)
        self.in_hand -= 1
        try:
            yield
        finally:
            self.in_hand += 1
            deadline.reschedule(asyncio.get_running_loop().time() + DEADLINE_SECONDS)

    def _authenticated(
        self, request: web.Request, tokens: Tokens, scope: Scope, request_id: str
    ) -> str:
        given = request.headers.getall("Authorization", [])
        bearer = _BEARER.fullmatch(given[0]) if len(given) == 1 else None
        token = tokens.holder(bearer[1]) if bearer is not None else None
        if token is not None and scope in token.scopes:
            return token.name
        if token is not None:
            log.warning(
                "http.forbidden",
                request_id=request_id,
                token=token.name,
                scope=scope,
                address=request.remote,
            )
            raise Problem(
                403,
                "scope-missing",
                f"the token {token.name} has not the scope {scope}: its line in the token file"
                " names those it has",
                headers={"WWW-Authenticate": _challenge(error="insufficient_scope", scope=scope)},
            )
        reason = "no token" if not given else "unknown token" if bearer else "not one bearer token"
        raise self._failed(request, reason, request_id)

    def _failed(self, request: web.Request, reason: str, request_id: str) -> Problem:
        """Log a failed authentication, unless the address has had too many: then it is told so.

        A good token is let in all the same: callers behind one proxy have one address.
        """
        if wait := self._failures.take(network(request.remote), self._clock.monotonic()):
            return _slower("too-many-failures", "too many requests without a good token", wait)
        log.warning(
            "http.unauthenticated", request_id=request_id, error=reason, address=request.remote
        )
        error = {} if reason == "no token" else {"error": "invalid_token"}
        return Problem(
            401,
            "unauthenticated",
            f"{reason}: send Authorization: Bearer and a token of this daemon",
            headers={"WWW-Authenticate": _challenge(**error)},
        )


def refuse_token_in_url(request: web.Request) -> None:
    """Refuse a token where it does not belong: raises ``Problem`` 400."""
    if request.query_string and not _TOKEN_KEYS.isdisjoint(request.query):
        raise Problem(
            400,
            "token-in-url",
            "a token in a URL ends up in logs and histories: send it as Authorization: Bearer,"
            " and replace this one, it is no secret any more",
        )


def network(address: str | None) -> str:
    """Give what is counted as one caller: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)


def _slower(slug: str, detail: str, wait_seconds: float) -> Problem:
    seconds = max(1, math.ceil(wait_seconds))
    return Problem(
        429, slug, f"{detail}; ask again in {seconds} s", headers={"Retry-After": str(seconds)}
    )


def _later(slug: str, detail: str) -> Problem:
    return Problem(503, slug, detail, headers={"Retry-After": "1"})


def _challenge(**more: str) -> str:
    """RFC 6750, section 3."""
    return ", ".join(
        ['Bearer realm="fraudd"', *(f'{key}="{value}"' for key, value in more.items())]
    )
