"""Feature SQL on a real server: what is refused at start, and what at run time."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fraudd.clock import SystemClock
from fraudd.config import Config
from fraudd.database.connections import Connections
from fraudd.ports import Misconfigured, PermanentError, RunError, Unavailable
from fraudd.scoring import files
from fraudd.scoring.features import SqlFeatures
from fraudd.wiring import database_server
from tests.database import permits_up_to
from tests.integration.conftest import FEATURES, Observer


class Bench:
    """Features of files that a test writes."""

    def __init__(self, config: Config, folder: Path) -> None:
        self._folder = folder
        self.permits = permits_up_to(1)
        self.connections = Connections(database_server(config), self.permits, clock=SystemClock())
        self.write("known", FEATURES["known"])

    def write(self, name: str, sql: str) -> None:
        (self._folder / f"{name}.sql").write_text(sql)

    def features(self) -> SqlFeatures:
        return SqlFeatures(files.load(self._folder), self.connections, SystemClock())

    async def check(self) -> None:
        permit = await self.permits.acquire()
        try:
            await self.features().check(permit)
        finally:
            permit.release()

    async def read(self, entity_id: str) -> dict[str, float]:
        permit = await self.permits.acquire()
        try:
            return dict((await self.features().read(entity_id, permit)).values)
        finally:
            permit.release()


@pytest.fixture
async def bench(config: Config, tmp_path: Path, observer: Observer) -> AsyncIterator[Bench]:
    bench = Bench(config, tmp_path)
    yield bench
    await bench.connections.close()


def feature(select: str) -> str:
    return f"-- feature f: a feature | {{value}}\n{select}"


async def test_the_vector_is_by_name_and_numbers_of_every_kind_are_read(bench: Bench) -> None:
    bench.write(
        "kinds",
        "".join(
            f"-- feature {name}: a feature | {{value}}\n"
            for name in ("whole", "exact", "near", "truth", "absent", "none")
        )
        + "SELECT MAX(n) AS none, NULL AS absent, 2 > 1 AS truth, 1e-3 AS near,"
        " CAST(1.25 AS DECIMAL(10, 2)) AS exact, 9007199254740993 AS whole"
        " FROM things WHERE %(entity_id)s = %(entity_id)s",
    )
    values = await bench.read("shop-1")
    assert values.pop("absent") != values.pop("none")  # both NaN
    assert values == {"known": 1.0, "truth": 1.0, "near": 1e-3, "exact": 1.25, "whole": 2.0**53}


@pytest.mark.parametrize(
    ("select", "says"),
    [
        ("SELECT 1 AS f UNION ALL SELECT LENGTH(%(entity_id)s)", "gave more than one row"),
        ("SELECT 1 AS f FROM things WHERE n = %(entity_id)s", "gave no row; only the file marked"),
        ("SELECT %(entity_id)s AS f", "column f is not a number"),
        ("SELECT DATE(%(as_of)s) AS f FROM DUAL WHERE %(entity_id)s <> ''", "is not a number"),
        ("SELECT 1 AS f, 2 AS f FROM DUAL WHERE %(entity_id)s <> ''", "column f comes twice"),
        ("SELECT 1 AS f, LENGTH(%(entity_id)s) AS g", "column g is not declared"),
        ("SELECT LENGTH(%(entity_id)s) AS g", "declared feature f is no column"),
        ("SELECT LENGTH(%(entity_id)s) AS f FROM", "error in your SQL syntax"),
    ],
)
async def test_what_can_be_known_at_start_is_refused_at_start(
    bench: Bench, select: str, says: str
) -> None:
    bench.write("wrong", feature(select))
    with pytest.raises(Misconfigured) as refused:
        await bench.check()
    assert any(p.startswith("wrong.sql: ") and says in p for p in refused.value.problems)


async def test_an_unknown_column_or_table_is_told_with_its_file(bench: Bench) -> None:
    bench.write("wrong", feature("SELECT nope AS f FROM things WHERE %(entity_id)s <> ''"))
    with pytest.raises(Unavailable, match=r"wrong\.sql: Unknown column 'nope'"):
        await bench.check()


@pytest.mark.parametrize(
    ("select", "says"),
    [
        (
            "SELECT 1 AS f UNION ALL SELECT 2 FROM DUAL WHERE %(entity_id)s = 'shop-1'",
            "wrong.sql: gave more than one row",
        ),
        (
            "SELECT 1 AS f FROM DUAL WHERE %(entity_id)s <> 'shop-1'",
            "wrong.sql: gave no row",
        ),
    ],
)
async def test_what_only_some_entities_show_fails_their_run_naming_the_file(
    bench: Bench, select: str, says: str
) -> None:
    bench.write("wrong", feature(select))
    await bench.check()
    with pytest.raises(PermanentError, match=says) as failed:
        await bench.read("shop-1")
    assert failed.value.type == "bad_feature"


async def test_an_unknown_entity_costs_one_query(bench: Bench) -> None:
    bench.write("wrong", feature("SELECT nope AS f FROM things WHERE %(entity_id)s <> ''"))
    with pytest.raises(PermanentError, match="nobody-1 is not on the platform") as failed:
        await bench.read("nobody-1")
    assert failed.value.type == "entity_unknown"


async def test_a_feature_that_writes_is_refused(bench: Bench, observer: Observer) -> None:
    await observer.rows("GRANT ALL ON plain.* TO reader@localhost")
    await observer.rows(
        "CREATE OR REPLACE FUNCTION plain.sneak() RETURNS INT MODIFIES SQL DATA"
        " BEGIN INSERT INTO plain.things VALUES (1); RETURN 1; END"
    )
    bench.write("wrong", feature("SELECT plain.sneak() AS f FROM DUAL WHERE %(entity_id)s <> ''"))
    with pytest.raises(RunError, match="READ ONLY transaction"):
        await bench.read("shop-1")


async def test_an_entity_id_is_bound_and_never_pasted(bench: Bench) -> None:
    with pytest.raises(PermanentError, match="is not on the platform"):
        await bench.read("x' OR '1' = '1")
