"""Errors of the database by cause: the installation, the server's load, or a feature file."""

from typing import Any

import pytest
from pymysql.err import InternalError, OperationalError

from fraudd.database.errors import Whose, translated
from fraudd.errors import BackPressure, RunError, TransientError, Unavailable

INSTALLATION = [
    (1044, "42000", "access denied to the database"),
    (1045, "28000", "access denied"),
    (1046, "3D000", "no database selected"),
    (1047, "08S01", "WSREP has not yet prepared node for application use"),
    (1049, "42000", "unknown database"),
    (1053, "08S01", "server shutdown in progress"),
    (1054, "42S22", "unknown column"),
    (1114, "HY000", "the table is full"),
    (1021, "HY000", "disk full"),
    (1041, "HY000", "out of memory"),
    (1129, "HY000", "host is blocked"),
    (1130, "HY000", "host is not allowed to connect"),
    (1142, "42000", "SELECT command denied"),
    (1143, "42000", "SELECT command denied for column"),
    (1146, "42S02", "no such table"),
    (1158, "08S01", "got an error reading communication packets"),
    (1159, "08S01", "got timeout reading communication packets"),
    (1160, "08S01", "got an error writing communication packets"),
    (1161, "08S01", "got timeout writing communication packets"),
    (1227, "42000", "access denied; you need the right"),
    (1290, "HY000", "the server runs with --super-read-only"),
    (1298, "HY000", "unknown time zone"),
    (1305, "42000", "function does not exist"),
    (1356, "HY000", "view references invalid tables or lacks rights"),
    (1370, "42000", "execute command denied"),
    (1449, "HY000", "the definer does not exist"),
    (1524, "HY000", "plugin is not loaded"),
    (1698, "28000", "access denied"),
    (1820, "HY000", "you must reset your password"),
    (1862, "HY000", "your password has expired"),
    (3118, "HY000", "account is locked"),
    (4151, "HY000", "account is locked"),
    # A pooler's own errors while its servers are unreachable.
    (9001, "HY000", "max connect timeout reached while reaching hostgroup"),
    (9501, "HY000", "timed-out waiting to acquire database connection"),
    # Numbers that no version has today.
    (7001, "08006", "the connection failed"),
    (7002, "28123", "the account is wrong"),
    (7003, "42000", "something is denied to the account"),
]
TRANSIENT = [
    (1205, "HY000", "lock_timeout"),
    (1213, "40001", "deadlock"),
    (1317, "70100", "query_killed"),
    (1412, "HY000", "table_altered"),
    (1927, "70100", "connection_lost"),
    (1969, "70100", "query_timeout"),
    (2006, None, "connection_lost"),
    (2013, None, "connection_lost"),
    (3024, "HY000", "query_timeout"),
    (4031, "HY000", "connection_lost"),
    (7004, "40003", "deadlock"),
]


def translation(error: Exception, whose: Whose = "feature file") -> Exception:
    try:
        with translated(whose):
            raise error
    except Exception as translated_error:
        return translated_error


def sent(code: int, state: str | None, text: str = "text") -> Any:
    return OperationalError(code, text, sqlstate=state)


@pytest.mark.parametrize(("code", "state", "text"), INSTALLATION)
def test_what_the_installation_lacks_is_an_outage(code: int, state: str, text: str) -> None:
    error = translation(sent(code, state, text))
    assert type(error) is Unavailable
    assert error.part == "database"
    assert error.detail == f"{text} (error {code})"


@pytest.mark.parametrize(
    ("code", "state", "text"), [row for row in INSTALLATION if row[0] not in range(7000, 8000)]
)
def test_a_driver_that_tells_no_sqlstate_changes_nothing(code: int, state: str, text: str) -> None:
    assert type(translation(sent(code, None, text))) is Unavailable


@pytest.mark.parametrize("whose", ["fraudd", "feature file"])
@pytest.mark.parametrize("code", [1040, 1203, 1226])
def test_a_server_without_a_free_connection_is_no_outage(code: int, whose: Whose) -> None:
    assert type(translation(sent(code, "42000"), whose)) is BackPressure


@pytest.mark.parametrize(("code", "state", "type_"), TRANSIENT)
def test_what_may_succeed_next_time_is_transient(code: int, state: str | None, type_: str) -> None:
    error = translation(sent(code, state))
    assert isinstance(error, TransientError)
    assert (error.type, error.answered) == (type_, True)


@pytest.mark.parametrize("code", [1064, 1222, 1242, 1690, 1792])
def test_any_other_error_of_a_feature_file_is_a_wrong_statement(code: int) -> None:
    error = translation(sent(code, "42000", "You have an error in your SQL syntax"))
    assert isinstance(error, RunError)
    assert error.type == "bad_statement"


@pytest.mark.parametrize("code", [1064, 1193, 1205, 1234, 1969, 3024, 2061, 9999, 12345])
def test_no_run_is_the_cause_if_a_statement_of_fraudd_fails(code: int) -> None:
    assert type(translation(sent(code, "HY000"), "fraudd")) is Unavailable


@pytest.mark.parametrize("whose", ["fraudd", "feature file"])
@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("reset"),
        BrokenPipeError("broken pipe"),
        EOFError("the end"),
        InternalError("Packet sequence number wrong - got 45 expected 1"),
    ],
)
def test_a_connection_that_breaks_is_lost(error: Exception, whose: Whose) -> None:
    lost = translation(error, whose)
    assert isinstance(lost, TransientError)
    assert lost.type == "connection_lost"


def test_what_else_a_driver_raises_blames_no_run_unless_its_own_statement_raised_it() -> None:
    assert type(translation(IndexError("out of range"), "fraudd")) is Unavailable
    error = translation(IndexError("out of range"))
    assert isinstance(error, RunError)
    assert (error.type, error.answered) == ("bad_statement", False)


def test_a_time_limit_of_fraudd_stays_what_it_is() -> None:
    assert isinstance(translation(TimeoutError()), TimeoutError)
