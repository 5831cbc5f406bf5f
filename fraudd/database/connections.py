"""Connections to the platform's database, and the read-only snapshots taken on them.

Each permit has room for one connection. It is opened by the first snapshot that needs it, kept
warm for the next, and closed when it idles; at rest there is none. A connection counts until the
server has let go of it, because the server's count is the one that must hold.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiomysql
from pymysql.constants import COMMAND, FIELD_TYPE
from pymysql.err import MySQLError

from fraudd import log
from fraudd.database.errors import translated
from fraudd.ports import Clock, Misconfigured, Permit, TransientError, Unavailable

#: The client waits this much longer for a statement than the server lets it run.
_ANSWER_SECONDS = 2.0
#: A server that does not hang up within this time after a goodbye is left to its own devices.
_GOODBYE_SECONDS = 2.0
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the database is and on what terms to use it; ``password`` is read at each connect."""

    host: str
    port: int
    user: str
    name: str
    password: Callable[[], str] = field(repr=False)
    tls: ssl.SSLContext | None
    time_zone: str
    connect_timeout_seconds: float
    query_timeout_seconds: float
    snapshot_timeout_seconds: float
    idle_seconds: float


@dataclass(frozen=True, slots=True)
class Rows:
    """What a statement gave: column names, whether each is of a number's type, and all rows."""

    columns: list[str]
    numeric: list[bool]
    rows: Sequence[Sequence[Any]]


class Snapshot:
    """One read-only view of the database, at one instant."""

    def __init__(self, connection: Any, server: Server) -> None:
        self._connection = connection
        self._server = server
        #: The instant, as the session's time zone writes it, and in epoch milliseconds.
        self.as_of = datetime.min
        self.as_of_ms = 0

    async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Rows:
        """Run one statement, with ``parameters`` bound by name; raises what ``ports`` lists."""
        deadline = self._server.query_timeout_seconds + _ANSWER_SECONDS
        with translated():
            async with self._connection.cursor() as cursor:
                try:
                    async with asyncio.timeout(deadline):
                        await cursor.execute(sql, parameters)
                        rows = await cursor.fetchall()
                except TimeoutError:
                    detail = f"no answer within {deadline:g} s"
                    raise TransientError("query_timeout", detail) from None
                description = cursor.description or ()
        columns = [column[0] for column in description]
        return Rows(columns, [column[1] in _NUMERIC for column in description], rows)

    async def local_time(self, epoch_ms: int) -> datetime:
        """Write a time as the session's time zone does, as ``as_of`` of the past."""
        rows = await self.query("SELECT FROM_UNIXTIME(%(s)s)", {"s": epoch_ms / 1000})
        moment = rows.rows[0][0]
        assert isinstance(moment, datetime), "only NULL gives none"
        return moment

    async def begin(self) -> None:
        """Take the snapshot."""
        with translated():
            await self._connection.query("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        instant = await self.query("SELECT NOW(3), ROUND(UNIX_TIMESTAMP(NOW(3)) * 1000)")
        self.as_of, self.as_of_ms = instant.rows[0][0], int(instant.rows[0][1])

    async def end(self) -> None:
        """Let go of the snapshot, and of the metadata locks that came with it."""
        with translated():
            await self._connection.commit()


@dataclass(slots=True)
class _Slot:
    """The room of one permit. The lock is held while its connection is used or closed."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    connection: Any = None
    #: Monotonic seconds; None while there is no connection, or it is in use.
    idle_since: float | None = None


class Connections:
    """At most one connection for each of ``limit`` permits."""

    def __init__(self, server: Server, *, limit: int, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._slots = [_Slot() for _ in range(limit)]
        self._idle = asyncio.Event()

    @property
    def open(self) -> int:
        """How many connections are open."""
        return sum(slot.connection is not None for slot in self._slots)

    @asynccontextmanager
    async def snapshot(self, permit: Permit) -> AsyncIterator[Snapshot]:
        """Take a snapshot on the permit's connection, opening one if it has none.

        Raises ``TransientError`` or ``Unavailable``, also from within. After any error the
        connection is closed, for nobody knows what is left on it. One that was lost is replaced
        at once, which tells a connection that broke from a server that is gone.
        """
        slot = self._slots[permit.number]
        limit = self._server.snapshot_timeout_seconds
        async with slot.lock:
            slot.idle_since = None
            try:
                async with asyncio.timeout(limit):
                    snapshot = await self._begun(slot)
                    yield snapshot
                    await snapshot.end()
            except TimeoutError:
                await _close(slot)
                raise TransientError("too_slow", f"the snapshot lasted {limit:g} s") from None
            except TransientError as error:
                await _close(slot)
                if error.type == "connection_lost":
                    slot.connection = await _connect(self._server)
                    slot.idle_since = self._clock.monotonic()
                    self._idle.set()
                raise
            except BaseException:
                await _close(slot)
                raise
            slot.idle_since = self._clock.monotonic()
            self._idle.set()

    async def close_idle(self) -> None:
        """Close what idles for longer than ``idle_seconds``, for ever."""
        while True:
            await self._idle.wait()
            self._idle.clear()
            while idle := [s.idle_since for s in self._slots if s.idle_since is not None]:
                due = min(idle) + self._server.idle_seconds
                await asyncio.sleep(max(0.0, due - self._clock.monotonic()))
                await self._close_idle_since(self._clock.monotonic() - self._server.idle_seconds)

    async def close(self) -> None:
        """Close every connection that nobody uses."""
        await self._close_idle_since(self._clock.monotonic())

    async def _close_idle_since(self, then: float) -> None:
        for slot in self._slots:
            if slot.idle_since is not None and slot.idle_since <= then and not slot.lock.locked():
                async with slot.lock:
                    await _close(slot)

    async def _begun(self, slot: _Slot) -> Snapshot:
        """Begin a snapshot; a warm connection that the server has dropped meanwhile is replaced."""
        if slot.connection is not None:
            try:
                return await self._begin(slot)
            except TransientError:
                await _close(slot)
        slot.connection = await _connect(self._server)
        return await self._begin(slot)

    async def _begin(self, slot: _Slot) -> Snapshot:
        snapshot = Snapshot(slot.connection, self._server)
        await snapshot.begin()
        return snapshot


async def _connect(server: Server) -> Any:
    """Open a connection whose session is set up. Raises ``Unavailable``."""
    with _unavailable_if_lost(), translated():
        try:
            connection = await aiomysql.connect(
                host=server.host,
                port=server.port,
                user=server.user,
                password=server.password(),
                db=server.name,
                ssl=server.tls,
                charset="utf8mb4",
                autocommit=True,
                connect_timeout=server.connect_timeout_seconds,
                program_name="fraudd",
            )
        except Misconfigured as error:
            # The password could be read at start: this is an outage like any other.
            raise Unavailable("database", str(error)) from error
        except RuntimeError as error:
            # MySQL's default authentication without TLS needs a package that is not here.
            raise Unavailable("database", f"{error}: pip install cryptography") from error
        try:
            for statement in _session(server, connection.get_server_info()):
                await connection.query(statement)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def _unavailable_if_lost() -> Iterator[None]:
    """Take a connection that is lost while it is made for a server that is not there."""
    try:
        yield
    except TransientError as error:
        raise Unavailable("database", error.detail) from error


def _session(server: Server, version: str) -> Iterator[str]:
    """The statements that set a session up: isolation, time zone, deadline of each statement."""
    yield "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"
    seconds = server.query_timeout_seconds
    # https://mariadb.com/kb/en/aborting-statements/ counts seconds,
    # https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html milliseconds.
    deadline = (
        f"max_statement_time = {seconds:.3f}"
        if "MariaDB" in version
        else f"max_execution_time = {seconds * 1000:.0f}"
    )
    yield f"SET SESSION {deadline}, time_zone = '{server.time_zone}'"


async def _close(slot: _Slot) -> None:
    """Say goodbye and wait until the server has let go: until then it counts the connection."""
    connection, slot.idle_since = slot.connection, None
    try:
        # A connection cut off in mid-statement is closed already.
        if connection is not None and not connection.closed:
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await connection._execute_command(COMMAND.COM_QUIT, "")
                await connection._reader.read()
    except (OSError, MySQLError, TimeoutError) as error:
        log.debug("connection.no_goodbye", reason=str(error))
    finally:
        slot.connection = None
        if connection is not None:
            connection.close()
