"""How the HTTP server drains its connections without losing a request.

If a server closes a connection while a request is in transit, that request is lost. So every
response first announces the end of its connection (``Connection: close``). Every accepted request
is answered. The server only closes connections that have been silent for long.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

#: A client that sends a request at least this often learns that its connection will close.
_IDLE_SECONDS = 2.0
#: A client that has just connected usually sends a request at once.
_FIRST_REQUEST_SECONDS = 1.0
#: Requests in flight get this time. Only a request that arrives slowly takes as long.
_LAST_SECONDS = 5.0
#: The drain takes at most this time.
MAX_SECONDS = _IDLE_SECONDS + _LAST_SECONDS
#: asyncio needs two turns of the event loop to turn accepted sockets into connections.
_TURNS = 3


class Connection(Protocol):
    """A client's connection, as the drain sees it."""

    @property
    def made_at(self) -> float:
        """When it was made, by the loop's clock."""

    @property
    def closed(self) -> bool:
        """Whether it is closed."""

    @property
    def busy(self) -> bool:
        """Whether a request is being served, or is arriving."""

    @property
    def unused(self) -> bool:
        """Whether no request has arrived on it yet."""


class Drain:
    """Waits until the connections have ended. Each client gets its last response meanwhile.

    ``connections`` returns the open connections. ``lost`` is set when one of them ends.
    """

    def __init__(
        self, connections: Callable[[], Sequence[Connection]], lost: asyncio.Event
    ) -> None:
        self._open_connections = connections
        self._lost = lost
        self._loop = asyncio.get_running_loop()

    async def wait_for_idle(self, since: float) -> None:
        """Wait for the connections made before ``since``. New clients may still connect."""
        await self._wait(
            lambda connection, now: (
                since + _IDLE_SECONDS - now if connection.made_at <= since else 0.0
            )
        )

    async def finish(self, listener: socket.socket) -> None:
        """Stop accepting connections, and wait until every accepted request is answered."""
        self._loop.remove_reader(listener)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        until = self._loop.time() + _LAST_SECONDS

        def patience(connection: Connection, now: float) -> float:
            if connection.busy:
                return until - now
            if connection.unused:
                return connection.made_at + _FIRST_REQUEST_SECONDS - now
            return 0.0

        await self._wait(patience)

    async def _wait(self, patience: Callable[[Connection, float], float]) -> None:
        """Wait for the connections, each up to the seconds that ``patience`` returns for it."""
        while True:
            self._lost.clear()
            now = self._loop.time()
            seconds = [
                patience(connection, now)
                for connection in self._open_connections()
                if not connection.closed
            ]
            longest = max(seconds, default=0.0)
            if longest <= 0:
                return
            try:
                async with asyncio.timeout(longest):
                    await self._lost.wait()
            except TimeoutError:
                continue
