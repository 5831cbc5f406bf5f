"""The demo platform: as large, as lively and as hard to judge as it promises."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fraudd.local.platform.columns import Column, Times
from fraudd.local.platform.load import write_tables
from fraudd.local.platform.platform import (
    LABELLED_DAYS_AGO,
    Demo,
    Label,
    generate,
    labels,
    labels_now,
    scenarios,
    write_labels,
)
from fraudd.local.platform.rhythm import rhythm_before

CONFIG = Path(__file__).parents[3] / "config"
NOW = datetime(2026, 11, 25, 8, 30, tzinfo=UTC)
DAY = np.timedelta64(1, "D")
SCENARIOS = {"bust_out", "card_testing", "takeover", "ring"}


@pytest.fixture(scope="module")
def demo() -> Demo:
    return generate(seed=1, now=NOW)


@pytest.fixture(scope="module")
def small() -> Demo:
    return generate(seed=1, now=NOW, scale=0.05)


@pytest.fixture(params=["demo", "small"])
def either(request: pytest.FixtureRequest) -> Demo:
    made: Demo = request.getfixturevalue(request.param)
    return made


def at(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.replace(tzinfo=None), "s")


def rows_of(shops: Column) -> NDArray[np.int64]:
    """Row of each shop in the table of shops."""
    return np.char.partition(shops, b"-")[:, 2].astype(np.int64) - 1


def orders_by_shop(demo: Demo) -> NDArray[np.int64]:
    """Number of orders of each shop."""
    shops, orders = demo.tables["shops"], demo.tables["orders"]
    return np.bincount(rows_of(orders["shop_id"]), minlength=shops["shop_id"].size)


def in_progress(demo: Demo) -> Counter[str]:
    """Number of frauds in progress at now, by scenario."""
    scenario = scenarios(demo)
    return Counter(scenario[row.entity_id] for row in labels_now(demo) if row.label)


def started(demo: Demo) -> Times:
    return demo.tables["fraud_scenarios"]["starts_at"]


def orders_of(demo: Demo, scenario: str) -> dict[str, Column]:
    """The orders that shops of a scenario took from its start to its end."""
    told, orders = demo.tables["fraud_scenarios"], demo.tables["orders"]
    kept = told["scenario"] == scenario.encode()
    starts = np.full(demo.tables["shops"]["shop_id"].size, np.datetime64("NaT", "s"))
    ends = starts.copy()
    starts[rows_of(told["shop_id"][kept])] = told["starts_at"][kept]
    ends[rows_of(told["shop_id"][kept])] = told["ends_at"][kept]
    shop, created = rows_of(orders["shop_id"]), orders["created_at"]
    belongs = (created >= starts[shop]) & (created <= ends[shop])
    return {name: column[belongs] for name, column in orders.items()}


def test_the_same_seed_makes_the_same_platform(small: Demo) -> None:
    again = generate(seed=1, now=NOW, scale=0.05)
    for table, columns in small.tables.items():
        for name, column in columns.items():
            assert column.tobytes() == again.tables[table][name].tobytes(), f"{table}.{name}"


def test_another_seed_makes_another_platform(small: Demo) -> None:
    other = generate(seed=2, now=NOW, scale=0.05)
    assert scenarios(other) != scenarios(small)


def test_the_zone_of_now_does_not_matter(small: Demo) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=9)))
    there = generate(seed=1, now=elsewhere, scale=0.05)
    assert np.array_equal(
        there.tables["orders"]["created_at"], small.tables["orders"]["created_at"]
    )


def test_tables_and_columns_are_those_of_the_schema(demo: Demo) -> None:
    schema = re.sub(r"--.*", "", (CONFIG / "schema.sql").read_text())
    bodies = dict(re.findall(r"CREATE TABLE (\w+) \((.*?)\n\);", schema, re.DOTALL))
    expected = {name: re.findall(r"^ +([a-z_]+) ", body, re.M) for name, body in bodies.items()}
    assert {name: list(columns) for name, columns in demo.tables.items()} == expected
    for name, columns in demo.tables.items():
        assert len({column.size for column in columns.values()}) == 1, name


def test_ids_have_no_gaps(either: Demo) -> None:
    shops = either.tables["shops"]["shop_id"]
    assert shops.tolist() == [b"shop-%d" % number for number in range(1, shops.size + 1)]
    for name, columns in either.tables.items():
        if "id" in columns:
            assert np.array_equal(columns["id"], np.arange(1, columns["id"].size + 1)), name


def test_ids_rise_with_time(either: Demo) -> None:
    for name, columns in either.tables.items():
        event = next((c for n, c in columns.items() if n in ("created_at", "added_at")), None)
        assert event is None or np.all(np.diff(event) >= np.timedelta64(0)), name


def test_rows_point_to_rows_that_exist(either: Demo) -> None:
    users, orders = either.tables["users"]["id"].size, either.tables["orders"]["id"].size
    shops = either.tables["shops"]["shop_id"]
    for name, columns in either.tables.items():
        for key in columns.keys() & {"user_id", "owner_id"}:
            assert 1 <= columns[key].min() <= columns[key].max() <= users, name
        if "order_id" in columns:
            given = columns["order_id"][columns["order_id"] >= 0]
            assert 1 <= given.min() <= given.max() <= orders, name
        if "shop_id" in columns:
            assert np.all(np.isin(columns["shop_id"], shops)), name


def test_nothing_happens_after_the_data_end(either: Demo) -> None:
    assert either.begins == NOW - timedelta(days=200)
    assert either.ends == NOW + timedelta(days=14)
    for name, columns in either.tables.items():
        for column, values in columns.items():
            if values.dtype.kind == "M":
                known = values[~np.isnat(values)]
                assert np.all(known <= at(either.ends)), f"{name}.{column}"


def test_nobody_trades_before_the_shop_or_the_user_is_there(either: Demo) -> None:
    shops, users, orders = (either.tables[name] for name in ("shops", "users", "orders"))
    shop = rows_of(orders["shop_id"])
    assert np.all(shops["created_at"][shop] <= orders["created_at"])
    assert np.all(users["created_at"][orders["user_id"] - 1] <= orders["created_at"])
    closed = shops["closed_at"][shop]
    assert np.all(np.isnat(closed) | (orders["created_at"] <= closed))


def test_the_platform_is_as_large_as_promised(demo: Demo) -> None:
    count = orders_by_shop(demo)
    assert count.size >= 3_000
    assert np.count_nonzero(demo.tables["orders"]["created_at"] <= at(NOW)) >= 500_000
    assert count.max() >= 50_000


def test_most_shops_are_small(demo: Demo) -> None:
    count = orders_by_shop(demo)
    assert np.median(count) < 60
    assert 0.30 <= np.mean(count < 5) <= 0.40


def test_scale_multiplies_shops_and_orders(small: Demo) -> None:
    count = orders_by_shop(small)
    assert count.size >= 150
    assert count.max() >= 2_500
    assert count.sum() >= 25_000


@pytest.mark.parametrize("scale", [0.001, 0.01])
def test_the_smallest_platforms_can_be_made(scale: float) -> None:
    tiny = generate(seed=3, now=NOW, scale=scale)
    assert tiny.tables["shops"]["shop_id"].size >= 1
    assert all(row.label in (0, 1) for row in labels(tiny))


def test_amounts_are_positive_whole_cents(demo: Demo) -> None:
    for table in ("orders", "payments", "listings", "payouts", "chargebacks"):
        column = demo.tables[table]["price" if table == "listings" else "amount"]
        assert column.min() >= 0.5
        assert np.abs(column * 100 - np.rint(column * 100)).max() < 1e-4


def test_people_buy_in_the_evening_and_more_every_month(demo: Demo) -> None:
    created = demo.tables["orders"]["created_at"]
    hour = (created - created.astype("datetime64[D]")) // np.timedelta64(1, "h")
    by_hour = np.bincount(hour.astype(np.int64), minlength=24)
    assert by_hour[18:22].mean() > 4 * by_hour[1:5].mean()
    month = ((created - at(demo.begins)) // (28 * DAY)).astype(np.int64)
    by_month = np.bincount(month, minlength=7)
    assert by_month[5] > 1.25 * by_month[0]


@pytest.mark.parametrize("days", range(7))
def test_the_sale_is_a_weekend_well_before_now(days: int) -> None:
    now = at(NOW + timedelta(days=days))
    sale = rhythm_before(now).sale
    assert 200 - 19 < sale <= 200 - 12
    begins = now - 200 * DAY + np.timedelta64(round(sale * 86_400), "s")
    assert begins == begins.astype("datetime64[D]")
    assert (begins - np.datetime64("2026-11-28", "s")) % (7 * DAY) == np.timedelta64(0)  # Saturday


def test_everybody_sells_four_times_as_much_at_the_sale(demo: Demo) -> None:
    sale = at(demo.begins) + np.timedelta64(round(rhythm_before(at(NOW)).sale * 86_400), "s")
    orders = demo.tables["orders"]
    largest = rows_of(orders["shop_id"]) == orders_by_shop(demo).argmax()
    for who in (largest, ~largest):
        created = orders["created_at"][who]
        weekends = [
            np.count_nonzero((created >= begins) & (created < begins + 2 * DAY))
            for begins in (sale - 14 * DAY, sale - 7 * DAY, sale)
        ]
        assert 3 < weekends[2] / np.mean(weekends[:2]) < 5


def test_frauds_do_not_begin_with_the_sale(demo: Demo) -> None:
    sale = at(demo.begins) + np.timedelta64(round(rhythm_before(at(NOW)).sale * 86_400), "s")
    with_it = (started(demo) >= sale) & (started(demo) < sale + 2 * DAY)
    assert np.mean(with_it) < 0.04  # two days of 190, and growing


def test_all_scenarios_are_in_progress_at_now(demo: Demo) -> None:
    found = in_progress(demo)
    assert found.keys() == SCENARIOS
    assert 75 <= found.total() <= 95
    assert min(found.values()) >= 15


@pytest.mark.parametrize("seed", range(10, 16))
def test_all_scenarios_are_in_progress_on_a_small_platform_too(seed: int) -> None:
    found = in_progress(generate(seed=seed, now=NOW, scale=0.05))
    assert found.keys() == SCENARIOS
    assert min(found.values()) >= 2


def test_frauds_begin_all_the_time(demo: Demo) -> None:
    day = (started(demo) - at(demo.begins)) / DAY
    assert 20 <= day.min() <= 40
    by_month = np.histogram(day, bins=[30, 60, 90, 120, 150, 180, 200])[0]
    assert by_month.min() >= 25
    assert np.count_nonzero(day > 200) >= 10


def test_the_largest_shop_is_honest(demo: Demo) -> None:
    assert f"shop-{orders_by_shop(demo).argmax() + 1}" not in scenarios(demo)


def test_fraud_shops_are_closed_and_taken_over_ones_go_on(demo: Demo) -> None:
    told, shops = demo.tables["fraud_scenarios"], demo.tables["shops"]
    closed = shops["closed_at"][rows_of(told["shop_id"])]
    taken_over = told["scenario"] == b"takeover"
    assert np.all(np.isnat(closed[taken_over]))
    over = ~taken_over & (told["ends_at"] < at(demo.ends))
    assert np.array_equal(closed[over], told["ends_at"][over])
    assert np.all(told["starts_at"] < told["ends_at"])


def test_labels_follow_the_scenarios(demo: Demo) -> None:
    told = demo.tables["fraud_scenarios"]
    span = {
        shop.decode(): (starts, ends)
        for shop, starts, ends in zip(
            told["shop_id"].tolist(), told["starts_at"], told["ends_at"], strict=True
        )
    }
    for row in labels(demo):
        starts, ends = span.get(row.entity_id, (at(demo.ends), at(demo.ends)))
        assert row.label == (starts <= at(row.as_of) <= ends), row


def test_labels_are_for_shops_that_are_open(demo: Demo) -> None:
    shops = demo.tables["shops"]
    for row in labels(demo)[::17]:
        number = int(row.entity_id.removeprefix("shop-")) - 1
        assert shops["created_at"][number] <= at(row.as_of)
        assert not shops["closed_at"][number] <= at(row.as_of)


def test_labels_lie_where_windows_and_reports_are_complete(demo: Demo) -> None:
    times = sorted({row.as_of for row in labels(demo)})
    assert times == [NOW - timedelta(days=days) for days in LABELLED_DAYS_AGO]
    assert times[0] - timedelta(days=62) >= demo.begins
    assert times[-1] <= NOW - timedelta(days=21)


def test_there_are_labels_enough_and_one_in_thirty_is_fraud(demo: Demo) -> None:
    rows, rows_now = labels(demo), labels_now(demo)
    assert 6_000 <= len(rows) <= 9_000
    assert 0.02 <= np.mean([row.label for row in rows]) <= 0.04
    assert 0.02 <= np.mean([row.label for row in rows_now]) <= 0.04
    assert {row.as_of for row in rows_now} == {NOW}
    for as_of in {row.as_of for row in rows}:
        assert sum(row.label for row in rows if row.as_of == as_of) >= 30


def test_chargebacks_come_weeks_later_and_not_for_all(demo: Demo) -> None:
    orders = orders_of(demo, "bust_out")
    chargebacks = demo.tables["chargebacks"]
    unshipped = np.isnat(orders["shipped_at"]) & np.isnat(orders["cancelled_at"])
    old = orders["created_at"] < at(demo.ends) - 60 * DAY
    charged = np.isin(orders["id"], chargebacks["order_id"])
    assert 0.3 < np.mean(charged[unshipped & old]) < 0.7
    ordered = demo.tables["orders"]["created_at"][chargebacks["order_id"] - 1]
    delay = (chargebacks["reported_at"] - ordered) / DAY
    assert delay.min() >= 6
    assert 14 < np.median(delay) < 35


def test_every_scenario_has_weak_and_strong_cases(demo: Demo) -> None:
    orders = orders_of(demo, "bust_out")
    unshipped = np.isnat(orders["shipped_at"]) & np.isnat(orders["cancelled_at"])
    _, shop = np.unique(orders["shop_id"], return_inverse=True)
    share = np.bincount(shop, weights=unshipped) / np.bincount(shop)
    assert np.quantile(share, 0.1) < 0.5
    assert np.quantile(share, 0.9) > 0.9


def test_honest_shops_show_every_sign_of_fraud_as_well(demo: Demo) -> None:
    frauds = np.array([shop.encode() for shop in scenarios(demo)])

    def honest(table: str) -> dict[str, Column]:
        columns = demo.tables[table]
        kept = ~np.isin(columns["shop_id"], frauds)
        return {name: column[kept] for name, column in columns.items()}

    accounts, chargebacks, payments, orders = map(
        honest, ("shop_bank_accounts", "chargebacks", "payments", "orders")
    )
    assert np.mean(np.unique(accounts["shop_id"], return_counts=True)[1] > 1) > 0.15
    owner_of = dict(
        zip(demo.tables["shops"]["shop_id"], demo.tables["shops"]["owner_id"], strict=True)
    )
    owners_of: dict[bytes, set[int]] = {}
    for shop, iban in zip(accounts["shop_id"], accounts["iban_hash"], strict=True):
        owners_of.setdefault(iban, set()).add(int(owner_of[shop]))
    assert sum(len(owners) > 1 for owners in owners_of.values()) >= 10
    delivered = demo.tables["orders"]["delivered_at"][chargebacks["order_id"] - 1]
    assert np.count_nonzero(delivered < chargebacks["reported_at"]) > 500
    small = payments["amount"][~np.isnat(payments["declined_at"])] < 8
    assert np.count_nonzero(small) > 2_000
    slow = orders["shipped_at"] - orders["created_at"] > 14 * DAY
    assert np.unique(orders["shop_id"][slow]).size > 100


def test_labels_are_written_as_csv(tmp_path: Path) -> None:
    moment = datetime(2026, 10, 30, 14, tzinfo=timezone(timedelta(hours=2)))
    rows = [Label(entity_id="shop-7", as_of=moment, label=1)]
    write_labels(tmp_path / "labels.csv", rows)
    text = (tmp_path / "labels.csv").read_text()
    assert text == "entity_id,as_of,label\nshop-7,2026-10-30T12:00:00.000Z,1\n"


def test_tables_are_written_as_the_database_reads_them(tmp_path: Path) -> None:
    columns: dict[str, Column] = {
        "id": np.array([1, 20, 100_305]),
        "order_id": np.array([-1, 0, 7]),
        "amount": np.array([0.5, 1_234.07, 20_000.0]),
        "card_hash": np.array([b"00ff", b"abcd", b"1234"]),
        "at": np.array(["NaT", "1969-12-31T23:59:59", "2026-11-24T08:00:09"], "datetime64[s]"),
    }
    demo = Demo(tables={"things": columns}, now=NOW, begins=NOW, ends=NOW)
    files = write_tables(demo, tmp_path)
    assert files["things"].read_text().splitlines() == [
        "1\t\\N\t0.50\t00ff\t\\N",
        "20\t0\t1234.07\tabcd\t1969-12-31 23:59:59",
        "100305\t7\t20000.00\t1234\t2026-11-24 08:00:09",
    ]


def test_a_file_has_a_line_for_each_row(small: Demo, tmp_path: Path) -> None:
    files = write_tables(small, tmp_path)
    assert files.keys() == small.tables.keys()
    for name, columns in small.tables.items():
        lines = files[name].read_bytes().splitlines()
        assert len(lines) == next(iter(columns.values())).size
        assert {line.count(b"\t") for line in lines} == {len(columns) - 1}


def test_a_now_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        generate(seed=1, now=NOW.replace(tzinfo=None))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_a_scale_that_is_not_positive_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="scale"):
        generate(seed=1, now=NOW, scale=scale)


def feature_files() -> dict[str, tuple[str, str]]:
    """Header and statement of each feature file."""
    files = {}
    for file in sorted((CONFIG / "features").glob("*.sql")):
        header, select, statement = file.read_text().partition("\nSELECT")
        files[file.name] = (header, select + statement)
    return files


def test_features_have_names_of_their_own_and_reasons() -> None:
    names = []
    for header, statement in feature_files().values():
        for name, reason in re.findall(r"^-- feature (\w+): .+? \| (.+)$", header, re.M):
            assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
            assert reason.format(value=1.5) != reason
            assert re.search(rf"AS {name}\b", statement) or f"-- rows: {name} = " in header, name
            names.append(name)
        assert len(re.findall(r"^-- feature ", header, re.M)) > 0
    assert len(names) == len(set(names))
    assert 25 <= len(names) <= 40


def test_one_feature_file_says_whether_the_shop_exists() -> None:
    marked = [name for name, (header, _) in feature_files().items() if "-- exists\n" in header]
    assert marked == ["shop.sql"]


@pytest.mark.parametrize("name", feature_files())
def test_features_read_nothing_that_changes_in_place_or_knows_the_answer(name: str) -> None:
    _, statement = feature_files()[name]
    words = set(re.findall(r"\w+", re.sub(r"--.*", "", statement).lower()))
    assert not words & {"fraud_scenarios", "status", "closed_at", "users"}
    assert not words & {"now", "curdate", "current_timestamp", "sysdate", "rand", "uuid"}
    bound = statement.replace("%(entity_id)s", "").replace("%(as_of)s", "")
    assert "%" not in bound.replace("%%", "")


@pytest.mark.parametrize("name", feature_files())
def test_windows_of_features_are_half_open_and_sixty_days_at_most(name: str) -> None:
    _, statement = feature_files()[name]
    assert ">= %(as_of)s" not in statement
    assert "< %(as_of)s" not in statement
    assert all(int(days) <= 60 for days in re.findall(r"INTERVAL (\d+) DAY", statement))
