"""The demo platform's tables, as tests read them, and what holds of a platform of any size."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fraudd.local.platform.columns import Column, Times
from fraudd.local.platform.platform import (
    LABELLED_DAYS_AGO,
    Demo,
    labels,
    labels_now,
    scenarios,
)

CONFIG = Path(__file__).parents[2] / "config"
NOW = datetime(2026, 11, 25, 8, 30, tzinfo=UTC)
DAY = np.timedelta64(1, "D")
SCENARIOS = {"bust_out", "card_testing", "takeover", "ring"}


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


def ids_have_no_gaps(demo: Demo) -> None:
    shops = demo.tables["shops"]["shop_id"]
    assert shops.tolist() == [b"shop-%d" % number for number in range(1, shops.size + 1)]
    for name, columns in demo.tables.items():
        if "id" in columns:
            assert np.array_equal(columns["id"], np.arange(1, columns["id"].size + 1)), name


def ids_rise_with_time(demo: Demo) -> None:
    for name, columns in demo.tables.items():
        event = next((c for n, c in columns.items() if n in ("created_at", "added_at")), None)
        assert event is None or np.all(np.diff(event) >= np.timedelta64(0)), name


def rows_point_to_rows_that_exist(demo: Demo) -> None:
    users, orders = demo.tables["users"]["id"].size, demo.tables["orders"]["id"].size
    shops = demo.tables["shops"]["shop_id"]
    for name, columns in demo.tables.items():
        for key in columns.keys() & {"user_id", "owner_id"}:
            assert 1 <= columns[key].min() <= columns[key].max() <= users, name
        if "order_id" in columns:
            given = columns["order_id"][columns["order_id"] >= 0]
            assert 1 <= given.min() <= given.max() <= orders, name
        if "shop_id" in columns:
            assert np.all(np.isin(columns["shop_id"], shops)), name


def nothing_happens_after_the_data_end(demo: Demo) -> None:
    assert demo.begins == NOW - timedelta(days=200)
    assert demo.ends == NOW + timedelta(days=14)
    for name, columns in demo.tables.items():
        for column, values in columns.items():
            if values.dtype.kind == "M":
                known = values[~np.isnat(values)]
                assert np.all(known <= at(demo.ends)), f"{name}.{column}"


def nobody_trades_before_the_shop_or_the_user_is_there(demo: Demo) -> None:
    shops, users, orders = (demo.tables[name] for name in ("shops", "users", "orders"))
    shop = rows_of(orders["shop_id"])
    assert np.all(shops["created_at"][shop] <= orders["created_at"])
    assert np.all(users["created_at"][orders["user_id"] - 1] <= orders["created_at"])
    closed = shops["closed_at"][shop]
    assert np.all(np.isnat(closed) | (orders["created_at"] <= closed))


def fraud_shops_are_closed_and_taken_over_ones_go_on(demo: Demo) -> None:
    told, shops = demo.tables["fraud_scenarios"], demo.tables["shops"]
    closed = shops["closed_at"][rows_of(told["shop_id"])]
    taken_over = told["scenario"] == b"takeover"
    assert np.all(np.isnat(closed[taken_over]))
    over = ~taken_over & (told["ends_at"] < at(demo.ends))
    assert np.array_equal(closed[over], told["ends_at"][over])
    assert np.all(told["starts_at"] < told["ends_at"])


def labels_follow_the_scenarios(demo: Demo) -> None:
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


def labels_are_for_shops_that_are_open(demo: Demo) -> None:
    shops = demo.tables["shops"]
    for row in labels(demo)[::17]:
        number = int(row.entity_id.removeprefix("shop-")) - 1
        assert shops["created_at"][number] <= at(row.as_of)
        assert not shops["closed_at"][number] <= at(row.as_of)


def labels_lie_where_windows_and_reports_are_complete(demo: Demo) -> None:
    times = sorted({row.as_of for row in labels(demo)})
    assert times == [NOW - timedelta(days=days) for days in LABELLED_DAYS_AGO]
    assert times[0] - timedelta(days=62) >= demo.begins
    assert times[-1] <= NOW - timedelta(days=21)


def amounts_are_positive_whole_cents(demo: Demo) -> None:
    for table in ("orders", "payments", "listings", "payouts", "chargebacks"):
        column = demo.tables[table]["price" if table == "listings" else "amount"]
        assert column.min() >= 0.5
        assert np.abs(column * 100 - np.rint(column * 100)).max() < 1e-4


def tables_and_columns_are_those_of_the_schema(demo: Demo) -> None:
    schema = re.sub(r"--.*", "", (CONFIG / "schema.sql").read_text())
    bodies = dict(re.findall(r"CREATE TABLE (\w+) \((.*?)\n\);", schema, re.DOTALL))
    expected = {name: re.findall(r"^ +([a-z_]+) ", body, re.M) for name, body in bodies.items()}
    assert {name: list(columns) for name, columns in demo.tables.items()} == expected
    for name, columns in demo.tables.items():
        assert len({column.size for column in columns.values()}) == 1, name


#: Each raises AssertionError if a platform breaks it.
INVARIANTS: Sequence[Callable[[Demo], None]] = (
    ids_have_no_gaps,
    ids_rise_with_time,
    rows_point_to_rows_that_exist,
    nothing_happens_after_the_data_end,
    nobody_trades_before_the_shop_or_the_user_is_there,
    fraud_shops_are_closed_and_taken_over_ones_go_on,
    labels_follow_the_scenarios,
    labels_are_for_shops_that_are_open,
    labels_lie_where_windows_and_reports_are_complete,
    amounts_are_positive_whole_cents,
    tables_and_columns_are_those_of_the_schema,
)
