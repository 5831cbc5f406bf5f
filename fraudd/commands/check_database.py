"""The part of ``fraudd check`` that asks the database: the account, the feature SQL, its plans."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fraudd.clock import SystemClock
from fraudd.commands.findings import Findings
from fraudd.config import Config
from fraudd.database.account import Account, describe
from fraudd.database.connections import Connections
from fraudd.ports import Clock, Permit, RunError
from fraudd.scoring.features import SqlFeatures
from fraudd.scoring.files import FeatureFile, FeatureFiles
from fraudd.scoring.plans import Scan, scans
from fraudd.wiring import database_permits, database_server

#: A sample is to name a few entities; more plans than these would take long, and say no more.
_IDS_A_SAMPLE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Database:
    """The database, by one connection: each question in a snapshot of its own, which is short."""

    connections: Connections
    permit: Permit
    clock: Clock

    async def rows(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[Mapping[str, Any]]:
        """Run one statement as of now; gives each row by column name."""
        async with self.connections.snapshot(self.permit) as snapshot:
            told = await snapshot.query(sql, {"as_of": snapshot.as_of} | dict(parameters or {}))
        return [dict(zip(told.columns, row, strict=True)) for row in told.rows]


async def see_database(
    settings: Config,
    feature_files: FeatureFiles | None,
    entities: Sequence[str],
    findings: Findings,
) -> None:
    """Look at the database; at its account alone where there are no feature files that load."""
    with findings.caught(remedy="; see [database]"):
        clock = SystemClock()
        permits = database_permits(settings, clock)
        connections = Connections(database_server(settings), permits, clock=clock)
        permit = await permits.acquire()
        database = _Database(connections=connections, permit=permit, clock=clock)
        try:
            async with connections.snapshot(permit) as snapshot:
                account = await describe(snapshot, settings.database.name)
            _see_account(settings, account, findings)
            if feature_files is not None:
                running = await _see_files(database, feature_files, findings)
                await _see_plans(database, feature_files, running, entities, findings)
        finally:
            permit.release()
            await connections.close()


def _see_account(settings: Config, account: Account, findings: Findings) -> None:
    host, port = settings.database.host, settings.database.port
    cipher = f"TLS ({account.cipher})" if account.cipher else "no TLS"
    findings.ok(f"database: {account.server} at {host}:{port}, {cipher}")
    limit = settings.database.max_connections
    needed = settings.consumers.fleet * (limit + 1)
    needs = f"{needed}, [consumers] fleet x ([database] max_connections + 1 to kill)"
    alter = f"ALTER USER {account.name} WITH MAX_USER_CONNECTIONS {needed}"
    if account.max_connections == 0:
        findings.note(
            "account: the server sets no limit to its connections; a hard one, for all daemons"
            f" together: {alter}"
        )
    elif account.max_connections < needed:
        findings.problem(
            f"account: MAX_USER_CONNECTIONS is {account.max_connections}, too few for"
            f" {needs}: lower these, or {alter}"
        )
    else:
        findings.ok(
            f"account: MAX_USER_CONNECTIONS is {account.max_connections}, enough for {needs}"
        )
    if account.writes:
        findings.note(
            f"account: {account.name} may write ({', '.join(account.writes)}) in"
            f" {settings.database.name}; fraudd needs SELECT alone: REVOKE the others"
        )
    else:
        findings.ok(f"account: {account.name} may only read in {settings.database.name}")


async def _see_files(
    database: _Database, feature_files: FeatureFiles, findings: Findings
) -> list[FeatureFile]:
    """Run each file for an entity that nobody is; gives those that run."""
    running = []
    for file in feature_files.files:
        with findings.caught():
            alone = FeatureFiles(files=[file])
            features = SqlFeatures(alone, database.connections, database.clock)
            await features.check(database.permit)
            running.append(file)
    if running:
        findings.ok(f"features: {len(running)} of {len(feature_files.files)} files run")
    return running


async def _see_plans(
    database: _Database,
    feature_files: FeatureFiles,
    running: Sequence[FeatureFile],
    entities: Sequence[str],
    findings: Findings,
) -> None:
    """Look at the plan of each file that runs, for entities that the platform has."""
    known = feature_files.files[0]
    assert known.exists, "the file that knows who exists comes first"
    if known not in running:
        findings.note(f"plans: not looked at, as long as {known.name} does not run")
        return
    if not entities and not known.samples:
        findings.note(
            "plans: not looked at; name an entity with --entity, or add a line"
            f" '-- sample: SELECT ...' that gives ids to {known.name}"
        )
        return
    named = entities or await _sampled(database, known, findings)
    there = [entity for entity in named if await _exists(database, known, entity, findings)]
    if there:
        clean = [await _see_plan(database, file, there, findings) for file in running]
        if all(clean):
            findings.ok(f"plans: no file reads a whole table for {', '.join(there)}")


async def _sampled(database: _Database, known: FeatureFile, findings: Findings) -> list[str]:
    """Give the ids that come of the sample queries, each once."""
    ids: dict[str, None] = {}
    for sample in known.samples:
        where = f"{known.name}: sample {sample!r}: "
        with findings.caught(where, remedy="; change it, or name an entity with --entity"):
            rows = await database.rows(sample)
            first = [next(iter(row.values())) for row in rows[:_IDS_A_SAMPLE]]
            given = [str(value) for value in first if value is not None]
            if not given:
                findings.note(f"{where}gave nobody to look at plans for")
            ids |= dict.fromkeys(given)
    return list(ids)


async def _exists(database: _Database, known: FeatureFile, entity: str, findings: Findings) -> bool:
    """Whether an entity is there: for one that is not, a server plans next to nothing."""
    with findings.caught(f"{known.name}: for {entity}: "):
        if await database.rows(known.sql, {"entity_id": entity}):
            return True
        findings.problem(f"plans: {entity} is not on the platform: name one that is")
    return False


async def _see_plan(
    database: _Database, file: FeatureFile, entities: Sequence[str], findings: Findings
) -> bool:
    """Whether a file was seen to read no whole table for any of the entities."""
    whom: dict[Scan, list[str]] = {}
    try:
        for entity in entities:
            explain = f"EXPLAIN FORMAT=TRADITIONAL {file.sql}"
            for scan in dict.fromkeys(scans(await database.rows(explain, {"entity_id": entity}))):
                whom.setdefault(scan, []).append(entity)
    except RunError as error:
        findings.note(
            f"{file.name}: its plan cannot be looked at: {error.detail}; of a view, EXPLAIN takes"
            " SHOW VIEW and SELECT on its tables"
        )
        return False
    for scan, affected in whom.items():
        tell = findings.note if scan.is_choice(affected, entities) else findings.problem
        tell(scan.describe(file, affected))
    return not whom
