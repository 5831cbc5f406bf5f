"""Feature SQL on a real server: what is refused at start, and what at run time."""

import math
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from fraudd.clock import SystemClock
from fraudd.config import Config
from fraudd.database.connections import Connections
from fraudd.errors import Misconfigured, PermanentError, RunError, Unavailable
from fraudd.ports import FeatureValues
from fraudd.scoring import feature_files as files
from fraudd.scoring.features import SqlFeatures
from fraudd.wiring import database_server
from tests.stack.database import PLAIN, permits_up_to
from tests.stack.features import FEATURES
from tests.stack.observer import Observer


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
        return dict((await self.read_with(self.features(), entity_id)).values)

    async def read_with(self, features: SqlFeatures, entity_id: str) -> FeatureValues:
        permit = await self.permits.acquire()
        try:
            return await features.read(entity_id, permit, seconds=60.0)
        finally:
            permit.release()


@pytest.fixture
async def bench(config: Config, tmp_path: Path, observer: Observer) -> AsyncIterator[Bench]:
    bench = Bench(config, tmp_path)
    yield bench
    await bench.connections.close()


@pytest.fixture
async def events(observer: Observer) -> list[float]:
    """A thousand events of shop-1, a third of them without an amount; gives their times."""
    times = [float(n * n % 7919) for n in range(1000)]
    await observer.rows(
        "CREATE TABLE events (entity_id VARCHAR(128), at DATETIME(3),"
        " stamp TIMESTAMP(3) NULL, day DATE, amount DECIMAL(12, 2), said TEXT, took TIME)"
    )
    rows = ", ".join(
        f"('shop-1', FROM_UNIXTIME({86_400 + time}), FROM_UNIXTIME({86_400 + time}), '1970-01-02',"
        f" {'NULL' if n % 3 == 0 else n / 4}, 'x', '01:00:00')"
        for n, time in enumerate(times)
    )
    await observer.rows("SET SESSION time_zone = '+00:00'")
    await observer.rows(f"INSERT INTO events VALUES {rows}")
    return sorted(86_400 + time for time in times)


def feature(select: str) -> str:
    return f"-- feature f: a feature | {{value}}\n{select}"


def rows(select: str, **reductions: str) -> str:
    declared = "".join(
        f"-- feature {name}: a feature | {{value}}\n-- rows: {name} = {reduction}\n"
        for name, reduction in reductions.items()
    )
    return f"{declared}SELECT {select} FROM events WHERE entity_id = %(entity_id)s"


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
        ("SELECT 1 AS f UNION ALL SELECT LENGTH(%(entity_id)s)", "returned more than one row"),
        (
            "SELECT 1 AS f FROM things WHERE n = %(entity_id)s",
            "returned no row; only the file",
        ),
        ("SELECT %(entity_id)s AS f", "column f is not a number"),
        ("SELECT DATE(%(as_of)s) AS f FROM DUAL WHERE %(entity_id)s <> ''", "is not a number"),
        ("SELECT 1 AS f, 2 AS f FROM DUAL WHERE %(entity_id)s <> ''", "column f appears twice"),
        ("SELECT 1 AS f, LENGTH(%(entity_id)s) AS g", "column g is not declared"),
        ("SELECT LENGTH(%(entity_id)s) AS g", "declared feature f is not a column"),
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


async def test_rows_are_reduced_however_many_there_are(bench: Bench, events: list[float]) -> None:
    bench.write(
        "rhythm",
        rows(
            "at, stamp, day, amount, amount > 10 AS large",
            gap="mean_gap(at)",
            longest="longest_gap(stamp)",
            fastest="velocity(at, 60)",
            night="night_share(day, 1)",
            whole="round_share(amount, 1)",
            spread="entropy(large)",
        )
        + " ORDER BY at",
    )
    await bench.check()
    values = await bench.read("shop-1")
    known = [n for n in range(1000) if n % 3]
    assert values.pop("known") == 1
    assert values.pop("gap") == pytest.approx((events[-1] - events[0]) / 999)
    assert values.pop("longest") == max(after - before for before, after in pairwise(events))
    assert values.pop("fastest") == max(
        sum(begin <= time < begin + 60 for time in events) for begin in range(86_400, 94_400)
    )
    assert values.pop("night") == 1
    assert values.pop("whole") == sum(n % 4 == 0 for n in known) / len(known)
    assert values.pop("spread") == pytest.approx(math.log2(sum(n > 40 for n in known)))
    assert not values


async def test_an_entity_without_rows_has_the_values_of_nothing(
    bench: Bench, events: list[float]
) -> None:
    bench.write("rhythm", rows("at", gap="mean_gap(at)", fastest="velocity(at, 60)"))
    values = await bench.read("shop-2")
    assert math.isnan(values["gap"])
    assert values["fastest"] == 0


@pytest.mark.parametrize(
    ("select", "says"),
    [
        ("day", "a '-- rows:' line uses column at, which is not a column of the SELECT"),
        ("at, day", "no '-- rows:' line uses column day: remove it"),
        ("at, at", "column at appears twice"),
        ("said AS at", "column at is not a number or a date"),
        ("took AS at", "column at is not a number or a date"),
        ("JSON_ARRAY(1) AS at", "column at is not a number or a date"),
        ("at FROM", "error in your SQL syntax"),
    ],
)
async def test_rows_that_cannot_be_reduced_are_refused_at_start(
    bench: Bench, events: list[float], select: str, says: str
) -> None:
    bench.write("wrong", rows(select, f="mean_gap(at)"))
    with pytest.raises(Misconfigured) as refused:
        await bench.check()
    assert any(p.startswith("wrong.sql: ") and says in p for p in refused.value.problems)


async def test_every_file_that_is_wrong_is_told(bench: Bench, events: list[float]) -> None:
    bench.write("many", feature("SELECT 1 AS f UNION ALL SELECT LENGTH(%(entity_id)s)"))
    bench.write("other", rows("day", g="mean_gap(at)"))
    with pytest.raises(Misconfigured) as refused:
        await bench.check()
    assert [problem.partition(":")[0] for problem in refused.value.problems] == [
        "many.sql",
        "other.sql",
    ]


async def test_rows_out_of_order_fail_the_run_naming_file_and_reducer(
    bench: Bench, events: list[float]
) -> None:
    bench.write("wrong", rows("at", f="gap_variation(at)") + " ORDER BY at DESC")
    await bench.check()
    says = r"wrong\.sql: f = gap_variation\(at\) needs its rows in ascending order: add ORDER BY"
    with pytest.raises(PermanentError, match=says) as failed:
        await bench.read("shop-1")
    assert failed.value.type == "bad_feature"


async def test_a_file_that_wrongly_gives_many_rows_is_not_read_to_its_end(
    bench: Bench, events: list[float]
) -> None:
    bench.write(
        "wrong",
        feature(
            "SELECT 1 AS f FROM events a, events b, events c WHERE a.entity_id = %(entity_id)s"
        ),
    )
    with pytest.raises(PermanentError, match=r"wrong\.sql: returned more than one row"):
        await bench.read("shop-1")  # of a thousand million
    bench.write("wrong", feature("SELECT LENGTH(%(entity_id)s) AS f"))
    assert await bench.read("shop-1") == {"known": 1.0, "f": 6.0}


async def test_the_files_run_in_the_order_of_their_cost_and_each_is_timed(bench: Bench) -> None:
    bench.write("aa_slow", feature("SELECT SLEEP(0.2) AS f FROM DUAL WHERE %(entity_id)s <> ''"))
    bench.write("bb_quick", "-- feature g: a feature | {value}\nSELECT LENGTH(%(entity_id)s) AS g")
    features = bench.features()
    first = await bench.read_with(features, "shop-1")
    assert list(first.files_ms) == ["known.sql", "aa_slow.sql", "bb_quick.sql"]
    assert first.files_ms["aa_slow.sql"] >= 200
    second = await bench.read_with(features, "shop-1")
    assert list(second.files_ms) == ["known.sql", "bb_quick.sql", "aa_slow.sql"]


async def test_an_unknown_column_or_table_is_told_with_its_file(bench: Bench) -> None:
    bench.write("wrong", feature("SELECT nope AS f FROM things WHERE %(entity_id)s <> ''"))
    with pytest.raises(Unavailable, match=r"wrong\.sql: Unknown column 'nope'"):
        await bench.check()


@pytest.mark.parametrize(
    ("select", "says"),
    [
        (
            "SELECT 1 AS f UNION ALL SELECT 2 FROM DUAL WHERE %(entity_id)s = 'shop-1'",
            "wrong.sql: returned more than one row",
        ),
        (
            "SELECT 1 AS f FROM DUAL WHERE %(entity_id)s <> 'shop-1'",
            "wrong.sql: returned no row",
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


async def test_unknown_entities_cost_no_connection(bench: Bench, observer: Observer) -> None:
    await bench.read("shop-1")
    connections = await observer.theirs()
    for number in range(20):
        with pytest.raises(PermanentError, match="is not on the platform"):
            await bench.read(f"nobody-{number}")
    assert await observer.theirs() == connections
    # No snapshot stays open: its metadata locks would delay an ALTER TABLE.
    await observer.rows("SET SESSION lock_wait_timeout = 1")
    await observer.rows("ALTER TABLE things ADD COLUMN m INT")


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        (
            "-- feature f: a feature | {value}\nSELECT -1e39 AS f",
            r"wrong\.sql: column f is -1e\+39, but a model reads numbers up to 3\.4e\+38",
        ),
        (
            "-- feature f: a feature | {value}\n-- rows: f = gini(x)\nSELECT 1e300 AS x",
            r"wrong\.sql: column x is 1e\+300, but a model reads numbers up to 3\.4e\+38",
        ),
    ],
)
async def test_a_number_that_no_model_can_read_fails_the_run_naming_file_and_column(
    bench: Bench, sql: str, says: str
) -> None:
    bench.write("wrong", f"{sql} FROM DUAL WHERE %(entity_id)s = 'shop-1'")
    with pytest.raises(PermanentError, match=says) as failed:
        await bench.read("shop-1")
    assert failed.value.type == "bad_feature"


async def test_a_feature_that_writes_is_refused(bench: Bench, observer: Observer) -> None:
    await observer.rows(f"GRANT ALL ON {PLAIN}.* TO {observer.account}")
    await observer.rows(
        "CREATE FUNCTION sneak() RETURNS INT DETERMINISTIC MODIFIES SQL DATA"
        " BEGIN INSERT INTO things VALUES (1); RETURN 1; END"
    )
    bench.write("wrong", feature("SELECT sneak() AS f FROM DUAL WHERE %(entity_id)s <> ''"))
    with pytest.raises(RunError, match="READ ONLY transaction"):
        await bench.read("shop-1")


async def test_an_entity_id_is_bound_and_never_pasted(bench: Bench) -> None:
    with pytest.raises(PermanentError, match="is not on the platform"):
        await bench.read("x' OR '1' = '1")
