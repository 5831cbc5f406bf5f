"""Admission: which requests are served, by token, rate, and number in flight."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from aiohttp.typedefs import Handler

from fraudd.ports import Clock
from fraudd.web.auth import Authenticator, is_loopback
from fraudd.web.problems import Problem, retryable
from fraudd.web.rate_limits import RateLimiter, network, slow_down
from fraudd.web.tokens import Scope, Tokens

#: This is two seconds of work at 2,000 reads a second. Few clients wait longer than that.
MAX_IN_FLIGHT = 4_000
#: This is a little longer than the timeouts of the AWS clients.
DEADLINE_SECONDS = 10.0
_DEADLINE = web.RequestKey("deadline", asyncio.Timeout)
#: After a pause, a client may send the requests of this time at once.
_BURST_SECONDS = 2.0


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
        self._authenticator = Authenticator(clock)
        self._rates = None
        if requests_per_second is not None:
            burst = max(1.0, requests_per_second * _BURST_SECONDS)
            self._rates = RateLimiter(per_second=requests_per_second, burst=burst)
        self._requests_per_second = requests_per_second

    def check_host(self, request: web.Request) -> None:
        """Raise ``Problem`` 421 if a web page may have sent the request under a name of its own.

        Without tokens every program on this machine may call the daemon, and so may a browser. A
        page reaches it if the page's name leads to a loopback address (DNS rebinding).
        """
        if self.tokens is None and not is_loopback(request.headers.get("Host")):
            raise Problem("wrong-host", "Host must be localhost or a loopback address")

    def admit(self, request: web.Request, scope: Scope, request_id: str) -> str | None:
        """Check the token and the rate of a request. Raises ``Problem`` 401, 403, or 429.

        Returns the name of the token, or None if no tokens are configured.
        """
        name = None
        if self.tokens is not None:
            name = self._authenticator.authenticate(request, self.tokens, scope, request_id)
        if self._rates is not None:
            client = f"token {name}" if name else network(request.remote)
            if seconds := self._rates.take(client, self._clock.monotonic()):
                limit = f"rate limit of {self._requests_per_second:g} requests/s exceeded"
                raise slow_down("too-many-requests", limit, seconds)
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
