"""Reads labels, and computes the features of each label as of its own time."""

import asyncio
import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fraudd.database.connections import Connections, Snapshot
from fraudd.database.permits import Permits
from fraudd.errors import Misconfigured, PermanentError
from fraudd.scoring.features import SqlFeatures

#: A snapshot makes an ALTER TABLE wait, so one for all labels would be too long.
_LABELS_PER_SNAPSHOT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Whether an entity was fraudulent at a time (epoch milliseconds)."""

    entity_id: str
    as_of: int
    fraud: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Vectors:
    """A training set of n rows and f features. NaN in the matrix (n, f) is a missing value."""

    names: Sequence[str]
    matrix: NDArray[np.float64]
    labels: NDArray[np.bool_]
    as_of: NDArray[np.int64]
    entity_ids: Sequence[str]


def read_labels(path: Path) -> list[Label]:
    """Read rows of ``entity_id,as_of,label``. Raises ``Misconfigured`` with file and line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            return list(_labels(path, csv.DictReader(lines)))
    except OSError as error:
        raise Misconfigured(f"cannot read the labels {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Misconfigured(f"the labels {path} are not UTF-8 text") from None


async def gather(
    features: SqlFeatures,
    connections: Connections,
    permits: Permits,
    labels: Sequence[Label],
    progress: Callable[[int], None],
) -> Vectors:
    """Compute the features of every label, on as many connections as the permits allow.

    ``progress`` is called with the number of labels just done. Raises what ``ports`` lists.
    """
    names = sorted(features.files.features)
    matrix = np.empty((len(labels), len(names)))
    chunks = iter(range(0, len(labels), _LABELS_PER_SNAPSHOT))

    async def fill(begin: int) -> None:
        chunk = labels[begin : begin + _LABELS_PER_SNAPSHOT]
        permit = await permits.acquire()
        try:
            async with connections.snapshot(permit) as snapshot:
                for row, label in enumerate(chunk, begin):
                    values = await _values(features, snapshot, label)
                    matrix[row] = [values[name] for name in names]
        finally:
            permit.release()
        progress(len(chunk))

    async def fill_all() -> None:
        # Each chunk takes a permit of its own, so a busy database gets fewer connections.
        for begin in chunks:
            await fill(begin)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(permits.maximum):
                group.create_task(fill_all())
    except ExceptionGroup as failures:
        # The others failed for the same reason, or were cancelled because of this one.
        raise failures.exceptions[0] from None
    return Vectors(
        names=names,
        matrix=matrix,
        labels=np.array([label.fraud for label in labels], dtype=np.bool_),
        as_of=np.array([label.as_of for label in labels], dtype=np.int64),
        entity_ids=[label.entity_id for label in labels],
    )


async def _values(features: SqlFeatures, snapshot: Snapshot, label: Label) -> Mapping[str, float]:
    as_of = await snapshot.local_time(label.as_of)
    try:
        return await features.compute(snapshot, label.entity_id, as_of)
    except PermanentError as error:
        raise Misconfigured(f"label of {label.entity_id} at {as_of}: {error.detail}") from None


def _labels(path: Path, rows: "csv.DictReader[str]") -> Iterator[Label]:
    for row in rows:
        try:
            moment = datetime.fromisoformat(row["as_of"])
            if moment.tzinfo is None:
                raise ValueError("as_of has no time zone")
            yield Label(
                entity_id=row["entity_id"],
                as_of=round(moment.timestamp() * 1000),
                fraud={"0": False, "1": True}[row["label"]],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Misconfigured(
                f"{path}:{rows.line_num}: {error}."
                " A row is entity_id,as_of (RFC 3339),label (0 or 1)."
            ) from None
