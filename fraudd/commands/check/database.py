"""Checks of the database: the server and the account."""

from collections.abc import Iterator, Sequence

from fraudd.clock import SystemClock
from fraudd.commands.check.features import Database, check_features
from fraudd.commands.check.findings import Finding, Findings, failed, ok, warning
from fraudd.config import Config
from fraudd.database import inspection
from fraudd.database.connections import Connections
from fraudd.database.inspection import TRIED_SECONDS, Account, Lag, ServerState
from fraudd.errors import Unavailable
from fraudd.ports import Permit
from fraudd.scoring.feature_files import FeatureFiles
from fraudd.scoring.model import XgboostModel
from fraudd.wiring import database_permits, database_server

#: A statement may end this much after its timeout: the machine may be busy, the network slow.
_LATE_SECONDS = 0.5


async def check_database(
    settings: Config,
    feature_files: FeatureFiles | None,
    model: XgboostModel | None,
    entities: Sequence[str],
    findings: Findings,
) -> None:
    """Check the server and the account, and the feature files if they load."""
    with findings.caught("database: ", fix="correct [database]"):
        clock = SystemClock()
        server = database_server(settings)
        permits = database_permits(settings, clock)
        connections = Connections(server, permits, clock=clock)
        permit = await permits.acquire()
        try:
            async with connections.snapshot(permit) as snapshot:
                state = await inspection.server_state(snapshot)
                account = await inspection.account(snapshot)
            findings.add(*judge_server(settings, state))
            findings.add(*judge_replica(settings, state))
            await _check_lag(settings, state, connections, permit, findings)
            findings.add(*judge_account(settings, account))
            # Running daemons may leave only one free connection, so never open two at a time.
            await connections.close()
            with findings.caught("deadlines: "):
                findings.add(judge_deadline(await inspection.deadline_seconds(server, clock)))
            if feature_files is not None:
                database = Database(
                    connections=connections,
                    permit=permit,
                    clock=clock,
                    seconds=settings.consumers.run_timeout_seconds,
                )
                await check_features(feature_files, model, entities, database, findings)
        finally:
            permit.release()
            await connections.close()


async def _check_lag(
    settings: Config,
    state: ServerState,
    connections: Connections,
    permit: Permit,
    findings: Findings,
) -> None:
    """Check the lag of a replica, if the configuration says that the server is one."""
    allowed = settings.database.replica_lag_seconds
    if not (state.read_only and allowed):
        return
    try:
        async with connections.snapshot(permit) as snapshot:
            lag = await inspection.replica_lag(snapshot)
    except Unavailable as error:
        findings.add(
            warning(
                f"replica: lag not checked: {error.detail}",
                fix=f"GRANT one of these to {settings.database.user}; only 'fraudd check' needs it",
            )
        )
    else:
        findings.add(judge_lag(lag, allowed))


def judge_server(settings: Config, state: ServerState) -> Iterator[Finding]:
    """Judge TLS, free connections, load and time zone of the server."""
    database = settings.database
    tls = f"{state.tls} ({state.cipher}), verified" if state.tls else "no TLS, on this machine"
    yield ok(f"database: {state.version} at {database.host}:{database.port}, {tls}")
    yield _judge_connections(settings, state)
    yield _judge_load(settings, state)
    if state.own_zone_seconds is not None and state.own_zone_seconds != state.zone_seconds:
        zone = state.own_zone
        if zone == "SYSTEM":
            zone = _offset(state.own_zone_seconds)
        yield warning(
            f"time zone: time_zone is {database.time_zone}, but the server uses {zone}; if the"
            " platform writes DATETIME in server time, all time windows are shifted",
            fix=f'if so, set [database] time_zone = "{zone}"',
        )
    else:
        yield ok(f"time zone: {database.time_zone}, the same as the server's")


def _judge_connections(settings: Config, state: ServerState) -> Finding:
    needed, maximum = _needed_connections(settings), state.max_connections
    usage = (
        f"server: {state.connected} of {maximum} connections in use; fraudd needs up to {needed}"
    )
    if needed >= maximum:
        return failed(
            f"{usage}, too many for this server",
            fix="raise the server's max_connections, or lower [consumers] fleet_size or [database]"
            " max_connections",
        )
    if needed > maximum - state.connected:
        return warning(
            usage,
            fix="unless these are fraudd's own, find out who holds them: SHOW PROCESSLIST",
        )
    return ok(usage)


def _judge_load(settings: Config, state: ServerState) -> Finding:
    load = f"server: {state.running} running threads"
    if state.running > settings.busy_threads:
        return warning(
            f"{load}, above [database] busy_threads ({settings.busy_threads}); fraudd would now"
            " use fewer connections",
            fix="if this is the usual load, raise [database] busy_threads",
        )
    return ok(f"{load}; busy above {settings.busy_threads}")


def judge_replica(settings: Config, state: ServerState) -> Iterator[Finding]:
    """Compare the configured replication with the server."""
    lag = settings.database.replica_lag_seconds
    if state.read_only and not lag:
        yield warning(
            "replica: the server is read-only, so it is probably a replica; without a lag, new"
            " entities count as unknown",
            fix="set [database] replica_lag_seconds to the largest expected lag",
        )
    elif lag and not state.read_only:
        yield warning(
            f"replica: [database] replica_lag_seconds is {lag:g}, but the server is not a replica;"
            " fraudd looks twice for unknown entities",
            fix="remove [database] replica_lag_seconds",
        )


def judge_lag(lag: Lag, allowed_seconds: float) -> Finding:
    """Judge the lag of a replica."""
    if lag == "not shown":
        return ok(f"replica: does not show its lag; fraudd assumes up to {allowed_seconds:g} s")
    if lag == "stopped":
        return failed(
            "replica: replication has stopped, so scores use old data",
            fix="run SHOW REPLICA STATUS on the replica",
        )
    state = f"replica: lags {lag:g} s; [database] replica_lag_seconds is {allowed_seconds:g}"
    if lag > allowed_seconds:
        return warning(
            f"{state}, so new entities count as unknown",
            fix="raise it, or find out what delays the replica",
        )
    return ok(state)


def judge_account(settings: Config, account: Account) -> Iterator[Finding]:
    """Judge the account's connection limit and its rights."""
    needed = _needed_connections(settings)
    formula = f"{needed}: fleet_size x (max_connections + 1 that kills statements)"
    alter = f"ALTER USER {account.name} WITH MAX_USER_CONNECTIONS {needed}"
    if account.max_connections == 0:
        yield warning(
            "account: the server does not limit its connections; a limit would apply to all"
            " daemons together",
            fix=alter,
        )
    elif account.max_connections < needed:
        yield failed(
            f"account: MAX_USER_CONNECTIONS is {account.max_connections}; fraudd needs {formula}",
            fix=f"lower [consumers] fleet_size or [database] max_connections, or {alter}",
        )
    else:
        yield ok(
            f"account: MAX_USER_CONNECTIONS is {account.max_connections}; fraudd needs {formula}"
        )
    if account.writes:
        yield failed(
            f"account: {account.name} may write ({'; '.join(account.writes)})",
            fix="REVOKE all rights except SELECT",
        )
    else:
        yield ok(f"account: {account.name} may only read")


def judge_deadline(seconds: float) -> Finding:
    """Judge whether the server stopped a statement at its timeout."""
    result = (
        f"deadlines: a statement with a timeout of {TRIED_SECONDS} s ended after {seconds:.1f} s"
    )
    if seconds > TRIED_SECONDS + _LATE_SECONDS:
        return failed(
            f"{result}; the server ignores timeouts, or a proxy drops SET SESSION",
            fix="connect without a proxy, to MySQL 8.0 or MariaDB 10.6 or newer",
        )
    return ok(result)


def _offset(seconds: int) -> str:
    """Write an offset from UTC as ``+09:00``."""
    hours, minutes = divmod(abs(seconds) // 60, 60)
    return f"{'-' if seconds < 0 else '+'}{hours:02}:{minutes:02}"


def _needed_connections(settings: Config) -> int:
    """Return the most connections of all daemons together, including those that kill statements."""
    return settings.consumers.fleet_size * (settings.database.max_connections + 1)
