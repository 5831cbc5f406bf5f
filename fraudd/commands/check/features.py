"""Checks of the feature SQL: it runs, its query plans, and a score."""

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

#: A sample should return a few entities. More query plans take long and add nothing.
_MAX_SAMPLED_IDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """The database on one connection. Each query gets a short snapshot of its own."""

    connections: Connections
    permit: Permit
    clock: Clock
    #: Time limit of all features of one entity together.
    seconds: float

    async def rows(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[Mapping[str, Any]]:
        """Run one statement as of now, and return each row by column name."""
        async with self.connections.snapshot(self.permit) as snapshot:
            table = await snapshot.query(sql, {"as_of": snapshot.as_of} | dict(parameters or {}))
        return [dict(zip(table.columns, row, strict=True)) for row in table.rows]

    def features(self, *files: FeatureFile) -> SqlFeatures:
        """Return the features of these files alone."""
        return SqlFeatures(FeatureFiles(files=list(files)), self.connections, self.clock)


async def check_features(
    feature_files: FeatureFiles,
    model: XgboostModel | None,
    entities: Sequence[str],
    database: Database,
    findings: Findings,
) -> None:
    """Run each file, judge its query plans, and score ``entities``, or those of the samples."""
    working = await _check_files(database, feature_files, findings)
    existing = await _existing_entities(database, feature_files, working, entities, findings)
    if existing:
        clean = [await _check_plan(database, file, existing, findings) for file in working]
        if all(clean):
            findings.add(ok(f"plans: no file reads a whole table for {', '.join(existing)}"))
        if len(working) == len(feature_files.files) and model is not None:
            await _check_score(database, feature_files, model, existing, findings)


async def _check_files(
    database: Database, feature_files: FeatureFiles, findings: Findings
) -> list[FeatureFile]:
    """Run each file for an entity that does not exist, and return the files that work."""
    working = []
    for file in feature_files.files:
        with findings.caught("features: "):
            await database.features(file).check(database.permit)
            working.append(file)
    if working:
        findings.add(ok(f"features: {len(working)} of {len(feature_files.files)} files run"))
    return working


async def _existing_entities(
    database: Database,
    feature_files: FeatureFiles,
    working: Sequence[FeatureFile],
    named: Sequence[str],
    findings: Findings,
) -> list[str]:
    """Return the existing ones of ``entities``, or of the samples if ``entities`` is empty."""
    exists_file = feature_files.files[0]
    assert exists_file.exists, "the file with '-- exists' comes first"
    if exists_file not in working:
        findings.add(
            warning(f"plans: query plans not checked: {exists_file.name} fails (see above)")
        )
        return []
    if not named and not exists_file.samples:
        findings.add(
            warning(
                "plans: query plans not checked: there is no entity to check them for",
                fix="name one with --entity, or add a line '-- sample: SELECT ...' that returns"
                f" IDs to {exists_file.name}",
            )
        )
        return []
    candidates = named or await _sampled(database, exists_file, findings)
    return [
        entity for entity in candidates if await _exists(database, exists_file, entity, findings)
    ]


async def _sampled(database: Database, exists_file: FeatureFile, findings: Findings) -> list[str]:
    """Return the distinct IDs of the sample queries."""
    ids: dict[str, None] = {}
    fix = "correct it, or name an entity with --entity"
    for sample in exists_file.samples:
        part = f"plans: {exists_file.name}: sample {sample!r}: "
        with findings.caught(part, fix=fix):
            rows = await database.rows(sample)
            values = [next(iter(row.values())) for row in rows[:_MAX_SAMPLED_IDS]]
            sampled = [str(value) for value in values if value is not None]
            if not sampled:
                findings.add(warning(f"{part}returned no ID", fix=fix))
            ids |= dict.fromkeys(sampled)
    return list(ids)


async def _exists(
    database: Database, exists_file: FeatureFile, entity: str, findings: Findings
) -> bool:
    """Whether an entity exists. The plan for a missing entity says nothing about real ones."""
    with findings.caught(f"plans: {exists_file.name}: for {entity}: "):
        if await database.rows(exists_file.sql, {"entity_id": entity}):
            return True
        findings.add(
            failed(f"plans: {entity} does not exist on the platform", fix="name another entity")
        )
    return False


async def _check_plan(
    database: Database, file: FeatureFile, entities: Sequence[str], findings: Findings
) -> bool:
    """Whether a file reads no whole table for any of the entities."""
    affected: dict[Scan, list[str]] = {}
    try:
        for entity in entities:
            explain = f"EXPLAIN FORMAT=TRADITIONAL {file.sql}"
            for scan in dict.fromkeys(scans(await database.rows(explain, {"entity_id": entity}))):
                affected.setdefault(scan, []).append(entity)
    except RunError as error:
        findings.add(
            warning(
                f"plans: {file.name}: query plan not checked: {error.detail}",
                fix="if it reads a view, EXPLAIN needs SHOW VIEW, and SELECT on the view's tables",
            )
        )
        return False
    for scan, whom in affected.items():
        level = warning if scan.is_choice(whom, entities) else failed
        findings.add(level(f"plans: {scan.describe(file, whom)}"))
    return not affected


async def _check_score(
    database: Database,
    feature_files: FeatureFiles,
    model: XgboostModel,
    entities: Sequence[str],
    findings: Findings,
) -> None:
    """Compute scores as a run does, until one fails. Print neither scores nor values."""
    features = database.features(*feature_files.files)
    with findings.caught("score: "):
        timings = [await _timed_score(database, features, model, entity) for entity in entities]
        findings.add(ok(f"score: computed {', '.join(timings)}"))


async def _timed_score(
    database: Database, features: SqlFeatures, model: XgboostModel, entity: str
) -> str:
    started_at = database.clock.monotonic()
    try:
        snapshot = await features.read(entity, database.permit, seconds=database.seconds)
        model.score(snapshot.values)
    except RunError as error:
        raise type(error)(error.type, f"for {entity}: {error.detail}") from error
    return f"for {entity} in {round((database.clock.monotonic() - started_at) * 1000):,} ms"
