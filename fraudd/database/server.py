"""The platform's database server: its address, its terms of use, and how to connect to it."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import aiomysql
from pymysql.constants import CLIENT, COMMAND
from pymysql.err import MySQLError, OperationalError

from fraudd.database.errors import translated
from fraudd.errors import Misconfigured, TransientError, Unavailable
from fraudd.telemetry import log

#: fraudd waits at most this time for the server to close a connection.
_QUIT_SECONDS = 2.0
_READ_BYTES = 65_536


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


class Connection(aiomysql.Connection):  # type: ignore[misc]
    """The driver's connection, which fails if TLS is configured and the server offers none."""

    async def open(self) -> None:
        """Connect. After an error or a cancellation nothing stays open."""
        try:
            await self._connect()
        except BaseException:
            if self._writer is not None:
                self._writer.transport.close()
            raise

    async def _request_authentication(self) -> None:
        # Without this check, the driver sends the password in plain text to a server that claims
        # not to support TLS.
        if self._ssl_context and not self.server_capabilities & CLIENT.SSL:
            raise OperationalError(2026, "the server offers no TLS")
        await super()._request_authentication()

    @property
    def mariadb(self) -> bool:
        """Whether the server reports itself as MariaDB."""
        return "MariaDB" in self.get_server_info()

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


async def connect(server: Server, *, database: str | None) -> Connection:
    """Open a connection and set up its session, with or without a default database.

    Raises ``Unavailable``, or ``BackPressure`` if the server has no free connection.
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
        with translated():
            async with asyncio.timeout(seconds):
                await connection.open()
                for statement in _session_statements(server, mariadb=connection.mariadb):
                    await connection.query(statement)
    except BaseException as error:
        connection.close()
        match error:
            case TimeoutError():
                detail = f"no connection to {server.host}:{server.port} within {seconds:g} s"
                raise Unavailable("database", detail) from None
            case TransientError(detail=detail):
                # A connection that breaks while it is opened means that the server is down.
                raise Unavailable("database", detail) from error
        raise
    return connection


async def _password(server: Server) -> str:
    try:
        # The driver encodes passwords as Latin-1, and servers expect UTF-8.
        return (await server.password()).encode().decode("latin-1")
    except Misconfigured as error:
        # The file was readable at start, so this is an outage.
        raise Unavailable("database", str(error)) from error


def _session_statements(server: Server, *, mariadb: bool) -> Iterator[str]:
    """The statements that set isolation level, time zone, and the deadline of each statement."""
    yield "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"
    seconds = server.timeouts.query_seconds
    # https://mariadb.com/kb/en/aborting-statements/ counts seconds,
    # https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html milliseconds.
    deadline = (
        f"max_statement_time = {seconds:.3f}"
        if mariadb
        else f"max_execution_time = {seconds * 1000:.0f}"
    )
    yield f"SET SESSION {deadline}, time_zone = '{server.time_zone}'"
