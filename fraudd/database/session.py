"""One connection and the statement on it: what is cut off or late is killed on the server."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import aiomysql
from pymysql.constants import FIELD_TYPE

from fraudd.database.errors import translated
from fraudd.database.kill import Killer
from fraudd.database.server import Connection, Server, connect
from fraudd.errors import BackPressure, RunError, TransientError, Unavailable
from fraudd.telemetry import log

T = TypeVar("T")

#: Rows between two turns of the event loop: larger slices make others wait, smaller cost more.
ROWS_A_SLICE = 100
#: A look-up takes several turns of the loop: it is not to wait for a slice at each of them.
_TURNS_A_SLICE = 3
#: The client waits this much longer for a statement than the server lets it run.
_ANSWER_SECONDS = 1.0
#: A kill that comes before its statement has begun does nothing: it is sent again after this.
_KILL_AGAIN_SECONDS = 0.5
_NUMERIC = frozenset(
    {
        FIELD_TYPE.DECIMAL,
        FIELD_TYPE.NEWDECIMAL,
        FIELD_TYPE.TINY,
        FIELD_TYPE.SHORT,
        FIELD_TYPE.INT24,
        FIELD_TYPE.LONG,
        FIELD_TYPE.LONGLONG,
        FIELD_TYPE.FLOAT,
        FIELD_TYPE.DOUBLE,
        FIELD_TYPE.NULL,
    }
)
_TEMPORAL = frozenset(
    {FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP}
)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a statement; of each column its name, and whether its type is a number or a date."""

    columns: list[str]
    numeric: list[bool]
    temporal: list[bool]
    rows: Sequence[Sequence[Any]]


class Session:
    """One open connection. After any error it is to be closed: nobody knows what is left on it."""

    def __init__(self, connection: Connection, server: Server, killer: Killer) -> None:
        self._connection = connection
        self._server = server
        self._killer = killer
        #: The call of the driver that is under way.
        self._call: asyncio.Task[Any] | None = None
        self._rows_left = False

    @classmethod
    async def open(cls, server: Server, killer: Killer) -> "Session":
        """Connect; raises what ``connect`` does."""
        return cls(await connect(server, database=server.name), server, killer)

    @property
    def mariadb(self) -> bool:
        """Whether the server says that it is a MariaDB."""
        return self._connection.mariadb

    async def execute(self, sql: str, *, seconds: float) -> int:
        """Run a statement that gives no rows and takes no time; gives the number of its warnings.

        A server that does not answer within so many seconds counts as lost.
        """
        late = TransientError("connection_lost", f"no answer within {seconds:g} s")
        await self._unbroken(self._connection.query(sql), asyncio.timeout(seconds), late)
        return self._connection.warnings

    async def stream(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[Rows, None]:
        """Run one statement; gives its rows by slices, the first of them even if it is empty.

        The event loop has its turns after each slice. The statement's time runs from its begin to
        its last row. Raises ``RunError``, ``Unavailable`` or ``BackPressure``.
        """
        deadline = asyncio.get_running_loop().time() + self._deadline_seconds
        late = TransientError("query_timeout", f"no answer within {self._deadline_seconds:g} s")
        cursor = await self._connection.cursor(aiomysql.SSCursor)
        call = _first(cursor, sql, parameters)
        while True:
            rows = await self._unbroken(call, asyncio.timeout_at(deadline), late)
            self._rows_left = len(rows) == ROWS_A_SLICE
            yield _described(cursor, rows)
            if not self._rows_left:
                return
            for _ in range(_TURNS_A_SLICE):
                await asyncio.sleep(0)
            call = cursor.fetchmany(ROWS_A_SLICE)

    async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Rows:
        """Run one statement and give all its rows; raises what ``stream`` does."""
        slices = [some async for some in self.stream(sql, parameters)]
        return Rows(
            slices[0].columns,
            slices[0].numeric,
            slices[0].temporal,
            [row for some in slices for row in some.rows],
        )

    async def close(self) -> None:
        """End what is under way on the server, and wait until it has let go of the connection."""
        if self._call is not None:
            await self._end(self._call)
        if self._rows_left and not self._connection.closed:
            await self._kill()
        await self._connection.say_goodbye()

    @property
    def _deadline_seconds(self) -> float:
        return self._server.query_timeout_seconds + _ANSWER_SECONDS

    async def _unbroken(
        self, call: Coroutine[Any, Any, T], limit: asyncio.Timeout, late: TransientError
    ) -> T:
        """Await a call of the driver; when we are cut off it goes on, for ``close`` to end it."""
        # In no TaskGroup, which would cancel it: the driver would hang up on a server at work.
        self._call = task = asyncio.create_task(call)  # noqa: TID251
        try:
            async with limit:
                with translated():
                    return await asyncio.shield(task)
        except TimeoutError:
            raise late from None

    async def _end(self, call: "asyncio.Task[Any]") -> None:
        """Kill a statement until the server has ended it, or cannot be asked to."""
        try:
            async with asyncio.timeout(self._deadline_seconds):
                while not call.done() and await self._kill():
                    await asyncio.wait([call], timeout=_KILL_AGAIN_SECONDS)
        except TimeoutError:
            log.warning("statement.not_killed", error="it does not end")
        call.cancel()
        await asyncio.wait([call])
        # How it ended has been told, or is of no interest to a caller who is gone.
        _ = call.cancelled() or call.exception()

    async def _kill(self) -> bool:
        """Kill what the connection runs; tells whether it makes sense to try again."""
        try:
            await self._killer.kill(self._connection)
        except BackPressure as error:
            # The statement's own deadline will end it, if no connection is had before.
            log.debug("statement.not_killed_yet", error=str(error))
        except (Unavailable, RunError, TimeoutError) as error:
            log.warning("statement.not_killed", error=str(error))
            return False
        return True


async def _first(cursor: Any, sql: str, parameters: Mapping[str, Any] | None) -> list[Any]:
    """Run a statement and read the first slice: most have no other."""
    await cursor.execute(sql, parameters)
    rows: list[Any] = await cursor.fetchmany(ROWS_A_SLICE)
    return rows


def _described(cursor: Any, rows: Sequence[Any]) -> Rows:
    types = [column[1] for column in cursor.description]
    return Rows(
        columns=[column[0] for column in cursor.description],
        numeric=[type_ in _NUMERIC for type_ in types],
        temporal=[type_ in _TEMPORAL for type_ in types],
        rows=rows,
    )
