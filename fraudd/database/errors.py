"""Translates the errors of MySQL and MariaDB into the errors of ports."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from pymysql.err import MySQLError

from fraudd.errors import BackPressure, RunError, TransientError, Unavailable

# https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
# https://mariadb.com/kb/en/mariadb-error-code-reference/
_TRANSIENT = {
    1205: "lock_timeout",
    1213: "deadlock",
    1317: "query_killed",
    1412: "table_altered",
    1927: "connection_lost",  # MariaDB: connection was killed
    1969: "query_timeout",  # MariaDB: max_statement_time exceeded
    2006: "connection_lost",
    2013: "connection_lost",
    2055: "connection_lost",
    3024: "query_timeout",  # MySQL: max_execution_time exceeded
    4031: "connection_lost",  # MySQL: disconnected for inactivity
}
_NO_ROOM = frozenset(
    {
        1040,  # Too many connections.
        1203,  # Max_user_connections exceeded.
        1226,  # A resource of the account is exhausted.
    }
)
_UNAVAILABLE = frozenset(
    {
        1044,  # Access denied to the database.
        1045,  # Access denied: user or password.
        1049,  # Unknown database.
        1053,  # Server shutdown in progress.
        1054,  # Unknown column.
        1129,  # Host is blocked.
        1130,  # Host is not allowed to connect.
        1142,  # Command denied on a table.
        1146,  # No such table.
        3118,  # MySQL: the account is locked.
        4151,  # MariaDB: the account is locked.
        2002,  # Cannot connect.
        2003,  # Cannot connect to the host.
        2026,  # TLS is impossible.
    }
)


@contextmanager
def translated() -> Iterator[None]:
    """Raise MySQL's errors as ``TransientError``, ``Unavailable`` or ``BackPressure``.

    Any other error means that a statement is wrong. It becomes a ``RunError`` of type
    ``bad_statement``.
    """
    try:
        yield
    except MySQLError as error:
        raise _translate(error) from error
    except TimeoutError:
        raise  # Our own time limit, which is an OSError too.
    except OSError as error:
        raise TransientError("connection_lost", str(error)) from error


def _translate(error: MySQLError) -> Exception:
    code, *rest = error.args or (0,)
    text = str(rest[0]) if rest else str(error)
    if isinstance(error.__cause__, ssl.SSLError):
        return Unavailable("database", f"{text}: {error.__cause__}; see [database] ca_file")
    if code in _NO_ROOM:
        return BackPressure("database", f"{text} (error {code})")
    if code in _UNAVAILABLE:
        return Unavailable("database", f"{text} (error {code})")
    if code in _TRANSIENT:
        return TransientError(_TRANSIENT[code], text)
    return RunError("bad_statement", f"{text} (error {code})")
