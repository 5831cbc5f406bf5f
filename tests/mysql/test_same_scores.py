"""MySQL and MariaDB give the same shops the same features, and so the same scores."""

import csv
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fraudd.clock import SystemClock
from fraudd.database.connections import Connections
from fraudd.local.settings import DatabaseServer
from fraudd.scoring import feature_files as files
from fraudd.scoring import model
from fraudd.scoring.features import SqlFeatures
from tests.stack.database import permits_up_to, server_of
from tests.stack.mariadb import private_mariadb
from tests.stack.paths import ROOT
from tests.stack.platform import seeded, trained

FEATURES = ROOT / "config" / "features"
SHOPS = 100

Vectors = Mapping[str, Mapping[str, float]]


@pytest.fixture(scope="module")
def mariadb(
    database_url: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DatabaseServer]:
    """The server to compare with."""
    assert database_url, "set FRAUDD_TEST_MYSQL, as make test-mysql does: two servers are compared"
    with private_mariadb(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


async def test_a_hundred_shops_have_the_same_features_and_scores_on_both_servers(
    mariadb: DatabaseServer, database: DatabaseServer, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    ours.mkdir()
    platform = await seeded(database, theirs, now=now)
    await seeded(mariadb, ours, now=now)
    assert (theirs / ".local/labels-now.csv").read_bytes() == (
        ours / ".local/labels-now.csv"
    ).read_bytes()
    shops = _frauds_first(theirs / ".local/labels-now.csv")[:SHOPS]
    as_of = now.replace(tzinfo=None, microsecond=0)

    there = await _features(database, shops, as_of)
    here = await _features(mariadb, shops, as_of)
    assert len(shops) == SHOPS
    assert _differences(there, here) == []

    scorer = model.load(await trained(platform, tmp_path), files.load(FEATURES))
    scores = [(scorer.score(there[shop]).score, scorer.score(here[shop]).score) for shop in shops]
    assert max(abs(one - other) for one, other in scores) <= 1e-9
    assert max(scores)[0] - min(scores)[0] > 0.5, "or it would be easy"


def _frauds_first(labels: Path) -> list[str]:
    with labels.open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (row["label"] == "0", row["entity_id"]))
    return [row["entity_id"] for row in rows]


async def _features(database: DatabaseServer, shops: list[str], as_of: datetime) -> Vectors:
    permits = permits_up_to(1)
    connections = Connections(server_of(database), permits, clock=SystemClock())
    features = SqlFeatures(files.load(FEATURES), connections, SystemClock())
    permit = await permits.acquire()
    async with connections.snapshot(permit) as snapshot:
        vectors = {shop: await features.compute(snapshot, shop, as_of) for shop in shops}
    permit.release()
    await connections.close()
    return vectors


def _differences(there: Vectors, here: Vectors) -> list[str]:
    return [
        f"{shop} {name}: {value!r}, on MariaDB {here[shop][name]!r}"
        for shop, vector in there.items()
        for name, value in vector.items()
        if not _same(value, here[shop][name])
    ]


def _same(one: float, other: float) -> bool:
    """Equal but for the order in which rows of one second are added up."""
    return math.isclose(one, other, rel_tol=1e-12) or (math.isnan(one) and math.isnan(other))
