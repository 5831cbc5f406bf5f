"""Every private name of aiohttp that fraudd uses, in one place.

The names were read in aiohttp 3.14.5, and ``setup.cfg`` allows 3.14 only. Before you allow another
minor version, run ``tests/unit/web/test_aiohttp_internals.py`` with it: it has a test for each.
"""

import asyncio
from abc import abstractmethod
from typing import Any, cast

from aiohttp import web


class RunnerBase(web.AppRunner):
    """Runs an application on a server that a subclass builds."""

    __slots__ = ()

    @abstractmethod
    def build_server(self, default: web.Server) -> "ServerBase":
        """Build the server. ``default`` is the server that aiohttp would use."""

    async def _make_server(self) -> web.Server:
        return self.build_server(await super()._make_server())


class ServerBase(web.Server):
    """Makes a connection of a subclass for each client."""

    @abstractmethod
    def build_connection(self, **arguments: Any) -> "ConnectionBase":
        """Build a connection. ``arguments`` are the arguments of ``ConnectionBase``."""

    def __call__(self) -> web.RequestHandler:
        return self.build_connection(loop=asyncio.get_running_loop(), **self._kwargs)

    @property
    def open_connections(self) -> "dict[ConnectionBase, asyncio.Transport]":
        """The open connections, oldest first. Unlike ``connections``, this makes no copy."""
        return cast("dict[ConnectionBase, asyncio.Transport]", self._connections)


class ConnectionBase(web.RequestHandler):
    """A connection that shows its state."""

    __slots__ = ()

    @property
    def idle(self) -> bool:
        """Whether the connection waits for a request."""
        return self._waiter is not None and not self._waiter.done()

    @property
    def unused(self) -> bool:
        """Whether no request has arrived on the connection yet."""
        return self._request_count == 0

    @property
    def server(self) -> web.Server | None:
        """The server of the connection. None after the connection is lost."""
        return self._manager
