"""Translates the errors of MySQL and MariaDB into the errors of ports.

The cause decides: first whose statement failed, then the error's SQLSTATE class, then its number.
If fraudd cannot connect, or a statement of its own fails, no run is the cause.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from pymysql.err import MySQLError

from fraudd.errors import BackPressure, RunError, TransientError, Unavailable

#: Whose statement it is: one of fraudd's own, such as the login, or one of a feature file.
Whose = Literal["fraudd", "feature file"]

# https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
# https://mariadb.com/kb/en/mariadb-error-code-reference/
_TRANSIENT = {
    1205: "lock_timeout",
    1206: "lock_timeout",  # The lock table is full.
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
#: SQLSTATE classes and values that blame the installation, not a statement.
_UNAVAILABLE_STATES = (
    "08",  # The connection, or the server behind it.
    "28",  # The account or its password.
    "3D000",  # No database is selected.
    "42S02",  # A table is missing.
    "42S22",  # A column is missing.
    "53",  # Resources are exhausted.
    "HY001",  # Memory is exhausted.
)
#: Errors of a general SQLSTATE: rights, accounts, objects, space, or servers are missing.
_UNAVAILABLE = frozenset(
    {
        *(1044, 1045, 1141, 1142, 1143, 1147, 1227, 1370, 1698),  # A right is missing.
        *(1129, 1130, 1820, 1862, 3118, 3955, 4151),  # The account, its password, or its host.
        1524,  # The authentication plugin of an account is missing.
        *(1046, 1049, 1054, 1109, 1128, 1146, 1305, 1630, 1932),  # Something is not there.
        *(1356, 1449),  # A view refers to a table, a right, or an account that is missing.
        *(1813, 1814),  # The tablespace of a table is missing.
        *(3, 1021, 1030, 1114, 1878),  # Disks, or the space of a temporary table.
        *(1037, 1038, 1041, 1135),  # Memory, threads.
        *(1016, 1017, 1034, 1035, 1194, 1195),  # The files of a table.
        *(1042, 1043, 1047, 1053, 1077, 1079, 1080, 1152, 1184),  # The server stops, or is no part.
        *(1158, 1159, 1160, 1161),  # The network between the server and its client.
        *(1290, 1298, 1836, 1874, 3032, 3159, 3168),  # The server's mode, options, or time zones.
        *(2002, 2003, 2005, 2026),  # Connecting, TLS.
    }
)
#: No server has an error of these numbers. Poolers use them if their servers are unreachable:
#: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.troubleshooting.html
#: https://proxysql.com/documentation/proxysql-specific-error-codes/
_POOLERS = range(9000, 10_000)


@contextmanager
def translated(whose: Whose = "feature file") -> Iterator[None]:
    """Raise all errors of the driver as ``TransientError``, ``Unavailable`` or ``BackPressure``.

    An error of a feature file that has no other cause means that its statement is wrong. It
    becomes a ``RunError`` of type ``bad_statement``.
    """
    try:
        yield
    except MySQLError as error:
        raise _translate(error, whose) from error
    except TimeoutError:
        raise  # fraudd's own time limit, which is an OSError, too.
    except (OSError, EOFError) as error:
        raise TransientError("connection_lost", str(error)) from error
    except Exception as error:
        # Bytes that the driver cannot read, for example.
        detail = f"{type(error).__name__}: {error}"
        if whose == "fraudd":
            raise Unavailable("database", detail) from error
        raise RunError("bad_statement", detail, answered=False) from error


def _translate(error: MySQLError, whose: Whose) -> Exception:
    code, *rest = error.args or (0,)
    if not isinstance(code, int):
        # The driver lost its place in what the server sends.
        return TransientError("connection_lost", str(error), answered=False)
    text = f"{rest[0] if rest else error} (error {code})"
    if isinstance(error.__cause__, ssl.SSLError):
        return Unavailable("database", f"{text}: {error.__cause__}; see [database] ca_file")
    if code in _NO_ROOM:
        return BackPressure("database", text)
    transient = _TRANSIENT.get(code)
    if whose == "feature file":
        # A serialization failure has a class of its own.
        transient = transient or ("deadlock" if _state(error).startswith("40") else None)
    elif transient not in ("connection_lost", "query_killed"):
        return Unavailable("database", text)
    if transient is not None:
        return TransientError(transient, text.removesuffix(f" (error {code})"))
    if _blames_installation(code, _state(error), text):
        return Unavailable("database", text)
    return RunError("bad_statement", text)


def _blames_installation(code: int, state: str, text: str) -> bool:
    return (
        state.startswith(_UNAVAILABLE_STATES)
        or (state == "42000" and "denied" in text)
        or code in _UNAVAILABLE
        or code in _POOLERS
    )


def _state(error: MySQLError) -> str:
    return getattr(error, "sqlstate", None) or ""
