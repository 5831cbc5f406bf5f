"""Reads the state of the server, and the rights of the account, for ``fraudd check``."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from fraudd.database.connections import Snapshot
from fraudd.database.killer import Killer
from fraudd.database.server import Server
from fraudd.database.session import Session
from fraudd.errors import TransientError
from fraudd.ports import Clock

#: The deadline of the statement that tests deadlines: short, because a person waits for it.
TRIED_SECONDS = 0.2
#: How long that statement runs without a deadline.
_SLEEP_SECONDS = 1.0

_TLS = "SHOW SESSION STATUS LIKE 'Ssl_%'"
#: The zone of the session, and the default zone of the server, in seconds east of UTC.
_ZONES = """\
SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), NOW()),
       TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(),
                     CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', @@global.time_zone)),
       @@global.time_zone"""

#: Rights that an account needs only to write, as SHOW GRANTS names them: they change data,
#: schema, accounts or files, or pass rights on.
_WRITES = (
    "ALL PRIVILEGES",
    "INSERT",
    "UPDATE",
    "DELETE",
    "DELETE HISTORY",
    "CREATE",
    "ALTER",
    "DROP",
    "INDEX",
    "TRIGGER",
    "EVENT",
    "CREATE VIEW",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
    "CREATE USER",
    "CREATE ROLE",
    "FILE",
    "SUPER",
)
#: ``GRANT SELECT, UPDATE (`price`) ON `shop`.* TO ...``. The rest may contain a password hash.
_GRANT = re.compile(r"GRANT (?P<rights>.+?) ON (?P<where>(?:\*|`(?:[^`]|``)+`)\.\S+) TO ")

#: The lag of a replica in seconds. Aurora does not show it.
Lag = float | Literal["stopped", "not shown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """The current state of the server."""

    version: str
    #: The TLS version and the cipher of the connection. Both are empty without TLS.
    tls: str
    cipher: str
    max_connections: int
    #: The number of open connections.
    connected: int
    #: The number of statements that the server executes, including the statement that reads it.
    running: int
    #: Whether the server accepts writes from replication only, as a replica does.
    read_only: bool
    #: The zones of the session, and of sessions that set none, in seconds east of UTC.
    zone_seconds: int
    #: None: the server does not know its own zone.
    own_zone_seconds: int | None
    own_zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The account, as the server describes it."""

    #: Quoted as in GRANT and ALTER USER: ``'fraudd'@'localhost'``.
    name: str
    #: MAX_USER_CONNECTIONS. 0: no limit.
    max_connections: int
    #: Each right to write, and its scope: ``INSERT ON `shop`.*``.
    writes: list[str]


async def server_state(snapshot: Snapshot) -> ServerState:
    """Read the state of the server. Raises the exceptions that ``ports`` lists."""
    variables = await snapshot.query("SELECT VERSION(), @@max_connections, @@read_only")
    [(version, max_connections, read_only)] = variables.rows
    tls = {row[0]: row[1] for row in (await snapshot.query(_TLS)).rows}
    [(_, connected)] = (await snapshot.query("SHOW GLOBAL STATUS LIKE 'Threads_connected'")).rows
    [(zone, own_zone, own_name)] = (await snapshot.query(_ZONES)).rows
    return ServerState(
        version=version,
        tls=tls["Ssl_version"],
        cipher=tls["Ssl_cipher"],
        max_connections=int(max_connections),
        connected=int(connected),
        running=snapshot.threads_running,
        read_only=bool(int(read_only)),
        zone_seconds=int(zone),
        own_zone_seconds=None if own_zone is None else int(own_zone),
        own_zone=own_name,
    )


async def replica_lag(snapshot: Snapshot) -> Lag:
    """Read the lag of a replica.

    Raises ``Unavailable`` if the account lacks the right to read it, and the exceptions that
    ``ports`` lists.
    """
    mariadb = "MariaDB" in str((await snapshot.query("SELECT VERSION()")).rows[0][0])
    answer = await snapshot.query("SHOW SLAVE STATUS" if mariadb else "SHOW REPLICA STATUS")
    if not answer.rows:
        return "not shown"
    status: Mapping[str, Any] = dict(zip(answer.columns, answer.rows[0], strict=True))
    lag = status["Seconds_Behind_Master" if mariadb else "Seconds_Behind_Source"]
    return "stopped" if lag is None else float(lag)


async def deadline_seconds(server: Server, clock: Clock) -> float:
    """Run a statement into a deadline of ``TRIED_SECONDS``. Returns how long it really ran.

    Raises ``Unavailable``, ``BackPressure`` or ``RunError`` if the test is impossible.
    """
    timeouts = replace(server.timeouts, query_seconds=TRIED_SECONDS)
    short = replace(server, timeouts=timeouts)
    session = await Session.open(short, Killer(short))
    try:
        began = clock.monotonic()
        try:
            # At the deadline, MySQL ends a SLEEP with a result, MariaDB with an error.
            await session.query(f"SELECT SLEEP({_SLEEP_SECONDS})")
        except TransientError as error:
            if error.type != "query_timeout":
                raise
        return clock.monotonic() - began
    finally:
        await session.close()


async def account(snapshot: Snapshot) -> Account:
    """Read the connection's account. Raises the exceptions that ``ports`` lists."""
    # If the account has a limit of its own, the session's value is that limit:
    # https://dev.mysql.com/doc/refman/8.4/en/user-resources.html
    answer = await snapshot.query("SELECT CURRENT_USER(), CURRENT_ROLE(), @@max_user_connections")
    [(current, role, max_connections)] = answer.rows
    # MariaDB includes the rights of the active role. MySQL includes them on request.
    using = f" FOR CURRENT_USER() USING {role}" if str(role).startswith("`") else ""
    grants = await snapshot.query(f"SHOW GRANTS{using}")
    user, _, host = current.rpartition("@")
    return Account(
        name=f"'{user}'@'{host}'",
        max_connections=int(max_connections),
        writes=rights_to_write(grant for (grant,) in grants.rows),
    )


def rights_to_write(grants: Iterable[str]) -> list[str]:
    """Pick the rights to write, each with its scope, from the lines of SHOW GRANTS."""
    writes: dict[str, None] = {}
    for grant in grants:
        match = _GRANT.match(grant)
        if match is not None:
            without_columns = re.sub(r" \([^)]*\)", "", match["rights"])
            rights = without_columns.split(", ")
            writes |= dict.fromkeys(
                f"{right} ON {match['where']}" for right in _WRITES if right in rights
            )
    return list(writes)
