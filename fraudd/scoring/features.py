"""Computes the features of an entity: every feature file on one snapshot, by name."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from fraudd.database.connections import Connections, Snapshot, SnapshotTimeout
from fraudd.database.session import Rows
from fraudd.errors import Misconfigured, PermanentError, RunError, TransientError, Unavailable
from fraudd.ports import Clock, FeatureValues, Permit
from fraudd.scoring.costs import Costs
from fraudd.scoring.feature_files import FeatureFile, FeatureFiles
from fraudd.scoring.rows import one_row, reduced

#: An entity that no platform has: its rows are none, but its columns are what they always are.
_NOBODY = "fraudd:nobody"


@dataclass(slots=True)
class Computation:
    """Features by name, the milliseconds that each file took, and what is under way."""

    values: dict[str, float] = field(default_factory=dict)
    files_ms: dict[str, int] = field(default_factory=dict)
    at: str = "connecting"


class SqlFeatures:
    """The features that the files' SQL gives."""

    def __init__(self, files: FeatureFiles, connections: Connections, clock: Clock) -> None:
        self.files = files
        self._connections = connections
        self._clock = clock
        self._costs = Costs()

    async def read(self, entity_id: str, permit: Permit, *, seconds: float) -> FeatureValues:
        """Compute the features as of now, in one snapshot, on the permit's connection.

        Raises ``PermanentError``, ``TransientError`` (of type ``too_slow`` after so many
        ``seconds``), ``Unavailable`` or ``BackPressure``, naming the file.
        """
        computation = Computation()
        try:
            async with (
                asyncio.timeout(seconds) as limit,
                self._connections.snapshot(permit) as snapshot,
            ):
                await self._compute(computation, snapshot, entity_id, snapshot.as_of)
        except TimeoutError:
            if not limit.expired():
                raise
            detail = f"{computation.at}: the run's time was over there"
            raise TransientError("too_slow", detail) from None
        except SnapshotTimeout as error:
            raise TransientError("too_slow", f"{computation.at}: {error.detail}") from None
        return FeatureValues(
            values=computation.values,
            as_of=snapshot.as_of_ms,
            connecting_ms=round(snapshot.connecting_seconds * 1000),
            files_ms=computation.files_ms,
        )

    async def compute(
        self, snapshot: Snapshot, entity_id: str, as_of: datetime
    ) -> Mapping[str, float]:
        """Compute the features as of an instant, given in the session's time zone."""
        computation = Computation()
        await self._compute(computation, snapshot, entity_id, as_of)
        return computation.values

    async def _compute(
        self, computation: Computation, snapshot: Snapshot, entity_id: str, as_of: datetime
    ) -> None:
        for file in self._costs.ordered(self.files.files):
            computation.at = file.name
            began = self._clock.monotonic()
            found = await self._values(snapshot, file, entity_id, as_of)
            seconds = self._clock.monotonic() - began
            self._costs.add(file.name, seconds)
            if found is None:
                detail = f"entity unknown: {entity_id} is not on the platform"
                raise PermanentError("entity_unknown", detail)
            computation.values |= found
            computation.files_ms[file.name] = round(seconds * 1000)

    async def check(self, permit: Permit) -> Mapping[str, float]:
        """Run each file for an entity that nobody is, and look at what comes.

        Gives the values by name; the file that knows who exists has none for nobody. Raises
        ``Misconfigured`` with all that is wrong, or ``Unavailable``.
        """
        problems: list[str] = []
        values: dict[str, float] = {}
        for file in self.files.files:
            try:
                # A snapshot each: what is wrong with one file may cost the connection.
                async with self._connections.snapshot(permit) as snapshot:
                    values |= await self._values(snapshot, file, _NOBODY, snapshot.as_of) or {}
            except RunError as error:
                problems.append(error.detail)
        if problems:
            raise Misconfigured(*problems)
        return values

    async def _values(
        self, snapshot: Snapshot, file: FeatureFile, entity_id: str, as_of: datetime
    ) -> Mapping[str, float] | None:
        """Run one file; None says that there is no such entity."""
        async with _rows(snapshot, file, entity_id, as_of) as slices:
            if file.reductions:
                return await reduced(file, slices)
            return await one_row(file, slices)


@asynccontextmanager
async def _rows(
    snapshot: Snapshot, file: FeatureFile, entity_id: str, as_of: datetime
) -> AsyncIterator[AsyncIterator[Rows]]:
    """Give the rows of a file in slices; what goes wrong with them is told with its name."""
    try:
        parameters = {"entity_id": entity_id, "as_of": as_of}
        async with aclosing(snapshot.stream(file.sql, parameters)) as slices:
            yield slices
    except Unavailable as error:
        raise type(error)(error.part, f"{file.name}: {error.detail}") from error
    except RunError as error:
        raise type(error)(error.type, f"{file.name}: {error.detail}") from error
