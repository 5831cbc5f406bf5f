"""Admission: which requests are served, by token, rate, and number in flight."""

import asyncio
import ipaddress
import math
import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from aiohttp.typedefs import Handler

from fraudd.ports import Clock
from fraudd.telemetry import log
from fraudd.web.auth import Scope, Tokens
from fraudd.web.problems import Problem, retryable

#: This is two seconds of work at 2,000 reads a second. Few clients wait longer than that.
MAX_IN_FLIGHT = 4_000
#: This is a little longer than the timeouts of the AWS clients.
DEADLINE_SECONDS = 10.0
_DEADLINE = web.RequestKey("deadline", asyncio.Timeout)
#: After a pause, a client may send the requests of this time at once.
_BURST_SECONDS = 2.0
#: Ten failed authentications of an address are a mistake. Many more are an attack.
_FAILURES_BURST, _FAILURES_PER_SECOND = 10, 1.0
#: A rate limiter remembers this number of clients, about 200 bytes each.
_MAX_CLIENTS = 10_000

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)

#: Names under which clients send tokens in URLs. The first is from RFC 6750.
_TOKEN_KEYS = frozenset({"access_token", "token", "api_key", "apikey"})


class Admission:
    """Admits requests. If ``tokens`` is None, every client is admitted.

    ``tokens`` may be replaced at any time.
    """

    def __init__(
        self, *, tokens: Tokens | None, requests_per_second: float | None, clock: Clock
    ) -> None:
        self.tokens = tokens
        #: The number of requests that are being served and do not wait for a run.
        self.in_flight = 0
        self._clock = clock
        self._failures = RateLimiter(per_second=_FAILURES_PER_SECOND, burst=_FAILURES_BURST)
        self._rates = None
        if requests_per_second is not None:
            burst = max(1.0, requests_per_second * _BURST_SECONDS)
            self._rates = RateLimiter(per_second=requests_per_second, burst=burst)
        self._requests_per_second = requests_per_second

    def admit(self, request: web.Request, scope: Scope, request_id: str) -> str | None:
        """Check the token and the rate of a request. Raises ``Problem`` 401, 403, or 429.

        Returns the name of the token, or None if no tokens are configured.
        """
        name = None
        if self.tokens is not None:
            name = self._authenticate(request, self.tokens, scope, request_id)
        if self._rates is not None:
            client = f"token {name}" if name else network(request.remote)
            if seconds := self._rates.take(client, self._clock.monotonic()):
                limit = f"rate limit of {self._requests_per_second:g} requests/s exceeded"
                raise _slow_down("too-many-requests", limit, seconds)
        return name

    async def serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Call the handler within the deadline, and count it. Raises ``Problem`` 503."""
        if self.in_flight >= MAX_IN_FLIGHT:
            detail = f"{MAX_IN_FLIGHT} requests are in flight. Retry after 1 s; retrying is safe."
            raise retryable("overloaded", detail, 1)
        self.in_flight += 1
        try:
            async with asyncio.timeout(DEADLINE_SECONDS) as deadline:
                request[_DEADLINE] = deadline
                return await handler(request)
        except TimeoutError:
            if not deadline.expired():
                raise
            detail = f"no response within {DEADLINE_SECONDS:g} s. Retry; retrying is safe."
            raise retryable("timeout", detail, 1) from None
        finally:
            self.in_flight -= 1

    @contextmanager
    def detached(self, request: web.Request) -> Iterator[None]:
        """Let a request wait for a run: without a deadline, and not counted as in flight."""
        deadline = request[_DEADLINE]
        deadline.reschedule(None)
        self.in_flight -= 1
        try:
            yield
        finally:
            self.in_flight += 1
            deadline.reschedule(asyncio.get_running_loop().time() + DEADLINE_SECONDS)

    def _authenticate(
        self, request: web.Request, tokens: Tokens, scope: Scope, request_id: str
    ) -> str:
        headers = request.headers.getall("Authorization", [])
        bearer = _BEARER.fullmatch(headers[0]) if len(headers) == 1 else None
        token = tokens.find(bearer[1]) if bearer is not None else None
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
                "scope-missing",
                f"token '{token.name}' lacks the scope '{scope}';"
                " add it to the token's line in the token file",
                headers={"WWW-Authenticate": _challenge(error="insufficient_scope", scope=scope)},
            )
        if not headers:
            error = "no token"
        elif bearer is None:
            error = "the Authorization header is not one bearer token"
        else:
            error = "unknown token"
        raise self._authentication_failed(request, error, request_id)

    def _authentication_failed(self, request: web.Request, error: str, request_id: str) -> Problem:
        """Log a failed authentication, up to the limit of the address.

        Above the limit the problem is 429. A valid token is still admitted, because the clients
        behind a proxy share one address.
        """
        if seconds := self._failures.take(network(request.remote), self._clock.monotonic()):
            detail = "too many requests without a valid token"
            return _slow_down("too-many-auth-failures", detail, seconds)
        log.warning(
            "http.unauthenticated", request_id=request_id, error=error, address=request.remote
        )
        attributes = {} if error == "no token" else {"error": "invalid_token"}
        return Problem(
            "unauthenticated",
            f"{error}; send 'Authorization: Bearer TOKEN' with a token of this daemon",
            headers={"WWW-Authenticate": _challenge(**attributes)},
        )


class RateLimiter:
    """A token bucket for each client: it holds ``burst`` and refills at ``per_second``.

    Pure: time is an argument, in seconds of a monotonic clock.
    """

    def __init__(self, *, per_second: float, burst: float, max_clients: int = _MAX_CLIENTS) -> None:
        self._per_second = per_second
        self._burst = burst
        self._max_clients = max_clients
        #: Level and time of the last request, in the order of these times.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, client: str, now: float) -> float:
        """Take one request from the client's bucket. Returns 0, or the seconds to wait.

        A client that is not among the last ``max_clients`` has a full bucket again.
        """
        level, at = self._buckets.pop(client, (self._burst, now))
        level = min(self._burst, level + (now - at) * self._per_second)
        allowed = level >= 1
        self._buckets[client] = (level - 1 if allowed else level, now)
        if len(self._buckets) > self._max_clients:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - level) / self._per_second


def reject_token_in_url(request: web.Request) -> None:
    """Raise ``Problem`` 400 if the query contains a token."""
    if request.query_string and not _TOKEN_KEYS.isdisjoint(request.query):
        raise Problem(
            "token-in-url",
            "the URL contains a token, and URLs are stored in logs. Send it as"
            " 'Authorization: Bearer TOKEN', and replace the leaked token.",
        )


def network(address: str | None) -> str:
    """Return the key of a client without a token: an IPv4 address, or an IPv6 /64 network."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)


def _slow_down(slug: str, detail: str, wait_seconds: float) -> Problem:
    seconds = max(1, math.ceil(wait_seconds))
    return retryable(slug, f"{detail}; retry after {seconds} s", seconds)


def _challenge(**attributes: str) -> str:
    """Write the ``WWW-Authenticate`` header (RFC 6750, section 3)."""
    return ", ".join(
        ['Bearer realm="fraudd"', *(f'{key}="{value}"' for key, value in attributes.items())]
    )
