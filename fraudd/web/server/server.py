"""The HTTP server: aiohttp's, with limits for those who send too slowly, too much, or nonsense.

What aiohttp's parser refuses is answered as a problem document, too, without its banner and
without an echo of what was sent.
"""

import asyncio
import resource
import socket
from collections.abc import Callable
from http import HTTPStatus
from itertools import islice
from typing import Any, cast

from aiohttp import web

from fraudd.telemetry import log
from fraudd.web.headers import complete
from fraudd.web.problems import Problem
from fraudd.web.server import drain as parting
from fraudd.web.server.rejections import (
    FIELD_BYTES,
    FIELDS,
    HEADER_BYTES,
    LINE_BYTES,
    Answer,
    last_answer,
    log_malformed,
    malformed,
    refusals_as_problems,
    too_large,
)

#: Headers that have begun must have come within this time.
HEADERS_SECONDS = 10.0
#: A connection may idle for longer than the proxies in front keep theirs (60 s is common), so that
#: it is they who close it, and no request meets a connection just closed.
KEEP_ALIVE_SECONDS = 75.0
#: Who sends on after the answer is read, and ignored, for so long: else the answer may be lost.
_LINGERING_SECONDS = 2.0
#: Who takes nothing of an answer for so long is cut off.
UNREAD_SECONDS = 30.0
MAX_CONNECTIONS = 10_000
#: Files that are not callers: connections to AWS and the database, logs, model.
_OTHER_FILES = 300
#: Among so many of the oldest connections one that idles is looked for, to make room.
_LOOKED_AT = 100


def max_connections() -> int:
    """Give how many connections may be open, having raised the limit of open files to its most."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files = MAX_CONNECTIONS + _OTHER_FILES if hard == resource.RLIM_INFINITY else hard
    return max(1, min(MAX_CONNECTIONS, files - _OTHER_FILES))


class Runner(web.AppRunner):
    """Runs an application on a server with limits. ``new_id`` makes the ids of requests."""

    __slots__ = ("_most_connections", "_new_id", "_parting_since")

    def __init__(
        self,
        app: web.Application,
        *,
        new_id: Callable[[], str],
        max_connections: int,
        shutdown_timeout: float,
    ) -> None:
        super().__init__(app, handle_signals=False, shutdown_timeout=shutdown_timeout)
        self._new_id = new_id
        self._most_connections = max_connections
        #: Since when each answer is the last of its connection, by the loop's clock.
        self._parting_since: float | None = None

    def say_goodbye(self) -> None:
        """Make each answer from now on the last of its connection; go on serving all the same."""
        self._parting_since = asyncio.get_running_loop().time()

    async def part(self, listener: socket.socket, *, patient: bool) -> None:
        """Accept no more callers, and let those go that are here, without losing a request.

        ``patient``: who keeps an idle connection has time to ask once more, and to be told.
        The listening socket is let go of, not shut down: it may be another daemon's next.
        """
        assert isinstance(self.server, _Server), "it was set up"
        departure = parting.Departure(self.server.connected, self.server.lost)
        if patient and self._parting_since is not None:
            await departure.of_the_idle(self._parting_since)
        await departure.of_the_rest(listener)

    @property
    def connections(self) -> int:
        """How many callers are connected."""
        return len(self.server.connections) if self.server is not None else 0

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _Server(
            refusals_as_problems(
                server.request_handler, self._new_id, lambda: self._parting_since is not None
            ),
            request_factory=server.request_factory,
            new_id=self._new_id,
            max_connections=self._most_connections,
        )


class _Server(web.Server):
    """Makes a protocol for each connection, and makes room where there are too many."""

    def __init__(
        self, answer: Answer, *, new_id: Callable[[], str], max_connections: int, **more: Any
    ) -> None:
        super().__init__(
            answer,
            # Who hung up waits for nothing any more; what must not be cut off is shielded.
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            lingering_time=_LINGERING_SECONDS,
            max_line_size=LINE_BYTES,
            max_field_size=FIELD_BYTES,
            max_headers=FIELDS,
            # A few bytes of gzip may be gigabytes of nothing.
            auto_decompress=False,
            **more,
        )
        self.new_id = new_id
        self._most_connections = max_connections
        #: Set whenever a caller is gone.
        self.lost = asyncio.Event()

    def connected(self) -> list[parting.Connection]:
        """Give the connections of those who are here."""
        return [cast(_Connection, one) for one in self._connections]

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)

    def full(self) -> bool:
        """Whether there is no room for one connection more, though an idle one was closed for it.

        Callers that idle can connect again; a new caller refused can do nothing.
        """
        if len(self._connections) < self._most_connections:
            return False
        for connection in islice(self._connections, _LOOKED_AT):
            if cast(_Connection, connection).idle:
                log.debug("http.idle_connection_closed", address=connection.peername)
                connection.force_close()
                self._connections.pop(connection)
                return False
        return True


class _Connection(web.RequestHandler):
    """One connection."""

    __slots__ = ("_begun_bytes", "_headers_due", "_new_id", "made_at")

    def __init__(self, server: _Server, **more: Any) -> None:
        super().__init__(server, **more)
        self._new_id = server.new_id
        #: Of headers that have begun: how much has come, and when they are late.
        self._begun_bytes = 0
        self._headers_due: asyncio.TimerHandle | None = None
        #: By the loop's clock.
        self.made_at = self._loop.time()

    @property
    def idle(self) -> bool:
        """Whether it waits for a request."""
        return self._waiter is not None and not self._waiter.done()

    @property
    def gone(self) -> bool:
        """Whether it is closed already."""
        return self.transport is None or self.transport.is_closing()

    @property
    def owed(self) -> bool:
        """Whether a request is being answered, or has begun to come."""
        return not self.idle or self._headers_due is not None

    @property
    def fresh(self) -> bool:
        """Whether no request has come on it yet."""
        return self._request_count == 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        server = cast(_Server, self._manager)
        if server.full():
            self.transport = cast(asyncio.Transport, transport)
            request_id = self._new_id()
            log.warning(
                "http.connection_limit_reached", request_id=request_id, address=self.peername
            )
            retry = {"Retry-After": "1"}
            full = Problem(503, "overloaded", "too many connections", headers=retry)
            self._refuse(full, request_id)
            return
        super().connection_made(transport)
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNREAD_SECONDS * 1000))

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.idle:
            self._headers_came()
        elif data:
            self._headers_began(len(data))

    def connection_lost(self, exc: BaseException | None) -> None:
        self._headers_came()
        if self._manager is not None:
            cast(_Server, self._manager).lost.set()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 # it quotes what was sent
    ) -> web.StreamResponse:
        """Answer what the parser refused, or an error of fraudd's own, by a problem document."""
        request_id = self._new_id()
        if status == 400:
            log_malformed(type(exc).__name__, request_id, request.remote)
            problem = malformed(exc)
        else:
            log.error("http.bug", traceback=True, request_id=request_id)
            problem = Problem(500, "internal", f"an error of fraudd's own; request {request_id}")
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun: another cannot follow")
        return last_answer(problem, request_id)

    def _headers_began(self, size: int) -> None:
        self._begun_bytes += size
        if self._begun_bytes > HEADER_BYTES:
            self._refuse_headers(too_large())
        elif self._headers_due is None:
            self._headers_due = self._loop.call_later(HEADERS_SECONDS, self._headers_late)

    def _headers_came(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None
            self._begun_bytes = 0

    def _headers_late(self) -> None:
        detail = f"the headers did not come within {HEADERS_SECONDS:g} s"
        self._refuse_headers(Problem(408, "too-slow", detail))

    def _refuse_headers(self, problem: Problem) -> None:
        request_id = self._new_id()
        log_malformed(problem.slug, request_id, self.peername and self.peername[0])
        self._refuse(problem, request_id)

    def _refuse(self, problem: Problem, request_id: str) -> None:
        """Answer without a request, and close."""
        response = problem.response("")
        complete(response.headers, request_id)
        body = response.body
        assert isinstance(body, bytes)
        response.headers["Content-Length"] = str(len(body))
        response.headers["Connection"] = "close"
        phrase = HTTPStatus(problem.status).phrase
        fields = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
        if self.transport is not None:
            self.transport.write(
                f"HTTP/1.1 {problem.status} {phrase}\r\n{fields}\r\n".encode() + body
            )
        self.force_close()
