"""Kills statements on the server that runs them, each through a short connection of its own."""

import asyncio
from typing import Literal

from fraudd.database.errors import translated
from fraudd.database.server import Address, Connection, Server, connect
from fraudd.errors import RunError, Unavailable

#: The result of a kill. "elsewhere": the address leads to another server now.
Outcome = Literal["killed", "ended before", "elsewhere"]

_ROW = "SELECT host FROM information_schema.processlist WHERE id = {number}"


class Killer:
    """Kills statements of this account, one at a time.

    It opens one connection beyond the permits for each kill, and closes it again.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._turn = asyncio.Lock()
        #: The last kill that failed: the address of the server, the time, and the reason.
        self._failure: tuple[Address, float, Unavailable] | None = None
        #: While the daemon stops, a statement that no kill reaches is left to its own deadline.
        self.hurries = False

    async def kill(self, connection: Connection) -> Outcome:
        """Kill the statement that a connection runs, if any. The connection stays open.

        Raises ``Unavailable`` or ``BackPressure``. The failure of one kill is the answer for all
        that waited for their turn meanwhile, because each would wait for the same timeout.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with self._turn:
            if self._failure is not None:
                address, at, error = self._failure
                if address == connection.peer and at >= began:
                    raise type(error)(error.part, error.detail)
            try:
                return await self._kill(connection)
            except Unavailable as error:
                self._failure = connection.peer, loop.time(), error
                raise

    async def _kill(self, connection: Connection) -> Outcome:
        place, timeouts = connection.place, self._server.timeouts
        # Without a database, which distinguishes it in the process list.
        control = await connect(self._server, database=None, address=connection.peer)
        try:
            if control.place.server != place.server:
                return "elsewhere"
            with translated("fraudd"):
                async with asyncio.timeout(timeouts.connect_seconds):
                    row = await control.one_row(_ROW.format(number=place.number))
                    if row != (place.client,):
                        # The server has closed the connection, and so ended its statement.
                        return "ended before"
                    await control.query(f"KILL QUERY {place.number}")
                    return "killed"
        except TimeoutError:
            detail = f"no answer to a kill within {timeouts.connect_seconds:g} s"
            raise Unavailable("database", detail) from None
        except RunError as error:
            raise Unavailable("database", f"cannot kill a statement: {error.detail}") from error
        finally:
            await control.quit()
