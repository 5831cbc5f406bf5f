"""How a database server is: its version, load, clock zone, and whether it keeps deadlines."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from fraudd.database.connections import Snapshot
from fraudd.database.kill import Killer
from fraudd.database.server import Server
from fraudd.database.session import Session
from fraudd.errors import TransientError
from fraudd.ports import Clock

#: The deadline that is tried: short, for somebody waits for it.
TRIED_SECONDS = 0.2
#: A statement without a deadline would last so long.
_SLEEP_SECONDS = 1.0

_TLS = "SHOW SESSION STATUS LIKE 'Ssl_%'"
#: The session's zone, and that of sessions that set none, as seconds east of UTC.
_ZONES = """\
SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), NOW()),
       TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(),
                     CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', @@global.time_zone)),
       @@global.time_zone"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """A server, as it is now."""

    version: str
    #: Of the connection; both empty without TLS.
    tls: str
    cipher: str
    #: How many connections the server takes, and has.
    max_connections: int
    connected: int
    #: How many statements it is at work on, that which asked among them.
    running: int
    #: Whether it takes no writes but those of replication: a replica, most likely.
    read_only: bool
    #: The session's zone, and that of others who set none, in seconds east of UTC; None: unknown.
    zone_seconds: int
    own_zone_seconds: int | None
    own_zone: str


async def look(snapshot: Snapshot) -> Vitals:
    """Ask a server how it is; raises what ``ports`` lists."""
    told = await snapshot.query("SELECT VERSION(), @@max_connections, @@read_only")
    [(version, most, read_only)] = told.rows
    tls = {row[0]: row[1] for row in (await snapshot.query(_TLS)).rows}
    [(_, connected)] = (await snapshot.query("SHOW GLOBAL STATUS LIKE 'Threads_connected'")).rows
    [(zone, own_zone, own_name)] = (await snapshot.query(_ZONES)).rows
    return Vitals(
        version=version,
        tls=tls["Ssl_version"],
        cipher=tls["Ssl_cipher"],
        max_connections=int(most),
        connected=int(connected),
        running=snapshot.threads_running,
        read_only=bool(int(read_only)),
        zone_seconds=int(zone),
        own_zone_seconds=None if own_zone is None else int(own_zone),
        own_zone=own_name,
    )


#: A replica's lag in seconds; it does not replicate now; the server does not show it (Aurora).
Lag = float | Literal["stopped", "not shown"]


async def replica_lag(snapshot: Snapshot) -> Lag:
    """How far a replica lags behind.

    Raises ``RunError`` of type ``bad_statement`` where the account may not see it, and what
    ``ports`` lists.
    """
    mariadb = "MariaDB" in str((await snapshot.query("SELECT VERSION()")).rows[0][0])
    told = await snapshot.query("SHOW SLAVE STATUS" if mariadb else "SHOW REPLICA STATUS")
    if not told.rows:
        return "not shown"
    status: Mapping[str, Any] = dict(zip(told.columns, told.rows[0], strict=True))
    lag = status["Seconds_Behind_Master" if mariadb else "Seconds_Behind_Source"]
    return "stopped" if lag is None else float(lag)


async def deadline_seconds(server: Server, clock: Clock) -> float:
    """Let a statement run into a deadline of ``TRIED_SECONDS``; gives how long it really ran.

    Raises ``Unavailable``, ``BackPressure`` or ``RunError`` where it could not be tried.
    """
    short = replace(server, query_timeout_seconds=TRIED_SECONDS)
    session = await Session.open(short, Killer(short))
    try:
        began = clock.monotonic()
        try:
            # MySQL wakes a SLEEP, and says so by its result; MariaDB fails it.
            await session.query(f"SELECT SLEEP({_SLEEP_SECONDS})")
        except TransientError as error:
            if error.type != "query_timeout":
                raise
        return clock.monotonic() - began
    finally:
        await session.close()
