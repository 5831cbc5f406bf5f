"""The platform's database server: on what terms it is used, and how a connection is opened."""

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

#: A server that does not hang up within this time after a goodbye is left to its own devices.
_GOODBYE_SECONDS = 2.0
_MAX_BYTES_A_READ = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the database is and on what terms to use it; ``password`` is asked at each connect."""

    host: str
    port: int
    user: str
    name: str
    password: Callable[[], Awaitable[str]] = field(repr=False)
    #: Whether the password is a token of RDS, which is sent as it is, inside TLS.
    iam_auth: bool = False
    tls: ssl.SSLContext | None
    time_zone: str
    connect_timeout_seconds: float
    query_timeout_seconds: float
    snapshot_timeout_seconds: float
    idle_seconds: float


class Connection(aiomysql.Connection):  # type: ignore[misc]
    """The driver's connection; where TLS is asked for, it never goes on without."""

    async def open(self) -> None:
        """Connect; cut off or failed, nothing stays open."""
        try:
            await self._connect()
        except BaseException:
            if self._writer is not None:
                self._writer.transport.close()
            raise

    async def _request_authentication(self) -> None:
        # The driver would send the password in the clear to whoever says that it has no TLS.
        if self._ssl_context and not self.server_capabilities & CLIENT.SSL:
            raise OperationalError(2026, "the server offers no TLS")
        await super()._request_authentication()

    @property
    def mariadb(self) -> bool:
        """Whether the server says that it is a MariaDB."""
        return "MariaDB" in self.get_server_info()

    @property
    def warnings(self) -> int:
        """How many warnings the last statement gave."""
        return self._result.warning_count if self._result is not None else 0

    async def say_goodbye(self) -> None:
        """Close, and wait until the server has let go: until then it counts the connection."""
        try:
            # One that broke is closed already.
            if not self.closed:
                async with asyncio.timeout(_GOODBYE_SECONDS):
                    self._result = None
                    await self._execute_command(COMMAND.COM_QUIT, "")
                    while await self._reader.read(_MAX_BYTES_A_READ):
                        pass
        except (OSError, MySQLError, TimeoutError) as error:
            log.debug("connection.no_goodbye", error=str(error))
        finally:
            self.close()


async def connect(server: Server, *, database: str | None) -> Connection:
    """Open a connection whose session is set up, with or without a default database.

    Raises ``Unavailable``, or ``BackPressure`` where the server has no room for one more.
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
    try:
        with translated():
            async with asyncio.timeout(server.connect_timeout_seconds):
                await connection.open()
                for statement in _session(server, mariadb=connection.mariadb):
                    await connection.query(statement)
    except BaseException as error:
        connection.close()
        match error:
            case TimeoutError():
                seconds = server.connect_timeout_seconds
                raise Unavailable("database", f"no connection within {seconds:g} s") from None
            case TransientError(detail=detail):
                # Lost while it is made: the server is not there.
                raise Unavailable("database", detail) from error
        raise
    return connection


async def _password(server: Server) -> str:
    try:
        # The driver writes passwords in Latin-1; servers take their bytes to be UTF-8.
        return (await server.password()).encode().decode("latin-1")
    except Misconfigured as error:
        # It could be read at start: this is an outage like any other.
        raise Unavailable("database", str(error)) from error


def _session(server: Server, *, mariadb: bool) -> Iterator[str]:
    """The statements that set a session up: isolation, time zone, deadline of each statement."""
    yield "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"
    seconds = server.query_timeout_seconds
    # https://mariadb.com/kb/en/aborting-statements/ counts seconds,
    # https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html milliseconds.
    deadline = (
        f"max_statement_time = {seconds:.3f}"
        if mariadb
        else f"max_execution_time = {seconds * 1000:.0f}"
    )
    yield f"SET SESSION {deadline}, time_zone = '{server.time_zone}'"
