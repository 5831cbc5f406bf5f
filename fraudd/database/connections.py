"""Connections to the platform's database, and the read-only snapshots taken on them.

Each permit has room for one connection. It is opened by the first snapshot that needs it, kept
warm for the next, and closed when it idles; at rest there is none. A connection counts until the
server has let go of it, because the server's count is the one that must hold.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from fraudd.aio import uncancelled
from fraudd.database.kill import Killer
from fraudd.database.permits import Permits
from fraudd.database.server import Server
from fraudd.database.session import Session
from fraudd.errors import BackPressure, TransientError, Unavailable
from fraudd.ports import Clock, Permit
from fraudd.telemetry import log

# Both show the status to every account, and MySQL without its performance schema, too.
_INSTANT = """\
SELECT NOW(3), ROUND(UNIX_TIMESTAMP(NOW(3)) * 1000),
       (SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM {schema}.global_status
         WHERE VARIABLE_NAME = 'Threads_running')"""
_OF_MARIADB = _INSTANT.format(schema="information_schema")
_OF_MYSQL = _INSTANT.format(schema="performance_schema")


class SnapshotTimeout(TransientError):
    """A snapshot that lasted too long: its locks would make others wait."""


class Snapshot:
    """One read-only view of the database, at one instant."""

    def __init__(self, session: Session, *, connecting_seconds: float) -> None:
        self._session = session
        self.query = session.query
        self.stream = session.stream
        #: How long it took to open the connection; 0 where it was warm.
        self.connecting_seconds = connecting_seconds
        #: The instant, as the session's time zone writes it, and in epoch milliseconds.
        self.as_of = datetime.min
        self.as_of_ms = 0
        #: How many statements the server was at work on, this one among them.
        self.threads_running = 0

    async def local_time(self, epoch_ms: int) -> datetime:
        """Write a time as the session's time zone does, as ``as_of`` of the past."""
        rows = await self.query("SELECT FROM_UNIXTIME(%(s)s)", {"s": epoch_ms / 1000})
        moment = rows.rows[0][0]
        assert isinstance(moment, datetime), "only NULL gives none"
        return moment

    async def begin(self, *, seconds: float) -> None:
        """Take the snapshot; a server that takes longer than so many seconds counts as lost."""
        begin = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
        if await self._session.execute(begin, seconds=seconds):
            # https://dev.mysql.com/doc/refman/8.4/en/commit.html: it may be ignored.
            raise Unavailable("database", f"the server gives no snapshot ({begin} warns)")
        instant = await self.query(_OF_MARIADB if self._session.mariadb else _OF_MYSQL)
        self.as_of = instant.rows[0][0]
        self.as_of_ms, self.threads_running = (int(value) for value in instant.rows[0][1:])

    async def end(self, *, seconds: float) -> None:
        """Let go of the snapshot, and of the metadata locks that came with it."""
        await self._session.execute("COMMIT", seconds=seconds)


@dataclass(slots=True)
class _Slot:
    """The room of one permit. The lock is held while its connection is used or closed."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    session: Session | None = None
    #: Monotonic seconds; None while there is no connection, or it is in use.
    idle_since: float | None = None


class Connections:
    """At most one connection for each permit."""

    def __init__(self, server: Server, permits: Permits, *, clock: Clock) -> None:
        self._server = server
        self._permits = permits
        self._clock = clock
        self._killer = Killer(server)
        self._slots = [_Slot() for _ in range(permits.maximum)]
        #: Something idles, or the limit fell.
        self._change = asyncio.Event()
        self._fell = False

    @property
    def open(self) -> int:
        """How many connections are open."""
        return sum(slot.session is not None for slot in self._slots)

    @asynccontextmanager
    async def snapshot(self, permit: Permit) -> AsyncIterator[Snapshot]:
        """Take a snapshot on the permit's connection, opening one if it has none.

        Raises ``TransientError``, ``Unavailable`` or ``BackPressure``, also from within. After
        any error the statement is killed and the connection closed, for nobody knows what is left
        on it. One that was lost is replaced at once, which tells a connection that broke from a
        server that is gone.
        """
        slot = self._slots[permit.number]
        limit = self._server.snapshot_timeout_seconds
        async with slot.lock:
            slot.idle_since = None
            try:
                async with asyncio.timeout(limit) as timeout:
                    snapshot = await self._begun(slot)
                    yield snapshot
                    await snapshot.end(seconds=self._server.connect_timeout_seconds)
            except BaseException as error:
                await _close(slot)
                if isinstance(error, TimeoutError) and timeout.expired():
                    detail = f"the snapshot lasted {limit:g} s"
                    raise SnapshotTimeout("snapshot_timeout", detail) from None
                if isinstance(error, TransientError) and error.type == "connection_lost":
                    await self._open(slot)
                    self._keep_warm(slot)
                raise
            self._keep_warm(slot)

    async def close_idle(self) -> None:
        """Close what idles for longer than ``idle_seconds``, and all that idles when the limit
        falls; for ever.
        """
        while True:
            await self._change_or(self._due())
            now = self._clock.monotonic()
            fell, self._fell = self._fell, False
            await self._close_idle_since(now if fell else now - self._server.idle_seconds)

    async def close(self) -> None:
        """Close every connection that nobody uses."""
        await self._close_idle_since(self._clock.monotonic())

    def _due(self) -> float | None:
        """In how many seconds the next connection has idled for too long."""
        idle = [slot.idle_since for slot in self._slots if slot.idle_since is not None]
        if not idle:
            return None
        return max(0.0, min(idle) + self._server.idle_seconds - self._clock.monotonic())

    async def _change_or(self, seconds: float | None) -> None:
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

    def _keep_warm(self, slot: _Slot) -> None:
        slot.idle_since = self._clock.monotonic()
        self._change.set()

    async def _begun(self, slot: _Slot) -> Snapshot:
        """Begin a snapshot; a warm connection that the server has dropped meanwhile is replaced.

        That it is still there is shown by the statement that begins the snapshot, not by one more.
        """
        if slot.session is not None:
            try:
                return await self._begin(slot.session, connecting_seconds=0.0)
            except TransientError:
                await _close(slot)
        began = self._clock.monotonic()
        session = await self._open(slot)
        return await self._begin(session, connecting_seconds=self._clock.monotonic() - began)

    async def _begin(self, session: Session, *, connecting_seconds: float) -> Snapshot:
        snapshot = Snapshot(session, connecting_seconds=connecting_seconds)
        await snapshot.begin(seconds=self._server.connect_timeout_seconds)
        before = self._permits.limit
        self._permits.observe(snapshot.threads_running)
        self._heed(before)
        return snapshot

    async def _open(self, slot: _Slot) -> Session:
        """Connect, to the end even if we are cut off: a connection half made counts, too."""
        try:
            await uncancelled(self._opened(slot))
        except BackPressure as error:
            before = self._permits.limit
            outage = self._permits.refused(connected=self.open > 0)
            self._heed(before)
            if outage:
                raise Unavailable("database", error.detail) from error
            raise
        assert slot.session is not None, "it was opened"
        return slot.session

    async def _opened(self, slot: _Slot) -> None:
        slot.session = await Session.open(self._server, self._killer)

    def _heed(self, before: int) -> None:
        """Where the limit fell, let go of what nobody uses."""
        if (limit := self._permits.limit) < before:
            log.info("permits.limited", limit=limit, max=self._permits.maximum)
            self._fell = True
            self._change.set()


async def _close(slot: _Slot) -> None:
    """Close the slot's connection, to the end even if we are cut off."""
    session, slot.idle_since = slot.session, None
    if session is not None:
        try:
            await uncancelled(session.close())
        finally:
            slot.session = None
