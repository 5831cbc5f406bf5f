"""Connections to the platform's database, and read-only snapshots on them.

Each permit allows one connection. The first snapshot that needs it opens it, later ones reuse it,
and it closes when it is idle. An idle daemon has no connection. A connection counts until the
server has closed it, because the limit is about the server's own count.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from fraudd.aio import uncancelled
from fraudd.database.killer import Killer
from fraudd.database.permits import Permits
from fraudd.database.server import Server
from fraudd.database.session import Session
from fraudd.errors import BackPressure, RunError, TransientError, Unavailable
from fraudd.ports import Clock, Permit
from fraudd.telemetry import log

# UNIX_TIMESTAMP(NOW()) is an hour off in the hour that the end of summer time repeats.
# Both schemas show the status to every account, MySQL's even without performance_schema = ON.
_INSTANT = """\
SELECT NOW(3), TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000,
       (SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM {schema}.global_status
         WHERE VARIABLE_NAME = 'Threads_running')"""
_MARIADB_INSTANT = _INSTANT.format(schema="information_schema")
_MYSQL_INSTANT = _INSTANT.format(schema="performance_schema")


class SnapshotTimeout(TransientError):
    """The snapshot lasted too long: its metadata locks delay others."""


class Snapshot:
    """A read-only view of the database at one instant."""

    def __init__(self, session: Session, *, connecting_seconds: float) -> None:
        self._session = session
        self.query = session.query
        self.stream = session.stream
        #: The time to open the connection. It is 0 if the connection was open already.
        self.connecting_seconds = connecting_seconds
        #: The instant, in the session's time zone and in epoch milliseconds.
        self.as_of = datetime.min
        self.as_of_ms = 0
        #: The number of statements that the server executes, including this one.
        self.threads_running = 0

    async def local_time(self, epoch_ms: int) -> datetime:
        """Convert a time to the session's time zone, as in ``as_of``."""
        rows = await self.query(
            "SELECT FROM_UNIXTIME(%(s)s)", {"s": epoch_ms / 1000}, whose="fraudd"
        )
        moment = rows.rows[0][0]
        assert isinstance(moment, datetime), "only NULL gives none"
        return moment

    async def begin(self, *, seconds: float) -> None:
        """Start the snapshot. Raises ``TransientError`` if that takes more than ``seconds``."""
        begin = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
        if await self._session.execute(begin, seconds=seconds):
            # The server may ignore the clause, with a warning:
            # https://dev.mysql.com/doc/refman/8.4/en/commit.html
            raise Unavailable(
                "database", f"the server supports no snapshots: {begin} gives a warning"
            )
        sql = _MARIADB_INSTANT if self._session.mariadb else _MYSQL_INSTANT
        instant = await self.query(sql, whose="fraudd", seconds=seconds)
        self.as_of = instant.rows[0][0]
        self.as_of_ms, self.threads_running = (int(value) for value in instant.rows[0][1:])

    async def end(self, *, seconds: float) -> None:
        """End the snapshot, which releases its metadata locks."""
        await self._session.execute("COMMIT", seconds=seconds)


@dataclass(slots=True)
class _Slot:
    """The connection of one permit. The lock is held while it is used or closed."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    session: Session | None = None
    #: Monotonic seconds. None: there is no connection, or it is in use.
    idle_since: float | None = None


class Connections:
    """Up to one connection for each permit."""

    def __init__(self, server: Server, permits: Permits, *, clock: Clock) -> None:
        self._server = server
        self._permits = permits
        self._clock = clock
        self._killer = Killer(server)
        self._slots = [_Slot() for _ in range(permits.maximum)]
        #: Set when a connection becomes idle, or the limit falls.
        self._change = asyncio.Event()
        self._limit_fell = False

    @property
    def open(self) -> int:
        """The number of open connections."""
        return sum(slot.session is not None for slot in self._slots)

    @asynccontextmanager
    async def snapshot(
        self, permit: Permit, *, seconds: float | None = None
    ) -> AsyncIterator[Snapshot]:
        """Take a snapshot on the permit's connection, which is opened if needed.

        The snapshot lasts at most ``seconds`` from its beginning: connecting does not count.
        Raises ``TransientError``, ``Unavailable`` or ``BackPressure``, also from its body. After
        any error the statement is killed and the connection closed, because its state is unknown.
        A lost connection is replaced at once: if that fails, the server is unreachable. It is also
        unreachable if it gave no answer and cannot be asked to kill the statement.
        """
        slot = self._slots[permit.number]
        async with slot.lock:
            slot.idle_since = None
            try:
                snapshot = await self._start_snapshot(slot)
                async with self._time_limit(seconds):
                    yield snapshot
                    await snapshot.end(seconds=self._server.timeouts.connect_seconds)
            except TransientError as error:
                await _close_after(error, slot)
                if error.type == "connection_lost":
                    await self._open(slot)
                    self._keep(slot)
                raise
            except BaseException:
                await _close(slot)
                raise
            self._keep(slot)

    @asynccontextmanager
    async def _time_limit(self, seconds: float | None) -> AsyncIterator[None]:
        limit = self._server.timeouts.snapshot_seconds
        limit = limit if seconds is None else min(limit, seconds)
        try:
            async with asyncio.timeout(limit) as timeout:
                yield
        except TimeoutError:
            if not timeout.expired():
                raise
            detail = f"the snapshot exceeded its time limit of {limit:g} s"
            raise SnapshotTimeout("snapshot_timeout", detail, answered=False) from None

    def hurry(self) -> None:
        """From now on, close a connection at once if its statement cannot be killed."""
        self._killer.hurries = True

    async def close_idle(self) -> None:
        """Close idle connections, forever.

        A connection is closed after ``idle_seconds``, or at once if the limit falls.
        """
        while True:
            await self._wait_for_change(self._seconds_until_idle())
            now = self._clock.monotonic()
            limit_fell, self._limit_fell = self._limit_fell, False
            idle_seconds = 0.0 if limit_fell else self._server.timeouts.idle_seconds
            await self._close_idle_since(now - idle_seconds)

    async def close(self) -> None:
        """Close all unused connections."""
        await self._close_idle_since(self._clock.monotonic())

    def _seconds_until_idle(self) -> float | None:
        """The time until the next connection has been unused for ``idle_seconds``."""
        idle = [slot.idle_since for slot in self._slots if slot.idle_since is not None]
        if not idle:
            return None
        due = min(idle) + self._server.timeouts.idle_seconds
        return max(0.0, due - self._clock.monotonic())

    async def _wait_for_change(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._change.wait()
        except TimeoutError:
            return
        self._change.clear()

    async def _close_idle_since(self, then: float) -> None:
        for slot in self._slots:
            if slot.idle_since is not None and slot.idle_since <= then and not slot.lock.locked():
                async with slot.lock:
                    await _close(slot)

    def _keep(self, slot: _Slot) -> None:
        slot.idle_since = self._clock.monotonic()
        self._change.set()

    async def _start_snapshot(self, slot: _Slot) -> Snapshot:
        """Start a snapshot. If the server has closed the connection meanwhile, open another.

        The statement that starts the snapshot shows whether the connection still works, so no
        ping is needed.
        """
        if slot.session is not None:
            try:
                return await self._snapshot_on(slot.session, connecting_seconds=0.0)
            except TransientError as error:
                await _close_after(error, slot)
        began = self._clock.monotonic()
        session = await self._open(slot)
        seconds = self._clock.monotonic() - began
        try:
            return await self._snapshot_on(session, connecting_seconds=seconds)
        except RunError as error:
            # No statement of a feature file has run yet.
            raise Unavailable("database", f"no snapshot: {error.detail}") from error

    async def _snapshot_on(self, session: Session, *, connecting_seconds: float) -> Snapshot:
        snapshot = Snapshot(session, connecting_seconds=connecting_seconds)
        await snapshot.begin(seconds=self._server.timeouts.connect_seconds)
        before = self._permits.limit
        self._permits.observe(snapshot.threads_running)
        self._report_lower_limit(before)
        return snapshot

    async def _open(self, slot: _Slot) -> Session:
        """Connect, even if cancelled meanwhile: the server counts a half-open connection, too."""
        try:
            await uncancelled(self._open_session(slot))
        except BackPressure as error:
            before = self._permits.limit
            unreachable = self._permits.refused(connected=self.open > 0)
            self._report_lower_limit(before)
            if unreachable:
                raise Unavailable("database", error.detail) from error
            raise
        assert slot.session is not None, "it was opened"
        return slot.session

    async def _open_session(self, slot: _Slot) -> None:
        slot.session = await Session.open(self._server, self._killer)

    def _report_lower_limit(self, before: int) -> None:
        """Log a lower limit, and let ``close_idle`` close unused connections."""
        if (limit := self._permits.limit) < before:
            log.info("permits.limited", limit=limit, max=self._permits.maximum)
            self._limit_fell = True
            self._change.set()


async def _close_after(error: TransientError, slot: _Slot) -> None:
    """Close the connection after an error.

    Raises ``Unavailable`` if the server gave no answer, and cannot be reached.
    """
    unreachable = await _close(slot)
    if unreachable is not None and not error.answered:
        detail = f"{error.detail}, and it is unreachable: {unreachable.detail}"
        raise Unavailable("database", detail) from error


async def _close(slot: _Slot) -> Unavailable | None:
    """Close the connection of a slot, even if cancelled meanwhile.

    If the server cannot be reached to end the statement, returns the reason.
    """
    session, slot.idle_since = slot.session, None
    if session is None:
        return None
    try:
        return await uncancelled(session.close())
    finally:
        slot.session = None
