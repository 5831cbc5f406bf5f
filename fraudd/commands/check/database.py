"""The part of ``fraudd check`` that asks the database: the server, and the account."""

from collections.abc import Iterator, Sequence

from fraudd.clock import SystemClock
from fraudd.commands.check.features import Database, see_features
from fraudd.commands.check.findings import Finding, Findings, failed, ok, warning
from fraudd.config import Config
from fraudd.database import inspection
from fraudd.database.connections import Connections
from fraudd.database.inspection import TRIED_SECONDS, Account, Lag, ServerState
from fraudd.errors import RunError
from fraudd.ports import Permit
from fraudd.scoring.feature_files import FeatureFiles
from fraudd.scoring.model import XgboostModel
from fraudd.wiring import database_permits, database_server

#: A statement may end this much after its deadline: the machine is busy, the way is long.
_LATE_SECONDS = 0.5


async def see_database(
    settings: Config,
    feature_files: FeatureFiles | None,
    model: XgboostModel | None,
    entities: Sequence[str],
    findings: Findings,
) -> None:
    """Look at the server and the account, and at the feature files where they load."""
    with findings.caught("database: ", remedy="; see [database]"):
        clock = SystemClock()
        server = database_server(settings)
        permits = database_permits(settings, clock)
        connections = Connections(server, permits, clock=clock)
        permit = await permits.acquire()
        try:
            async with connections.snapshot(permit) as snapshot:
                vitals = await inspection.server_state(snapshot)
                account = await inspection.account(snapshot)
            findings.add(*judge_server(settings, vitals))
            findings.add(*judge_replica(settings, vitals))
            await _see_lag(settings, vitals, connections, permit, findings)
            findings.add(*judge_account(settings, account))
            # One connection at a time is all that a fleet at work may have left.
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
                await see_features(feature_files, model, entities, database, findings)
        finally:
            permit.release()
            await connections.close()


async def _see_lag(
    settings: Config,
    vitals: ServerState,
    connections: Connections,
    permit: Permit,
    findings: Findings,
) -> None:
    """Look at how far a replica lags behind, where the configuration says that it is one."""
    allowed = settings.database.replica_lag_seconds
    if not (vitals.read_only and allowed):
        return
    try:
        async with connections.snapshot(permit) as snapshot:
            lag = await inspection.replica_lag(snapshot)
    except RunError as error:
        if error.type != "bad_statement":
            raise
        findings.add(
            warning(
                f"replica: its lag cannot be looked at: {error.detail}: GRANT one of these to"
                f" {settings.database.user}; only 'fraudd check' needs it"
            )
        )
    else:
        findings.add(judge_lag(lag, allowed))


def judge_server(settings: Config, vitals: ServerState) -> Iterator[Finding]:
    """Judge the way to the server, its room, its load and its zone."""
    database = settings.database
    tls = f"{vitals.tls} ({vitals.cipher}), verified" if vitals.tls else "no TLS, on this machine"
    yield ok(f"database: {vitals.version} at {database.host}:{database.port}, {tls}")
    needed, free = _needed(settings), vitals.max_connections - vitals.connected
    room = (
        f"server: takes {vitals.max_connections} connections and has {vitals.connected}; fraudd"
        f" needs up to {needed}"
    )
    if needed >= vitals.max_connections:
        yield failed(
            f"{room}: raise the server's max_connections, or lower [consumers] fleet_size or"
            " [database] max_connections"
        )
    elif needed > free:
        yield warning(f"{room}: unless its own are among them, it is nearly full: see who has them")
    else:
        yield ok(room)
    load = f"server: at work on {vitals.running} statements"
    if vitals.running > settings.busy_threads:
        yield warning(
            f"{load}, above [database] busy_threads ({settings.busy_threads}): fraudd would take"
            " fewer connections now; if this is its usual load, raise it"
        )
    else:
        yield ok(f"{load}; busy above {settings.busy_threads}")
    if vitals.own_zone_seconds not in (None, vitals.zone_seconds):
        yield warning(
            f"time zone: [database] time_zone is {database.time_zone}, the server's own is"
            f" {vitals.own_zone}: it must be the zone in which the platform writes its DATETIME"
            " columns, or windows are hours off"
        )
    else:
        yield ok(f"time zone: {database.time_zone}, as the server's own")


def judge_replica(settings: Config, vitals: ServerState) -> Iterator[Finding]:
    """Compare what the configuration says of replication with what the server is."""
    lag = settings.database.replica_lag_seconds
    if vitals.read_only and not lag:
        yield warning(
            "replica: the server is read-only, as a replica is: [database] replica_lag_seconds"
            " must say how far it may lag behind, or new entities count as unknown"
        )
    elif lag and not vitals.read_only:
        yield warning(
            f"replica: [database] replica_lag_seconds is {lag:g}, but the server is no replica:"
            " unknown entities are looked for twice; remove it"
        )


def judge_lag(lag: Lag, allowed_seconds: float) -> Finding:
    """Judge how far the replica lags behind."""
    if lag == "not shown":
        return ok(
            f"replica: it does not show its lag; believed to be {allowed_seconds:g} s at most"
        )
    if lag == "stopped":
        return failed(
            "replica: it is not replicating, so that scores are those of a platform that stands"
            " still: see SHOW REPLICA STATUS there"
        )
    told = f"replica: lags {lag:g} s behind, [database] replica_lag_seconds is {allowed_seconds:g}"
    if lag > allowed_seconds:
        return warning(f"{told}: new entities count as unknown: raise it, or see what holds it up")
    return ok(told)


def judge_account(settings: Config, account: Account) -> Iterator[Finding]:
    """Judge how many connections the account may have, and that it may only read."""
    needed = _needed(settings)
    needs = f"{needed}, [consumers] fleet_size x ([database] max_connections + 1 to kill)"
    alter = f"ALTER USER {account.name} WITH MAX_USER_CONNECTIONS {needed}"
    if account.max_connections == 0:
        yield warning(
            "account: the server sets no limit to its connections; a hard one, for all daemons"
            f" together: {alter}"
        )
    elif account.max_connections < needed:
        yield failed(
            f"account: MAX_USER_CONNECTIONS is {account.max_connections}, too few for"
            f" {needs}: lower these, or {alter}"
        )
    else:
        yield ok(f"account: MAX_USER_CONNECTIONS is {account.max_connections}, enough for {needs}")
    if account.writes:
        yield failed(
            f"account: {account.name} may write ({'; '.join(account.writes)}); fraudd needs SELECT"
            " alone: REVOKE the others"
        )
    else:
        yield ok(f"account: {account.name} may only read")


def judge_deadline(seconds: float) -> Finding:
    """Judge whether the server ended a statement at its deadline."""
    told = f"deadlines: a statement that had {TRIED_SECONDS} s ended after {seconds:.1f} s"
    if seconds > TRIED_SECONDS + _LATE_SECONDS:
        return failed(
            f"{told}: the server does not keep them, or something on the way to it drops SET"
            " SESSION: go to it directly, with MySQL 8.0 or MariaDB 10.6 at least"
        )
    return ok(told)


def _needed(settings: Config) -> int:
    """How many connections all daemons together have at most, those that kill among them."""
    return settings.consumers.fleet_size * (settings.database.max_connections + 1)
