"""The shipped feature SQL on the demo platform: nothing of the future, nothing of the answer."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiomysql
import pytest

from fraudd.clock import SystemClock
from fraudd.database.connections import Connections
from fraudd.database.server import Server
from fraudd.local.settings import DatabaseServer, Settings
from fraudd.scoring import feature_files as files
from fraudd.scoring.features import SqlFeatures
from tests.stack.database import DEMO, PREFIX, permits_up_to, server_of
from tests.stack.paths import ROOT

FILES = files.load(ROOT / "config" / "features")
SCHEMA = (ROOT / "config" / "schema.sql").read_text()
#: The demo platform as it was, and a small one of a test's own.
PAST, EDGE = f"{PREFIX}past", f"{PREFIX}edge"
#: Columns that are overwritten in place: as of an earlier time nobody knows what they were.
#: Here is what they are in the copy of the past, the same for everybody.
OVERWRITTEN = {
    "payments": {"status": "'authorized'"},
    "users": {"country": "'XX'"},
    "shops": {"closed_at": "NULL"},
}
EVENT_TIMES = {
    "orders": "created_at",
    "payments": "created_at",
    "chargebacks": "reported_at",
    "listings": "created_at",
    "reviews": "created_at",
    "payouts": "requested_at",
    "shop_bank_accounts": "added_at",
    "logins": "created_at",
}
RHYTHM = [reduction.feature for file in FILES.files for reduction in file.reductions]
#: Rows, by table and id, that show whether a window has the right ends.
MOVED = [*((table, 1) for table in EVENT_TIMES), ("logins", 3)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Databases:
    """The server, with a way to change any database and to read features from it."""

    connection: Any
    server: Server

    async def rows(self, sql: str) -> Any:
        async with self.connection.cursor() as cursor:
            await cursor.execute(sql)
            return await cursor.fetchall()

    async def features(
        self, database: str, entities: list[str], as_of: datetime
    ) -> list[dict[str, str]]:
        """The features of entities as text, in which missing equals missing."""
        permits = permits_up_to(1)
        server = replace(self.server, name=database)
        connections = Connections(server, permits, clock=SystemClock())
        features = SqlFeatures(FILES, connections, SystemClock())
        permit = await permits.acquire()
        async with connections.snapshot(permit) as snapshot:
            vectors = [
                {
                    name: repr(value)
                    for name, value in (await features.compute(snapshot, e, as_of)).items()
                }
                for e in entities
            ]
        await connections.close()
        return vectors


@pytest.fixture
async def databases(database: DatabaseServer) -> AsyncIterator[Databases]:
    connection = await aiomysql.connect(
        host=database.host,
        port=database.port,
        user=database.user,
        password=database.password,
        autocommit=True,
        init_command="SET SESSION sql_notes = 0",
    )
    yield Databases(connection=connection, server=server_of(database))
    await connection.ensure_closed()


async def test_no_feature_sees_the_future_the_answer_or_what_is_overwritten_in_place(
    platform: Settings, databases: Databases
) -> None:
    as_of = datetime.now(UTC).replace(tzinfo=None, microsecond=0) - timedelta(days=10)
    await _copy_of_the_past(databases, as_of)
    await databases.connection.select_db(DEMO)
    shops = await databases.rows(
        # MySQL 9.7 knows no MD5 any more.
        f"SELECT shop_id FROM shops WHERE created_at <= '{as_of}'"
        " ORDER BY (SELECT COUNT(*) FROM fraud_scenarios f WHERE f.shop_id = shops.shop_id)"
        " DESC, SHA2(shop_id, 256) LIMIT 60"
    )
    entities = [row[0] for row in shops]
    seen_now = await databases.features(DEMO, entities, as_of)
    seen_then = await databases.features(PAST, entities, as_of)
    assert seen_now == seen_then
    assert len({vector["orders_60d"] for vector in seen_now}) > 5
    for name in RHYTHM:
        assert len({vector[name] for vector in seen_now}) > 5


@pytest.mark.parametrize("days", [1, 3, 7, 14, 30, 45, 60])
@pytest.mark.parametrize(("table", "row"), MOVED)
async def test_windows_are_half_open(databases: Databases, table: str, row: int, days: int) -> None:
    """A row exactly at the window's begin is outside it, one exactly at its end is inside."""
    as_of, second = datetime(2026, 11, 24, 12), timedelta(seconds=1)
    begin = as_of - timedelta(days=days)
    await _one_shop(databases, as_of)

    async def with_row_at(at: datetime) -> dict[str, str]:
        await databases.rows(f"UPDATE {table} SET {EVENT_TIMES[table]} = '{at}' WHERE id = {row}")
        await databases.rows("UPDATE payments SET declined_at = created_at")
        [vector] = await databases.features(EDGE, ["shop-1"], as_of)
        return vector

    assert await with_row_at(begin) == await with_row_at(begin - second)
    assert await with_row_at(as_of) == await with_row_at(as_of - second)
    assert await with_row_at(as_of) != await with_row_at(as_of + second)


async def test_the_rhythm_is_that_of_sixty_days_and_nothing_else(databases: Databases) -> None:
    """An order exactly at the begin, or after the end, changes none of it; one within all of it."""
    as_of, second = datetime(2026, 11, 24, 3), timedelta(seconds=1)
    begin, noon = as_of - timedelta(days=60), as_of - timedelta(hours=15)
    await _one_shop(databases, as_of)
    for row, at in ((3, begin + 600 * second), (4, noon), (5, as_of - 600 * second)):
        await _insert(databases, "orders", {"id": row, "shop_id": "shop-1"}, at)

    async def with_order_at(at: datetime) -> dict[str, str]:
        await databases.rows(f"UPDATE orders SET created_at = '{at}', amount = 5 WHERE id = 1")
        [vector] = await databases.features(EDGE, ["shop-1"], as_of)
        return {name: vector[name] for name in RHYTHM}

    without = await with_order_at(as_of + timedelta(days=9))
    assert await with_order_at(begin) == without
    assert await with_order_at(as_of + second) == without
    for within in (begin + second, as_of):
        rhythm = await with_order_at(within)
        assert all(rhythm[name] != without[name] for name in RHYTHM)


async def test_the_rhythm_is_read_in_the_order_of_an_index(
    platform: Settings, databases: Databases
) -> None:
    [(shop, _)] = await databases.rows(
        f"SELECT shop_id, COUNT(*) AS orders FROM {DEMO}.orders GROUP BY 1 ORDER BY 2 DESC LIMIT 1"
    )
    [file] = [file for file in FILES.files if file.reductions]
    bound = {"entity_id": f"'{shop}'", "as_of": f"'{datetime.now(UTC):%Y-%m-%d %H:%M:%S}'"}
    await databases.connection.select_db(DEMO)
    [plan] = await databases.rows(f"EXPLAIN FORMAT=TRADITIONAL {file.sql % bound}")
    assert "filesort" not in plan[-1]


async def test_a_shop_without_any_trace_has_a_vector_and_an_unknown_one_has_none(
    databases: Databases,
) -> None:
    as_of = datetime(2026, 11, 24, 12)
    await _one_shop(databases, as_of)
    [vector] = await databases.features(EDGE, ["shop-2"], as_of)
    assert vector.keys() == FILES.features.keys()
    assert vector["orders_60d"] == "0.0"


def test_every_feature_reads_what_an_analyst_understands() -> None:
    for feature in FILES.features.values():
        assert feature.reason(0.5)
        assert feature.reason(None).endswith(": unknown")


def test_windows_are_sixty_days_at_most() -> None:
    days = [int(n) for file in FILES.files for n in re.findall(r"INTERVAL (\d+) DAY", file.sql)]
    assert max(days) == 60


async def _copy_of_the_past(databases: Databases, as_of: datetime) -> None:
    """Make the database as it was: no later row, no later time, nothing overwritten since."""
    await databases.rows(f"DROP DATABASE IF EXISTS {PAST}")
    await databases.rows(f"CREATE DATABASE {PAST}")
    tables = await databases.rows(f"SHOW TABLES FROM {DEMO}")
    for (table,) in tables:
        if table in ("fraud_scenarios", "demo_stamp"):
            continue
        columns = await databases.rows(f"SHOW COLUMNS FROM {DEMO}.{table}")
        chosen, happened = [], []
        for name, kind, null, *_ in columns:
            if name in OVERWRITTEN.get(table, {}):
                chosen.append("NULL" if null == "YES" else OVERWRITTEN[table][name])
            elif kind == "datetime" and null == "YES":
                chosen.append(f"IF({name} <= '{as_of}', {name}, NULL)")
            else:
                chosen.append(name)
                if kind == "datetime":
                    happened.append(f"{name} <= '{as_of}'")
        await databases.rows(f"CREATE TABLE {PAST}.{table} LIKE {DEMO}.{table}")
        await databases.rows(
            f"INSERT INTO {PAST}.{table} SELECT {', '.join(chosen)} FROM {DEMO}.{table}"
            f" WHERE {' AND '.join(happened)}"
        )


async def _one_shop(databases: Databases, as_of: datetime) -> None:
    """Make a platform whose rows in ``MOVED`` lie in the future, for a test to move them."""
    old, later, recent = (as_of + timedelta(days=days) for days in (-400, 9, -2))
    await databases.rows(f"DROP DATABASE IF EXISTS {EDGE}")
    await databases.rows(f"CREATE DATABASE {EDGE}")
    await databases.connection.select_db(EDGE)
    for statement in re.sub(r"--.*", "", SCHEMA).split(";"):
        if statement.strip():
            await databases.rows(statement)
    for n in (1, 2, 3):
        await _insert(databases, "shops", {"shop_id": f"shop-{n}", "owner_id": n}, old)
        await _insert(databases, "users", {"id": n}, old)
    for table in EVENT_TIMES:
        if table != "logins":
            for row, at in ((1, later), (2, recent)):
                known = {"id": row, "shop_id": "shop-1", "user_id": row, "device_hash": 9}
                await _insert(databases, table, known, at)
    # The owner of shop-1 shares one device with the owner of shop-2, another with that of shop-3.
    for row, user, place, at in (
        (1, 1, 9, later),
        (2, 1, 1, recent),
        (3, 2, 1, later),
        (4, 3, 9, recent),
    ):
        known = {"id": row, "user_id": user, "device_hash": place, "ip": place, "country": place}
        await _insert(databases, "logins", known, at)
    await databases.rows("UPDATE payments SET declined_at = created_at")


async def _insert(databases: Databases, table: str, known: dict[str, Any], at: datetime) -> None:
    """Insert a row with plain values in the columns that ``known`` does not name."""
    columns = await databases.rows(f"SHOW COLUMNS FROM {EDGE}.{table}")
    values = {}
    for name, kind, null, *_ in columns:
        if name in known:
            values[name] = f"'{known[name]}'"
        elif null == "YES":
            values[name] = "NULL"
        elif kind == "datetime":
            values[name] = f"'{at}'"
        elif kind.startswith("enum"):
            values[name] = kind.split("'")[1].join("''")
        else:
            values[name] = "'1'"
    await databases.rows(
        f"INSERT INTO {EDGE}.{table} ({', '.join(values)}) VALUES ({', '.join(values.values())})"
    )
