"""Ends statements on the server: over the one connection beyond the permits, open only for that."""

import asyncio

from fraudd.database.errors import translated
from fraudd.database.server import Connection, Server, connect


class Killer:
    """Kills statements of this account, one at a time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._turn = asyncio.Lock()

    async def kill(self, connection: Connection) -> None:
        """Kill what a connection runs, if anything; the connection itself stays.

        Raises ``Unavailable``, ``BackPressure``, ``TransientError`` or ``RunError``.
        """
        async with self._turn:
            # Without a database, which tells it from the others in the process list.
            control = await connect(self._server, database=None)
            try:
                with translated():
                    async with asyncio.timeout(self._server.connect_timeout_seconds):
                        await control.query(f"KILL QUERY {connection.thread_id()}")
            finally:
                await control.say_goodbye()
