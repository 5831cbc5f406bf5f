"""Tables: everything that was made up, as rows in the order of their time, with ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fraudd.local.platform.casting import Fraud
from fraudd.local.platform.columns import (
    COUNTRIES,
    DAYS,
    Column,
    Floats,
    Ints,
    Keys,
    Texts,
    Times,
    addresses,
    hexadecimal,
    moments,
    shop_ids,
)
from fraudd.local.platform.money import (
    NO_ORDER,
    REASONS,
    STATUSES,
    Chargebacks,
    Payments,
    charge_back,
    open_accounts,
    pay,
    pay_out,
)
from fraudd.local.platform.people import Shops
from fraudd.local.platform.traces import Logins, list_goods, log_in, review, signed_up
from fraudd.local.platform.trade import Orders, place_orders
from fraudd.local.platform.world import World

Table = Mapping[str, Column]


@dataclass(frozen=True, slots=True, kw_only=True)
class _AsShown:
    """How indices and days are shown in the tables."""

    begins: np.datetime64
    shop_ids: Texts
    user_ids: Ints

    def time(self, days: Floats) -> Times:
        return moments(days, self.begins)


def tables_of(
    rng: np.random.Generator, world: World, frauds: Sequence[Fraud], begins: np.datetime64
) -> dict[str, Table]:
    """All tables by name, each with its columns in the order of the schema.

    `begins` is day 0 of all times.
    """
    trade, money, traces = rng.spawn(3)
    orders = place_orders(trade, world)
    chargebacks = charge_back(money, orders)
    payments = pay(money, world, orders, chargebacks)
    logins = log_in(traces, world, orders)
    signed = signed_up(traces, world, orders, logins)
    as_shown = _AsShown(
        begins=begins,
        shop_ids=shop_ids(world.shops.count),
        user_ids=np.argsort(np.argsort(signed)) + 1,  # the first to sign up is number 1
    )
    return {
        "users": _users(as_shown, world, signed),
        "shops": _shops(as_shown, world.shops),
        "shop_bank_accounts": _bank_accounts(as_shown, *open_accounts(money, world)),
        "listings": _listings(as_shown, *list_goods(traces, world)),
        "orders": _orders(as_shown, world, orders),
        "payments": _payments(as_shown, payments),
        "chargebacks": _chargebacks(as_shown, orders, chargebacks),
        "logins": _logins(as_shown, logins),
        "payouts": _payouts(as_shown, *pay_out(money, world, payments)),
        "reviews": _reviews(as_shown, orders, *review(traces, world, orders)),
        "fraud_scenarios": _frauds(as_shown, frauds),
    }


def _in_time(at: Floats) -> Ints:
    """The rows from the earliest to the latest, so that ids rise with time as they do anywhere."""
    return np.argsort(at, kind="stable")


def _ids(rows: Column) -> Ints:
    return np.arange(1, rows.size + 1)


def _users(as_shown: _AsShown, world: World, signed: Floats) -> Table:
    rows = _in_time(signed)
    return {
        "id": _ids(rows),
        "created_at": as_shown.time(signed[rows]),
        "country": COUNTRIES[world.country(rows)],
    }


def _shops(as_shown: _AsShown, shops: Shops) -> Table:
    return {
        "shop_id": as_shown.shop_ids,
        "owner_id": as_shown.user_ids[shops.owner],
        "created_at": as_shown.time(shops.created),
        "kyc_verified_at": as_shown.time(shops.verified),
        "closed_at": as_shown.time(shops.closed),
    }


def _bank_accounts(as_shown: _AsShown, shop: Ints, account: Keys, at: Floats) -> Table:
    rows = _in_time(at)
    return {
        "id": _ids(rows),
        "shop_id": as_shown.shop_ids[shop[rows]],
        "iban_hash": hexadecimal(account[rows]),
        "added_at": as_shown.time(at[rows]),
    }


def _listings(as_shown: _AsShown, shop: Ints, category: Ints, price: Floats, at: Floats) -> Table:
    rows = _in_time(at)
    return {
        "id": _ids(rows),
        "shop_id": as_shown.shop_ids[shop[rows]],
        "category_id": category[rows] + 1,
        "price": price[rows],
        "created_at": as_shown.time(at[rows]),
    }


def _orders(as_shown: _AsShown, world: World, orders: Orders) -> Table:
    return {
        "id": _ids(orders.shop),
        "shop_id": as_shown.shop_ids[orders.shop],
        "user_id": as_shown.user_ids[orders.user],
        "amount": orders.amount,
        "ship_country": COUNTRIES[world.country(orders.user)],
        "created_at": as_shown.time(orders.created),
        "shipped_at": as_shown.time(orders.shipped),
        "delivered_at": as_shown.time(orders.delivered),
        "cancelled_at": as_shown.time(orders.cancelled),
    }


def _payments(as_shown: _AsShown, payments: Payments) -> Table:
    rows = _in_time(payments.created)
    rows = rows[payments.created[rows] <= DAYS]
    order = payments.order[rows]
    return {
        "id": _ids(rows),
        "order_id": np.where(order == NO_ORDER, -1, order + 1),
        "shop_id": as_shown.shop_ids[payments.shop[rows]],
        "user_id": as_shown.user_ids[payments.user[rows]],
        "amount": payments.amount[rows],
        "card_hash": hexadecimal(payments.card[rows]),
        "device_hash": hexadecimal(payments.device[rows]),
        "bin_country": COUNTRIES[payments.country[rows]],
        "status": STATUSES[payments.status[rows]],
        "created_at": as_shown.time(payments.created[rows]),
        "declined_at": as_shown.time(payments.declined[rows]),
        "captured_at": as_shown.time(payments.captured[rows]),
        "refunded_at": as_shown.time(payments.refunded[rows]),
    }


def _chargebacks(as_shown: _AsShown, orders: Orders, chargebacks: Chargebacks) -> Table:
    rows = _in_time(chargebacks.reported)
    order = chargebacks.order[rows]
    return {
        "id": _ids(rows),
        "order_id": order + 1,
        "shop_id": as_shown.shop_ids[orders.shop[order]],
        "user_id": as_shown.user_ids[orders.user[order]],
        "amount": orders.amount[order],
        "reason": REASONS[chargebacks.reason[rows]],
        "reported_at": as_shown.time(chargebacks.reported[rows]),
    }


def _logins(as_shown: _AsShown, logins: Logins) -> Table:
    rows = _in_time(logins["at"])
    return {
        "id": _ids(rows),
        "user_id": as_shown.user_ids[logins["user"][rows]],
        "device_hash": hexadecimal(logins["device"][rows]),
        "ip": addresses(logins["address"][rows]),
        "country": COUNTRIES[logins["country"][rows]],
        "ok": logins["ok"][rows],
        "created_at": as_shown.time(logins["at"][rows]),
    }


def _payouts(as_shown: _AsShown, shop: Ints, amount: Floats, at: Floats) -> Table:
    rows = _in_time(at)
    return {
        "id": _ids(rows),
        "shop_id": as_shown.shop_ids[shop[rows]],
        "amount": amount[rows],
        "requested_at": as_shown.time(at[rows]),
    }


def _reviews(as_shown: _AsShown, orders: Orders, order: Ints, stars: Ints, at: Floats) -> Table:
    rows = _in_time(at)
    order = order[rows]
    return {
        "id": _ids(rows),
        "order_id": order + 1,
        "shop_id": as_shown.shop_ids[orders.shop[order]],
        "user_id": as_shown.user_ids[orders.user[order]],
        "stars": stars[rows],
        "created_at": as_shown.time(at[rows]),
    }


def _frauds(as_shown: _AsShown, frauds: Sequence[Fraud]) -> Table:
    told = sorted(frauds, key=lambda fraud: fraud.shop)
    ends = np.array([min(fraud.ends, DAYS) for fraud in told])
    return {
        "shop_id": as_shown.shop_ids[[fraud.shop for fraud in told]],
        "scenario": np.array([fraud.scenario.encode() for fraud in told]),
        "starts_at": as_shown.time(np.array([fraud.starts for fraud in told])),
        "ends_at": as_shown.time(ends),
    }
