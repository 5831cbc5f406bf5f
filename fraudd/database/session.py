"""One connection and its statement. If the statement is cancelled or late, the server kills it."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import aiomysql
from pymysql.constants import FIELD_TYPE

from fraudd.database.errors import Whose, translated
from fraudd.database.killer import Killer, Outcome
from fraudd.database.server import Connection, Server, connect
from fraudd.errors import BackPressure, TransientError, Unavailable
from fraudd.telemetry import log

T = TypeVar("T")

#: Rows between two turns of the event loop: larger slices delay other tasks, smaller ones cost CPU.
_ROWS_PER_SLICE = 100
#: An HTTP read needs several turns of the loop, and should not wait for a slice in each of them.
_TURNS_PER_SLICE = 3
#: The client waits this much longer for a statement than the server lets it run.
_ANSWER_SECONDS = 1.0
#: A kill that arrives before its statement begins has no effect, so it is repeated.
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
    """Rows of a statement, and the columns: their names, and which are numbers or dates."""

    columns: list[str]
    numeric: list[bool]
    temporal: list[bool]
    rows: Sequence[Sequence[Any]]


class Session:
    """One open connection. Close it after any error, because its state is then unknown."""

    def __init__(self, connection: Connection, server: Server, killer: Killer) -> None:
        self._connection = connection
        self._killer = killer
        self._deadline_seconds = server.timeouts.query_seconds + _ANSWER_SECONDS
        #: The driver's call in progress, and the time at which the server ends its statement.
        self._call: asyncio.Task[Any] | None = None
        self._ends_at = 0.0
        self._rows_left = False
        #: Why a kill did not reach the server.
        self._unreachable: Unavailable | None = None

    @classmethod
    async def open(cls, server: Server, killer: Killer) -> "Session":
        """Connect. Raises what ``connect`` raises."""
        return cls(await connect(server, database=server.name), server, killer)

    @property
    def mariadb(self) -> bool:
        """Whether the server reports itself as MariaDB."""
        return self._connection.mariadb

    async def execute(self, sql: str, *, seconds: float) -> int:
        """Run a short statement that returns no rows. Returns the number of its warnings.

        Raises ``TransientError`` if the server does not answer within ``seconds``.
        """
        self._ends_at = asyncio.get_running_loop().time() + seconds
        await self._uninterrupted(
            self._connection.query(sql), whose="fraudd", late=_late("connection_lost", seconds)
        )
        return self._connection.warnings

    async def stream(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        whose: Whose = "feature file",
        seconds: float | None = None,
    ) -> AsyncGenerator[Rows, None]:
        """Run one statement and yield its rows in slices, at least one, even if it is empty.

        Other tasks run after each slice. The deadline covers the time from the start of the
        statement to its last row. Raises ``RunError``, ``Unavailable`` or ``BackPressure``.
        """
        seconds = self._deadline_seconds if seconds is None else seconds
        late = _late("query_timeout", seconds)
        self._ends_at = asyncio.get_running_loop().time() + seconds
        cursor = await self._connection.cursor(aiomysql.SSCursor)
        call = _execute_and_fetch(cursor, sql, parameters)
        while True:
            rows = await self._uninterrupted(call, whose=whose, late=late)
            self._rows_left = len(rows) == _ROWS_PER_SLICE
            yield _with_columns(cursor, rows)
            if not self._rows_left:
                return
            for _ in range(_TURNS_PER_SLICE):
                await asyncio.sleep(0)
            call = cursor.fetchmany(_ROWS_PER_SLICE)

    async def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        whose: Whose = "feature file",
        seconds: float | None = None,
    ) -> Rows:
        """Run one statement and return all its rows. Raises what ``stream`` raises."""
        slices = [part async for part in self.stream(sql, parameters, whose=whose, seconds=seconds)]
        return Rows(
            slices[0].columns,
            slices[0].numeric,
            slices[0].temporal,
            [row for part in slices for row in part.rows],
        )

    async def close(self) -> Unavailable | None:
        """End the statement on the server, then close and wait for the server to close.

        If the server cannot be reached to end the statement, returns the reason.
        """
        if self._call is not None:
            await self._end(self._call)
        if self._rows_left and not self._connection.closed:
            await self._kill()
        await self._connection.quit()
        return self._unreachable

    async def _uninterrupted(
        self, call: Coroutine[Any, Any, T], *, whose: Whose, late: TransientError
    ) -> T:
        """Await a call of the driver. A cancellation does not stop it. ``close`` does."""
        # In no TaskGroup, which would cancel it: the driver would then drop the connection while
        # the server still works on the statement.
        self._call = task = asyncio.create_task(call)  # noqa: TID251
        try:
            async with asyncio.timeout_at(self._ends_at):
                with translated(whose):
                    return await asyncio.shield(task)
        except TimeoutError:
            raise late from None

    async def _end(self, call: "asyncio.Task[Any]") -> None:
        """Kill a statement until the server ends it.

        If no kill reaches it, the server ends it at its own deadline. Until then it occupies the
        connection, and so the permit.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._deadline_seconds
        while not call.done():
            outcome = await self._kill()
            await asyncio.wait([call], timeout=_KILL_AGAIN_SECONDS)
            if outcome == "ended before" or loop.time() >= give_up_at:
                break
            if outcome != "killed" and (self._killer.hurries or loop.time() >= self._ends_at):
                break
        if not call.done():
            error = self._unreachable or "no kill reached the statement"
            log.warning("statement.kill_failed", error=str(error))
        call.cancel()
        await asyncio.wait([call])
        # Marks an exception as retrieved: it was raised before, or nobody waits for it.
        _ = call.cancelled() or call.exception()

    async def _kill(self) -> Outcome | None:
        """Kill the statement. Returns None if the server cannot be asked to."""
        try:
            return await self._killer.kill(self._connection)
        except Unavailable as error:
            log.debug("statement.kill_delayed", error=str(error))
            # A server without a free connection is no unreachable one.
            if not isinstance(error, BackPressure):
                self._unreachable = self._unreachable or error
            return None


def _late(type_: str, seconds: float) -> TransientError:
    detail = f"no answer from the server within {seconds:g} s"
    return TransientError(type_, detail, answered=False)


async def _execute_and_fetch(
    cursor: Any, sql: str, parameters: Mapping[str, Any] | None
) -> list[Any]:
    """Run a statement and read its first slice, which is usually the only one."""
    await cursor.execute(sql, parameters)
    rows: list[Any] = await cursor.fetchmany(_ROWS_PER_SLICE)
    return rows


def _with_columns(cursor: Any, rows: Sequence[Any]) -> Rows:
    types = [column[1] for column in cursor.description]
    return Rows(
        columns=[column[0] for column in cursor.description],
        numeric=[type_ in _NUMERIC for type_ in types],
        temporal=[type_ in _TEMPORAL for type_ in types],
        rows=rows,
    )
