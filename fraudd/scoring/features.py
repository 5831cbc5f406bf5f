"""Computes the features of an entity: every feature file on one snapshot, by name."""

import math
from collections.abc import Iterator
from datetime import datetime

from fraudd.database.connections import Connections, Snapshot
from fraudd.database.session import Rows
from fraudd.ports import (
    FeatureValues,
    Misconfigured,
    PermanentError,
    Permit,
    RunError,
    Unavailable,
)
from fraudd.scoring.files import FeatureFile, FeatureFiles

#: An entity that no platform has: its rows are none, but its columns are what they always are.
_NOBODY = "fraudd:nobody"


class SqlFeatures:
    """The features that the files' SQL gives."""

    def __init__(self, files: FeatureFiles, connections: Connections) -> None:
        self.files = files
        self._connections = connections

    async def read(self, entity_id: str, permit: Permit) -> FeatureValues:
        """Compute the features as of now, in one snapshot, on the permit's connection.

        Raises ``PermanentError``, ``TransientError`` or ``Unavailable``, naming the file.
        """
        async with self._connections.snapshot(permit) as snapshot:
            values = await self.compute(snapshot, entity_id, snapshot.as_of)
            return FeatureValues(values=values, as_of=snapshot.as_of_ms)

    async def compute(
        self, snapshot: Snapshot, entity_id: str, as_of: datetime
    ) -> dict[str, float]:
        """Compute the features as of an instant, given in the session's time zone."""
        values: dict[str, float] = {}
        for file in self.files.files:
            rows = await self._query(snapshot, file, entity_id, as_of)
            if not rows.rows and file.exists:
                detail = f"entity unknown: {entity_id} is not on the platform"
                raise PermanentError("entity_unknown", detail)
            values |= _by_name(file, rows)
        return values

    async def check(self, permit: Permit) -> None:
        """Run each file for an entity that nobody is, and look at what comes.

        Raises ``Misconfigured`` with all that is wrong, or ``Unavailable``.
        """
        problems: list[str] = []
        async with self._connections.snapshot(permit) as snapshot:
            for file in self.files.files:
                try:
                    rows = await self._query(snapshot, file, _NOBODY, snapshot.as_of)
                except RunError as error:
                    problems.append(error.detail)
                else:
                    problems += [f"{file.name}: {wrong}" for wrong in _wrong_with(file, rows)]
        if problems:
            raise Misconfigured(*problems)

    async def _query(
        self, snapshot: Snapshot, file: FeatureFile, entity_id: str, as_of: datetime
    ) -> Rows:
        try:
            return await snapshot.query(file.sql, {"entity_id": entity_id, "as_of": as_of})
        except Unavailable as error:
            raise type(error)(error.part, f"{file.name}: {error.detail}") from error
        except RunError as error:
            raise type(error)(error.type, f"{file.name}: {error.detail}") from error


def _by_name(file: FeatureFile, rows: Rows) -> dict[str, float]:
    """Name the values of a file's one row; raises ``PermanentError`` where it is not right."""
    for wrong in _wrong_with(file, rows):
        raise PermanentError("bad_feature", f"{file.name}: {wrong}")
    return {
        name: math.nan if value is None else float(value)
        for name, value in zip(rows.columns, rows.rows[0], strict=True)
    }


def _wrong_with(file: FeatureFile, rows: Rows) -> Iterator[str]:
    declared = [feature.name for feature in file.features]
    for name in sorted(set(rows.columns)):
        if rows.columns.count(name) > 1:
            yield f"column {name} comes twice"
        elif name not in declared:
            yield f"column {name} is not declared ('-- feature {name}: ... | ...')"
    for name in declared:
        if name not in rows.columns:
            yield f"declared feature {name} is no column of the SELECT"
    for name, numeric in zip(rows.columns, rows.numeric, strict=True):
        if not numeric:
            yield f"column {name} is not a number"
    if len(rows.rows) > 1:
        yield "gave more than one row"
    if not rows.rows and not file.exists:
        yield "gave no row; only the file marked '-- exists' may"
