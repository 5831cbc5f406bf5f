"""Converts the generated events to tables: rows ordered by time, with ids."""

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
class _Format:
    """Converts indices and days to ids and times."""

    begins: np.datetime64
    shop_ids: Texts
    user_ids: Ints

    def time(self, days: Floats) -> Times:
        return moments(days, self.begins)


def tables_of(
    rng: np.random.Generator, world: World, frauds: Sequence[Fraud], begins: np.datetime64
) -> dict[str, Table]:
    """Return all tables by name, each with its columns in the order of the schema.

    `begins` is day 0 of all times.
    """
    trade, money, traces = rng.spawn(3)
    orders = place_orders(trade, world)
    chargebacks = charge_back(money, orders)
    payments = pay(money, world, orders, chargebacks)
    logins = log_in(traces, world, orders)
    sign_ups = signed_up(traces, world, orders, logins)
    form = _Format(
        begins=begins,
        shop_ids=shop_ids(world.shops.count),
        user_ids=np.argsort(np.argsort(sign_ups)) + 1,  # the first to sign up is number 1
    )
    return {
        "users": _users(form, world, sign_ups),
        "shops": _shops(form, world.shops),
        "shop_bank_accounts": _bank_accounts(form, *open_accounts(money, world)),
        "listings": _listings(form, *list_goods(traces, world)),
        "orders": _orders(form, world, orders),
        "payments": _payments(form, payments),
        "chargebacks": _chargebacks(form, orders, chargebacks),
        "logins": _logins(form, logins),
        "payouts": _payouts(form, *pay_out(money, world, payments)),
        "reviews": _reviews(form, orders, *review(traces, world, orders)),
        "fraud_scenarios": _frauds(form, frauds),
    }


def _in_time(at: Floats) -> Ints:
    """Return the rows in the order of their time, because ids ascend with time."""
    return np.argsort(at, kind="stable")


def _ids(rows: Column) -> Ints:
    return np.arange(1, rows.size + 1)


def _users(form: _Format, world: World, signed: Floats) -> Table:
    rows = _in_time(signed)
    return {
        "id": _ids(rows),
        "created_at": form.time(signed[rows]),
        "country": COUNTRIES[world.country(rows)],
    }


def _shops(form: _Format, shops: Shops) -> Table:
    return {
        "shop_id": form.shop_ids,
        "owner_id": form.user_ids[shops.owner],
        "created_at": form.time(shops.created),
        "kyc_verified_at": form.time(shops.verified),
        "closed_at": form.time(shops.closed),
    }


def _bank_accounts(form: _Format, shop: Ints, account: Keys, at: Floats) -> Table:
    rows = _in_time(at)
    return {
        "id": _ids(rows),
        "shop_id": form.shop_ids[shop[rows]],
        "iban_hash": hexadecimal(account[rows]),
        "added_at": form.time(at[rows]),
    }


def _listings(form: _Format, shop: Ints, category: Ints, price: Floats, at: Floats) -> Table:
    rows = _in_time(at)
    return {
        "id": _ids(rows),
        "shop_id": form.shop_ids[shop[rows]],
        "category_id": category[rows] + 1,
        "price": price[rows],
        "created_at": form.time(at[rows]),
    }


def _orders(form: _Format, world: World, orders: Orders) -> Table:
    return {
        "id": _ids(orders.shop),
        "shop_id": form.shop_ids[orders.shop],
        "user_id": form.user_ids[orders.user],
        "amount": orders.amount,
        "ship_country": COUNTRIES[world.country(orders.user)],
        "created_at": form.time(orders.created),
        "shipped_at": form.time(orders.shipped),
        "delivered_at": form.time(orders.delivered),
        "cancelled_at": form.time(orders.cancelled),
    }


def _payments(form: _Format, payments: Payments) -> Table:
    rows = _in_time(payments.created)
    rows = rows[payments.created[rows] <= DAYS]
    order = payments.order[rows]
    return {
        "id": _ids(rows),
        "order_id": np.where(order == NO_ORDER, -1, order + 1),
        "shop_id": form.shop_ids[payments.shop[rows]],
        "user_id": form.user_ids[payments.user[rows]],
        "amount": payments.amount[rows],
        "card_hash": hexadecimal(payments.card[rows]),
        "device_hash": hexadecimal(payments.device[rows]),
        "bin_country": COUNTRIES[payments.country[rows]],
        "status": STATUSES[payments.status[rows]],
        "created_at": form.time(payments.created[rows]),
        "declined_at": form.time(payments.declined[rows]),
        "captured_at": form.time(payments.captured[rows]),
        "refunded_at": form.time(payments.refunded[rows]),
    }


def _chargebacks(form: _Format, orders: Orders, chargebacks: Chargebacks) -> Table:
    rows = _in_time(chargebacks.reported)
    order = chargebacks.order[rows]
    return {
        "id": _ids(rows),
        "order_id": order + 1,
        "shop_id": form.shop_ids[orders.shop[order]],
        "user_id": form.user_ids[orders.user[order]],
        "amount": orders.amount[order],
        "reason": REASONS[chargebacks.reason[rows]],
        "reported_at": form.time(chargebacks.reported[rows]),
    }


def _logins(form: _Format, logins: Logins) -> Table:
    rows = _in_time(logins["at"])
    return {
        "id": _ids(rows),
        "user_id": form.user_ids[logins["user"][rows]],
        "device_hash": hexadecimal(logins["device"][rows]),
        "ip": addresses(logins["address"][rows]),
        "country": COUNTRIES[logins["country"][rows]],
        "ok": logins["ok"][rows],
        "created_at": form.time(logins["at"][rows]),
    }


def _payouts(form: _Format, shop: Ints, amount: Floats, at: Floats) -> Table:
    rows = _in_time(at)
    return {
        "id": _ids(rows),
        "shop_id": form.shop_ids[shop[rows]],
        "amount": amount[rows],
        "requested_at": form.time(at[rows]),
    }


def _reviews(form: _Format, orders: Orders, order: Ints, stars: Ints, at: Floats) -> Table:
    rows = _in_time(at)
    order = order[rows]
    return {
        "id": _ids(rows),
        "order_id": order + 1,
        "shop_id": form.shop_ids[orders.shop[order]],
        "user_id": form.user_ids[orders.user[order]],
        "stars": stars[rows],
        "created_at": form.time(at[rows]),
    }


def _frauds(form: _Format, frauds: Sequence[Fraud]) -> Table:
    by_shop = sorted(frauds, key=lambda fraud: fraud.shop)
    ends = np.array([min(fraud.ends, DAYS) for fraud in by_shop])
    return {
        "shop_id": form.shop_ids[[fraud.shop for fraud in by_shop]],
        "scenario": np.array([fraud.scenario.encode() for fraud in by_shop]),
        "starts_at": form.time(np.array([fraud.starts for fraud in by_shop])),
        "ends_at": form.time(ends),
    }
