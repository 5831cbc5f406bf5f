"""The part of ``fraudd check`` that runs the feature SQL, and looks at its plans."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fraudd.commands.check.findings import Findings, failed, ok, warning
from fraudd.database.connections import Connections
from fraudd.errors import RunError
from fraudd.ports import Clock, Permit
from fraudd.scoring.feature_files import FeatureFile, FeatureFiles
from fraudd.scoring.features import SqlFeatures
from fraudd.scoring.model import XgboostModel
from fraudd.scoring.query_plans import Scan, scans

#: A sample is to name a few entities; more plans than these would take long, and say no more.
_IDS_A_SAMPLE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """The database, by one connection: each question in a snapshot of its own, which is short."""

    connections: Connections
    permit: Permit
    clock: Clock
    #: How long the features of an entity may take together.
    seconds: float

    async def rows(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[Mapping[str, Any]]:
        """Run one statement as of now; gives each row by column name."""
        async with self.connections.snapshot(self.permit) as snapshot:
            told = await snapshot.query(sql, {"as_of": snapshot.as_of} | dict(parameters or {}))
        return [dict(zip(told.columns, row, strict=True)) for row in told.rows]

    def features(self, *files: FeatureFile) -> SqlFeatures:
        """Features that only these files give."""
        return SqlFeatures(FeatureFiles(files=list(files)), self.connections, self.clock)


async def see_features(
    feature_files: FeatureFiles,
    model: XgboostModel | None,
    entities: Sequence[str],
    database: Database,
    findings: Findings,
) -> None:
    """Run each file, look at its plans, and score an entity: those named, or those of samples."""
    running = await _see_files(database, feature_files, findings)
    there = await _entities(database, feature_files, running, entities, findings)
    if there:
        clean = [await _see_plan(database, file, there, findings) for file in running]
        if all(clean):
            findings.add(ok(f"plans: no file reads a whole table for {', '.join(there)}"))
        if len(running) == len(feature_files.files) and model is not None:
            await _see_score(database, feature_files, model, there, findings)


async def _see_files(
    database: Database, feature_files: FeatureFiles, findings: Findings
) -> list[FeatureFile]:
    """Run each file for an entity that nobody is; gives those that run."""
    running = []
    for file in feature_files.files:
        with findings.caught("features: "):
            await database.features(file).check(database.permit)
            running.append(file)
    if running:
        findings.add(ok(f"features: {len(running)} of {len(feature_files.files)} files run"))
    return running


async def _entities(
    database: Database,
    feature_files: FeatureFiles,
    running: Sequence[FeatureFile],
    named: Sequence[str],
    findings: Findings,
) -> list[str]:
    """Give entities that the platform has: those named, else those of the samples."""
    known = feature_files.files[0]
    assert known.exists, "the file that knows who exists comes first"
    if known not in running:
        findings.add(warning(f"plans: not looked at, as long as {known.name} does not run"))
        return []
    if not named and not known.samples:
        findings.add(
            warning(
                "plans: not looked at; name an entity with --entity, or add a line"
                f" '-- sample: SELECT ...' that gives ids to {known.name}"
            )
        )
        return []
    wanted = named or await _sampled(database, known, findings)
    return [entity for entity in wanted if await _exists(database, known, entity, findings)]


async def _sampled(database: Database, known: FeatureFile, findings: Findings) -> list[str]:
    """Give the ids that come of the sample queries, each once."""
    ids: dict[str, None] = {}
    for sample in known.samples:
        where = f"plans: {known.name}: sample {sample!r}: "
        with findings.caught(where, remedy="; change it, or name an entity with --entity"):
            rows = await database.rows(sample)
            first = [next(iter(row.values())) for row in rows[:_IDS_A_SAMPLE]]
            given = [str(value) for value in first if value is not None]
            if not given:
                findings.add(warning(f"{where}gave nobody to look at plans for"))
            ids |= dict.fromkeys(given)
    return list(ids)


async def _exists(database: Database, known: FeatureFile, entity: str, findings: Findings) -> bool:
    """Whether an entity is there: for one that is not, a server plans next to nothing."""
    with findings.caught(f"plans: {known.name}: for {entity}: "):
        if await database.rows(known.sql, {"entity_id": entity}):
            return True
        findings.add(failed(f"plans: {entity} is not on the platform: name one that is"))
    return False


async def _see_plan(
    database: Database, file: FeatureFile, entities: Sequence[str], findings: Findings
) -> bool:
    """Whether a file was seen to read no whole table for any of the entities."""
    whom: dict[Scan, list[str]] = {}
    try:
        for entity in entities:
            explain = f"EXPLAIN FORMAT=TRADITIONAL {file.sql}"
            for scan in dict.fromkeys(scans(await database.rows(explain, {"entity_id": entity}))):
                whom.setdefault(scan, []).append(entity)
    except RunError as error:
        findings.add(
            warning(
                f"plans: {file.name}: cannot be looked at: {error.detail}; of a view, EXPLAIN"
                " takes SHOW VIEW and SELECT on its tables"
            )
        )
        return False
    for scan, affected in whom.items():
        tell = warning if scan.is_choice(affected, entities) else failed
        findings.add(tell(f"plans: {scan.describe(file, affected)}"))
    return not whom


async def _see_score(
    database: Database,
    feature_files: FeatureFiles,
    model: XgboostModel,
    entities: Sequence[str],
    findings: Findings,
) -> None:
    """Compute scores as runs do, up to one that fails; neither they nor any value is told."""
    features = database.features(*feature_files.files)
    with findings.caught("score: "):
        took = [await _scored(database, features, model, entity) for entity in entities]
        findings.add(ok(f"score: computed {', '.join(took)}"))


async def _scored(
    database: Database, features: SqlFeatures, model: XgboostModel, entity: str
) -> str:
    began = database.clock.monotonic()
    try:
        found = await features.read(entity, database.permit, seconds=database.seconds)
        model.score(found.values)
    except RunError as error:
        raise type(error)(error.type, f"for {entity}: {error.detail}") from error
    return f"for {entity} in {round((database.clock.monotonic() - began) * 1000):,} ms"
