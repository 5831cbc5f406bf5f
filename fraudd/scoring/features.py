"""Computes the features of an entity: runs every feature file on one snapshot."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from fraudd.database.connections import Connections, Snapshot, SnapshotTimeout
from fraudd.database.session import Rows
from fraudd.errors import Misconfigured, PermanentError, RunError, TransientError, Unavailable
from fraudd.ports import Clock, FeatureValues, Permit
from fraudd.scoring.feature_files import FeatureFile, FeatureFiles
from fraudd.scoring.rows import one_row, reduced_rows

#: No platform has this entity. A query for it returns the usual columns, but no rows.
_UNKNOWN_ENTITY = "fraudd:nobody"
#: Weight of the newest run in the mean: about the last twenty runs count.
_NEWEST_WEIGHT = 0.1


class Costs:
    """The moving mean of how long each feature file takes, in seconds."""

    def __init__(self) -> None:
        self._mean_seconds: dict[str, float] = {}

    def add(self, name: str, seconds: float) -> None:
        """Count one run of a file."""
        mean = self._mean_seconds.get(name, seconds)
        self._mean_seconds[name] = mean + _NEWEST_WEIGHT * (seconds - mean)

    def ordered(self, files: Iterable[FeatureFile]) -> list[FeatureFile]:
        """Put the file marked '-- exists' first, then files that never ran, then the cheapest.

        So an unknown entity costs one statement, and a run that must fail fails early.
        """
        return sorted(
            files,
            key=lambda file: (
                not file.exists,
                self._mean_seconds.get(file.name, 0.0),
                file.name,
            ),
        )


@dataclass(slots=True)
class Computation:
    """One run's values by name, the milliseconds of each file, and the current file."""

    values: dict[str, float] = field(default_factory=dict)
    files_ms: dict[str, int] = field(default_factory=dict)
    #: The current file.
    step: str = ""


class SqlFeatures:
    """The features that the files' SQL computes."""

    def __init__(self, files: FeatureFiles, connections: Connections, clock: Clock) -> None:
        self.files = files
        self._connections = connections
        self._clock = clock
        self._costs = Costs()

    async def read(self, entity_id: str, permit: Permit, *, seconds: float) -> FeatureValues:
        """Compute the features as of now, in one snapshot, on the permit's connection.

        If the snapshot is open for more than ``seconds``, it raises ``TransientError`` and names
        the file that was running. Also raises ``RunError``, ``Unavailable`` or ``BackPressure``,
        each with the name of the file.
        """
        computation = Computation()
        try:
            async with self._connections.snapshot(permit, seconds=seconds) as snapshot:
                known = await self._compute(computation, snapshot, entity_id, snapshot.as_of)
        except SnapshotTimeout as error:
            detail = f"{computation.step}: {error.detail}"
            raise TransientError("too_slow", detail, answered=False) from None
        if not known:
            # Raised here, because an error in the snapshot would cost the connection.
            raise _unknown(entity_id)
        return FeatureValues(
            values=computation.values,
            as_of=snapshot.as_of_ms,
            connecting_ms=round(snapshot.connecting_seconds * 1000),
            files_ms=computation.files_ms,
        )

    async def compute(
        self, snapshot: Snapshot, entity_id: str, as_of: datetime
    ) -> Mapping[str, float]:
        """Compute the features as of a time, which is in the session's time zone."""
        computation = Computation()
        if not await self._compute(computation, snapshot, entity_id, as_of):
            raise _unknown(entity_id)
        return computation.values

    async def check(self, permit: Permit) -> Mapping[str, float]:
        """Run each file for an entity that does not exist, and check its columns.

        Returns the values by name, without those of the file marked '-- exists', which gives no
        row. Raises ``Misconfigured`` with every problem, or ``Unavailable``.
        """
        problems: list[str] = []
        values: dict[str, float] = {}
        for file in self.files.files:
            try:
                # Each file gets a snapshot of its own: a broken file may cost the connection.
                async with self._connections.snapshot(permit) as snapshot:
                    values |= await _values(snapshot, file, _UNKNOWN_ENTITY, snapshot.as_of) or {}
            except TransientError as error:
                # A deadlock or a slow server does not show that the file is wrong.
                raise Unavailable("database", error.detail) from error
            except RunError as error:
                problems.append(error.detail)
        if problems:
            raise Misconfigured(*problems)
        return values

    async def _compute(
        self, computation: Computation, snapshot: Snapshot, entity_id: str, as_of: datetime
    ) -> bool:
        """Run the files. Returns whether the entity exists."""
        for file in self._costs.ordered(self.files.files):
            computation.step = file.name
            began = self._clock.monotonic()
            values = await _values(snapshot, file, entity_id, as_of)
            seconds = self._clock.monotonic() - began
            self._costs.add(file.name, seconds)
            if values is None:
                return False
            computation.values |= values
            computation.files_ms[file.name] = round(seconds * 1000)
        return True


def _unknown(entity_id: str) -> PermanentError:
    return PermanentError("entity_unknown", f"entity unknown: {entity_id} is not on the platform")


async def _values(
    snapshot: Snapshot, file: FeatureFile, entity_id: str, as_of: datetime
) -> Mapping[str, float] | None:
    """Run one file and return its values by name, or None if the entity does not exist."""
    async with _rows(snapshot, file, entity_id, as_of) as slices:
        if file.reductions:
            return await reduced_rows(file, slices)
        return await one_row(file, slices)


@asynccontextmanager
async def _rows(
    snapshot: Snapshot, file: FeatureFile, entity_id: str, as_of: datetime
) -> AsyncIterator[AsyncIterator[Rows]]:
    """Stream the rows of a file in slices. Errors get the name of the file."""
    try:
        parameters = {"entity_id": entity_id, "as_of": as_of}
        async with aclosing(snapshot.stream(file.sql, parameters)) as slices:
            yield slices
    except Unavailable as error:
        raise type(error)(error.part, f"{file.name}: {error.detail}") from error
    except RunError as error:
        detail = f"{file.name}: {error.detail}"
        raise type(error)(error.type, detail, answered=error.answered) from error
