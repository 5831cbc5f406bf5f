"""The demo platform at full scale: as large, as lively, and as hard to judge as it promises."""

from collections.abc import Callable

import numpy as np
import pytest

from fraudd.local.platform.columns import Column
from fraudd.local.platform.platform import Demo, generate, labels, labels_now, scenarios
from fraudd.local.platform.rhythm import rhythm_before
from tests.stack.demo import (
    DAY,
    INVARIANTS,
    NOW,
    SCENARIOS,
    at,
    in_progress,
    orders_by_shop,
    rows_of,
    started,
)


@pytest.fixture(scope="module")
def demo() -> Demo:
    return generate(seed=1, now=NOW)


@pytest.mark.parametrize("holds", INVARIANTS)
def test_it_holds_at_full_scale(demo: Demo, holds: Callable[[Demo], None]) -> None:
    holds(demo)


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


def test_the_platform_is_as_large_as_promised(demo: Demo) -> None:
    count = orders_by_shop(demo)
    assert count.size >= 3_000
    assert np.count_nonzero(demo.tables["orders"]["created_at"] <= at(NOW)) >= 500_000
    assert count.max() >= 50_000


def test_most_shops_are_small(demo: Demo) -> None:
    count = orders_by_shop(demo)
    assert np.median(count) < 60
    assert 0.30 <= np.mean(count < 5) <= 0.40


def test_people_buy_in_the_evening_and_more_every_month(demo: Demo) -> None:
    created = demo.tables["orders"]["created_at"]
    hour = (created - created.astype("datetime64[D]")) // np.timedelta64(1, "h")
    by_hour = np.bincount(hour.astype(np.int64), minlength=24)
    assert by_hour[18:22].mean() > 4 * by_hour[1:5].mean()
    month = ((created - at(demo.begins)) // (28 * DAY)).astype(np.int64)
    by_month = np.bincount(month, minlength=7)
    assert by_month[5] > 1.25 * by_month[0]


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


def test_frauds_begin_all_the_time(demo: Demo) -> None:
    day = (started(demo) - at(demo.begins)) / DAY
    assert 20 <= day.min() <= 40
    by_month = np.histogram(day, bins=[30, 60, 90, 120, 150, 180, 200])[0]
    assert by_month.min() >= 25
    assert np.count_nonzero(day > 200) >= 10


def test_the_largest_shop_is_honest(demo: Demo) -> None:
    assert f"shop-{orders_by_shop(demo).argmax() + 1}" not in scenarios(demo)


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
