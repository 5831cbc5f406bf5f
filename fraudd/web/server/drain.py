"""How the HTTP server lets its callers go, so that none of them loses a request.

A connection that is closed while a request is on its way to it loses that request. So callers are
told first (``Connection: close``), nothing that was accepted stays unanswered, and what is closed
in the end has been silent for long.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

#: Who keeps a connection, and asks at least this often, is told before it is closed.
_IDLE_SECONDS = 2.0
#: Who connects sends a request at once; a client that connects ahead of time waits for one.
_FIRST_REQUEST_SECONDS = 1.0
#: Requests in hand get this long; none takes as long, but those that come too slowly.
_LAST_SECONDS = 5.0
#: The parting takes no longer than this.
MAX_SECONDS = _IDLE_SECONDS + _LAST_SECONDS
#: So many turns of the loop make a connection of what was accepted; asyncio needs two.
_TURNS = 3


class Connection(Protocol):
    """One caller's connection, as far as it matters here."""

    @property
    def made_at(self) -> float:
        """When it was made, by the loop's clock."""

    @property
    def gone(self) -> bool:
        """Whether it is closed already."""

    @property
    def owed(self) -> bool:
        """Whether a request is being answered, or has begun to come."""

    @property
    def fresh(self) -> bool:
        """Whether no request has come on it yet."""


class Departure:
    """Waits for callers to go; each of them is given its last answer meanwhile.

    ``connected`` gives the connections that there are, ``lost`` is set whenever one is gone.
    """

    def __init__(self, connected: Callable[[], Sequence[Connection]], lost: asyncio.Event) -> None:
        self._connected = connected
        self._lost = lost
        self._loop = asyncio.get_running_loop()

    async def of_the_idle(self, since: float) -> None:
        """Wait for those who were connected when it was announced, while others still come."""
        await self._wait(
            lambda one, now: since + _IDLE_SECONDS - now if one.made_at <= since else 0.0
        )

    async def of_the_rest(self, listener: socket.socket) -> None:
        """Accept nobody any more, and wait for all who are owed an answer."""
        self._loop.remove_reader(listener)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        until = self._loop.time() + _LAST_SECONDS

        def patience(one: Connection, now: float) -> float:
            if one.owed:
                return until - now
            return one.made_at + _FIRST_REQUEST_SECONDS - now if one.fresh else 0.0

        await self._wait(patience)

    async def _wait(self, patience: Callable[[Connection, float], float]) -> None:
        """Wait until nobody is worth waiting for: ``patience`` says how many seconds each is."""
        while True:
            self._lost.clear()
            now = self._loop.time()
            seconds = [patience(one, now) for one in self._connected() if not one.gone]
            longest = max(seconds, default=0.0)
            if longest <= 0:
                return
            try:
                async with asyncio.timeout(longest):
                    await self._lost.wait()
            except TimeoutError:
                continue
