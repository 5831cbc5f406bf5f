"""The platform's database server: its address, its terms of use, and how to connect to it."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiomysql
from pymysql.constants import CLIENT, COMMAND
from pymysql.err import MySQLError, OperationalError

from fraudd.database.errors import translated
from fraudd.errors import RunError, Unavailable
from fraudd.telemetry import log

#: fraudd waits at most this time for the server to close a connection.
_QUIT_SECONDS = 2.0
_READ_BYTES = 65_536

#: CONNECTION_ID(), because a proxy such as RDS Proxy greets clients with numbers of its own.
_PLACE = """\
SELECT CONNECTION_ID(), CONCAT_WS(' ', {server}),
       (SELECT host FROM information_schema.processlist WHERE id = CONNECTION_ID())"""
_MARIADB_PLACE = _PLACE.format(server="@@server_id, @@hostname, @@port, @@datadir, @@version")
_MYSQL_PLACE = _PLACE.format(server="@@server_uuid, @@hostname, @@port")

#: An IP address and a port.
Address = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """The time limits of connections, snapshots and statements."""

    connect_seconds: float
    query_seconds: float
    snapshot_seconds: float
    #: An unused connection is closed after this time.
    idle_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The address of the database, and the terms of its use."""

    host: str
    port: int
    user: str
    name: str
    #: Read for each connection, because passwords change.
    password: Callable[[], Awaitable[str]] = field(repr=False)
    #: Whether the password is an RDS token, which is sent in plain text inside TLS.
    iam_auth: bool = False
    tls: ssl.SSLContext | None
    time_zone: str
    timeouts: Timeouts


@dataclass(frozen=True, slots=True)
class Place:
    """The server and the connection of a statement. One name may lead to several servers."""

    #: The connection's number on its server.
    number: int
    #: Names of the server that no other server has.
    server: str
    #: The connection's host and port, as the server's process list shows them.
    client: str


class Connection(aiomysql.Connection):  # type: ignore[misc]
    """The driver's connection, which fails if TLS is configured and the server offers none."""

    #: Set by ``connect``.
    place: Place
    #: The address that the connection leads to.
    peer: Address
    _host: str

    async def open(self, address: Address | None) -> None:
        """Connect, to an address instead of the server's name if one is given.

        After an error or a cancellation nothing stays open.
        """
        self._name = self._host
        if address is not None:
            self._host, self._port = address
        try:
            await self._connect()
            self.peer = self._writer.get_extra_info("peername")[:2]
        except BaseException:
            if self._writer is not None:
                self._writer.transport.close()
            raise

    async def _request_authentication(self) -> None:
        # Without this check, the driver sends the password in plain text to a server that claims
        # not to support TLS.
        if self._ssl_context and not self.server_capabilities & CLIENT.SSL:
            raise OperationalError(2026, "the server offers no TLS")
        # The certificate is issued for the name, also if the address was given.
        self._host = self._name
        await super()._request_authentication()

    @property
    def mariadb(self) -> bool:
        """Whether the server reports itself as MariaDB."""
        return "MariaDB" in self.get_server_info()

    async def one_row(self, sql: str) -> tuple[Any, ...] | None:
        """Run a statement that returns at most one row."""
        await self.query(sql)
        result: Any = self._result
        rows = result.rows
        return rows[0] if rows else None

    @property
    def warnings(self) -> int:
        """The number of warnings of the last statement."""
        return self._result.warning_count if self._result is not None else 0

    async def quit(self) -> None:
        """Close, and wait for the server to close: until then it counts the connection."""
        try:
            # A broken connection is closed already.
            if not self.closed:
                async with asyncio.timeout(_QUIT_SECONDS):
                    self._result = None
                    await self._execute_command(COMMAND.COM_QUIT, "")
                    while await self._reader.read(_READ_BYTES):
                        pass
        except (OSError, MySQLError, TimeoutError) as error:
            log.debug("connection.closed_by_server", error=str(error))
        finally:
            self.close()


async def connect(
    server: Server, *, database: str | None, address: Address | None = None
) -> Connection:
    """Open a connection and set up its session, with or without a default database.

    ``address`` leads to one of the servers that share the name. Raises ``Unavailable``, or
    ``BackPressure`` if the server has no free connection.
    """
    connection = Connection(
        host=server.host,
        port=server.port,
        user=server.user,
        password=await _password(server),
        db=database,
        ssl=server.tls,
        # https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html
        auth_plugin="mysql_clear_password" if server.iam_auth else "",
        charset="utf8mb4",
        autocommit=True,
        program_name="fraudd",
    )
    seconds = server.timeouts.connect_seconds
    try:
        with translated("fraudd"):
            async with asyncio.timeout(seconds):
                await connection.open(address)
                await connection.query(_session_statement(server, mariadb=connection.mariadb))
                row = await connection.one_row(
                    _MARIADB_PLACE if connection.mariadb else _MYSQL_PLACE
                )
                assert row is not None, "it selects from no table"
                connection.place = Place(*row)
    except BaseException as error:
        connection.close()
        match error:
            case TimeoutError():
                detail = f"no connection to {server.host}:{server.port} within {seconds:g} s"
                raise Unavailable("database", detail) from None
            case RunError(detail=detail):
                # A connection that breaks while it is opened means that the server is down.
                raise Unavailable("database", detail) from error
        raise
    return connection


async def _password(server: Server) -> str:
    try:
        # The driver encodes passwords as Latin-1, and servers expect UTF-8.
        return (await server.password()).encode().decode("latin-1")
    except Unavailable:
        raise
    except Exception as error:
        # The file was readable at start, so this is an outage.
        raise Unavailable("database", f"no password: {error}") from error


def _session_statement(server: Server, *, mariadb: bool) -> str:
    """The statement that sets isolation level, time zone, and the deadline of each statement."""
    seconds = server.timeouts.query_seconds
    # https://mariadb.com/kb/en/aborting-statements/ counts seconds,
    # https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html milliseconds.
    settings = (
        f"tx_isolation = 'REPEATABLE-READ', max_statement_time = {seconds:.3f}"
        if mariadb
        else f"transaction_isolation = 'REPEATABLE-READ', max_execution_time = {seconds * 1000:.0f}"
    )
    return f"SET SESSION {settings}, time_zone = '{server.time_zone}'"
