"""The HTTP server: aiohttp's server with limits on slow, large, and malformed requests."""

import asyncio
import resource
import socket
from collections.abc import Callable, Sequence
from http import HTTPStatus
from itertools import islice
from typing import Any, cast

from aiohttp import web

from fraudd.telemetry import log
from fraudd.web.problems import Problem, internal_error, retryable
from fraudd.web.responses import add_default_headers
from fraudd.web.server.aiohttp_internals import ConnectionBase, RunnerBase, ServerBase
from fraudd.web.server.drain import Drain
from fraudd.web.server.rejections import (
    FIELD_BYTES,
    FIELDS,
    HEADER_BYTES,
    LINE_BYTES,
    Handler,
    closing_response,
    headers_too_large,
    log_rejected,
    parser_problem,
    with_rejections,
)

#: Headers that have begun to arrive must be complete within this time.
HEADERS_SECONDS = 10.0
#: This is longer than the timeout of proxies, which is usually 60 s. So the proxy closes an idle
#: connection, and no request meets a connection that the server has just closed.
KEEP_ALIVE_SECONDS = 75.0
#: After a response the server reads for this time. Closing earlier may destroy the response.
_LINGERING_SECONDS = 2.0
#: If a client reads nothing of a response for this time, its connection is closed.
UNREAD_SECONDS = 30.0
MAX_CONNECTIONS = 10_000
#: Open files for other purposes: connections to AWS and the database, logs, model.
_OTHER_FILES = 300
#: To make room, the server looks for an idle connection among this number of the oldest ones.
_CONNECTIONS_TO_SEARCH = 100


def max_connections() -> int:
    """Raise the limit of open files, and return the maximum number of connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files = MAX_CONNECTIONS + _OTHER_FILES if hard == resource.RLIM_INFINITY else hard
    return max(1, min(MAX_CONNECTIONS, files - _OTHER_FILES))


class Runner(RunnerBase):
    """Runs an application on a server with limits. ``new_id`` makes request IDs."""

    __slots__ = ("_draining_since", "_max_connections", "_new_id")

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
        self._max_connections = max_connections
        #: The start of the drain, by the loop's clock.
        self._draining_since: float | None = None

    def start_drain(self) -> None:
        """From now on, every response closes its connection. Requests are still served."""
        self._draining_since = asyncio.get_running_loop().time()

    async def drain(self, listener: socket.socket, *, patient: bool) -> None:
        """Stop accepting connections, and wait for the open ones without losing a request.

        If ``patient``, a client with an idle connection first gets time for one more request.
        The listening socket is not shut down, because another daemon may listen on it next.
        """
        assert isinstance(self.server, _Server), "setup() was not called"
        drain = Drain(self.server.connection_list, self.server.lost)
        if patient and self._draining_since is not None:
            await drain.wait_for_idle(self._draining_since)
        await drain.finish(listener)

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self.server.connections) if self.server is not None else 0

    def build_server(self, default: web.Server) -> ServerBase:
        """Build the server with limits."""
        handler = with_rejections(
            default.request_handler, self._new_id, lambda: self._draining_since is not None
        )
        return _Server(
            handler,
            request_factory=default.request_factory,
            new_id=self._new_id,
            max_connections=self._max_connections,
        )


class _Server(ServerBase):
    """Makes a connection for each client, and makes room if there are too many."""

    def __init__(
        self, handler: Handler, *, new_id: Callable[[], str], max_connections: int, **options: Any
    ) -> None:
        super().__init__(
            handler,
            # If a client disconnects, its handler is cancelled. Critical steps are shielded.
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            lingering_time=_LINGERING_SECONDS,
            max_line_size=LINE_BYTES,
            max_field_size=FIELD_BYTES,
            max_headers=FIELDS,
            # A gzip bomb of a few bytes may expand to gigabytes.
            auto_decompress=False,
            **options,
        )
        self.new_id = new_id
        self._max_connections = max_connections
        #: Set when a connection ends.
        self.lost = asyncio.Event()

    def build_connection(self, **arguments: Any) -> ConnectionBase:
        """Build a connection."""
        return _Connection(self, **arguments)

    def connection_list(self) -> "Sequence[_Connection]":
        """Return the open connections."""
        return cast("list[_Connection]", list(self.open_connections))

    def make_room(self) -> bool:
        """Return whether there is room for one more connection.

        If there is none, close an idle connection: its client can connect again, but a new client
        that is rejected can do nothing.
        """
        connections = self.open_connections
        if len(connections) < self._max_connections:
            return True
        for connection in islice(connections, _CONNECTIONS_TO_SEARCH):
            if connection.idle:
                log.debug("http.idle_connection_closed", address=connection.peername)
                connection.force_close()
                connections.pop(connection)
                return True
        return False


class _Connection(ConnectionBase):
    """One connection of a client."""

    __slots__ = ("_header_bytes", "_header_timer", "_new_id", "made_at")

    def __init__(self, server: _Server, **arguments: Any) -> None:
        super().__init__(server, **arguments)
        self._new_id = server.new_id
        #: The bytes that have arrived of incomplete headers, and the timer for the rest.
        self._header_bytes = 0
        self._header_timer: asyncio.TimerHandle | None = None
        #: When the connection was made, by the loop's clock.
        self.made_at = asyncio.get_running_loop().time()

    @property
    def closed(self) -> bool:
        """Whether the connection is closed."""
        return self.transport is None or self.transport.is_closing()

    @property
    def busy(self) -> bool:
        """Whether a request is being served, or is arriving."""
        return not self.idle or self._header_timer is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the connection, or reject it if there is no room."""
        if not cast(_Server, self.server).make_room():
            self.transport = cast(asyncio.Transport, transport)
            request_id = self._new_id()
            log.warning(
                "http.connection_limit_reached", request_id=request_id, address=self.peername
            )
            self._reject(
                retryable("overloaded", "too many connections; retry later", 1), request_id
            )
            return
        super().connection_made(transport)
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNREAD_SECONDS * 1000))

    def data_received(self, data: bytes) -> None:
        """Parse the data, and watch the time and size of incomplete headers."""
        super().data_received(data)
        if not self.idle:
            self._headers_complete()
        elif data:
            self._headers_incomplete(len(data))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the timer, and tell the drain."""
        self._headers_complete()
        if self.server is not None:
            cast(_Server, self.server).lost.set()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 # it quotes the client's bytes
    ) -> web.StreamResponse:
        """Turn an error of the parser, or a bug in fraudd, into a problem document."""
        request_id = self._new_id()
        if status == 400:
            log_rejected(type(exc).__name__, request_id, request.remote)
            problem = parser_problem(exc)
        else:
            log.error("http.bug", traceback=True, request_id=request_id)
            problem = internal_error(request_id)
        if request.writer.output_size > 0:
            raise ConnectionError("a response has begun, so another cannot follow")
        return closing_response(problem, request_id)

    def _headers_incomplete(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > HEADER_BYTES:
            self._reject_headers(headers_too_large())
        elif self._header_timer is None:
            loop = asyncio.get_running_loop()
            self._header_timer = loop.call_later(HEADERS_SECONDS, self._headers_late)

    def _headers_complete(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None
            self._header_bytes = 0

    def _headers_late(self) -> None:
        detail = f"the headers did not arrive within {HEADERS_SECONDS:g} s"
        self._reject_headers(Problem("slow-request", detail))

    def _reject_headers(self, problem: Problem) -> None:
        request_id = self._new_id()
        log_rejected(problem.slug, request_id, self.peername and self.peername[0])
        self._reject(problem, request_id)

    def _reject(self, problem: Problem, request_id: str) -> None:
        """Respond although there is no request yet, and close the connection."""
        response = problem.response("")
        add_default_headers(response.headers, request_id)
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
