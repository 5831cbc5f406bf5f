"""Payments, chargebacks, payouts, and the bank accounts of the shops."""

from dataclasses import dataclass

import numpy as np

from fraudd.local.platform.columns import (
    BANK,
    BUYER,
    CARD,
    COUNTRIES,
    DAYS,
    DEVICE,
    TILL,
    Floats,
    Ints,
    Keys,
    cents,
    mix,
)
from fraudd.local.platform.people import devices
from fraudd.local.platform.script import NOBODY
from fraudd.local.platform.trade import Orders
from fraudd.local.platform.world import World

NO_ORDER = -1
STATUSES = np.array([b"authorized", b"declined", b"captured", b"refunded", b"charged_back"])
_AUTHORIZED, _DECLINED, _CAPTURED, _REFUNDED, _CHARGED_BACK = range(STATUSES.size)
REASONS = np.array([b"not_received", b"not_recognised", b"not_as_described"])
_MINUTE = 1 / 1_440


@dataclass(frozen=True, slots=True, kw_only=True)
class Payments:
    """Attempts to pay, one per element. Times are in days, and NaN means never."""

    order: Ints  # index, or NO_ORDER for an abandoned checkout
    shop: Ints
    user: Ints
    amount: Floats
    card: Keys
    device: Keys
    country: Ints  # where the card was issued
    status: Ints  # index of STATUSES, at the end of the data
    created: Floats
    declined: Floats
    captured: Floats
    refunded: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Chargebacks:
    """Chargebacks that are reported before the end of the data, one per element."""

    order: Ints
    reason: Ints  # index of REASONS
    reported: Floats


def charge_back(rng: np.random.Generator, orders: Orders) -> Chargebacks:
    """Charge back some of the orders. Banks report this weeks later."""
    order = np.flatnonzero(rng.random(orders.count) < orders.risk)
    reported = orders.created[order] + 6 + rng.gamma(2.0, 8.5, order.size)
    order, reported = order[reported <= DAYS], reported[reported <= DAYS]
    friendly = rng.integers(1, REASONS.size, order.size)
    missed = orders.lost[order] & (rng.random(order.size) < 0.8)
    return Chargebacks(order=order, reason=np.where(missed, 0, friendly), reported=reported)


def pay(
    rng: np.random.Generator, world: World, orders: Orders, chargebacks: Chargebacks
) -> Payments:
    """Make a payment for each order, declined attempts before some, and abandoned checkouts."""
    paid = _paid(rng, world, orders, chargebacks)
    failed = rng.poisson(world.shops.declines[orders.shop])
    again = np.repeat(np.arange(orders.count), failed)
    parts = [paid, _declined_before(rng, paid, again), _abandoned(rng, world)]
    names = Payments.__slots__
    return Payments(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})


def _paid(
    rng: np.random.Generator, world: World, orders: Orders, chargebacks: Chargebacks
) -> Payments:
    """Make the successful payment of each order."""
    count = orders.count
    own = devices(rng, world.users, orders.user, orders.created)
    device = world.crew_keys(rng, orders.crew, own, "device")
    at_till = world.shops.till[orders.shop] & (rng.random(count) < 0.85)
    device = np.where(at_till & (orders.crew == NOBODY), mix(TILL, orders.shop), device)
    travels = rng.random(count) < 0.05
    anywhere = rng.integers(0, COUNTRIES.size, count)
    created = orders.created + rng.uniform(3, 15, count) * _MINUTE
    captured = created + rng.exponential(20 * _MINUTE, count)
    returned = orders.delivered + 2 + rng.exponential(6.0, count)
    returned[rng.random(count) > 0.035] = np.nan
    refunded = np.fmin(orders.cancelled + rng.uniform(0.02, 2, count), returned)
    status = np.where(captured <= DAYS, _CAPTURED, _AUTHORIZED)
    status[refunded <= DAYS] = _REFUNDED
    status[chargebacks.order] = _CHARGED_BACK
    return Payments(
        order=np.arange(count),
        shop=orders.shop,
        user=orders.user,
        amount=orders.amount,
        card=mix(CARD, orders.user, rng.random(count) < 0.15),  # some users have two
        device=device,
        country=np.where(travels, anywhere, world.country(orders.user)),
        status=status,
        created=created,
        declined=np.full(count, np.nan),
        captured=captured,
        refunded=refunded,
    )


def _declined_before(rng: np.random.Generator, paid: Payments, again: Ints) -> Payments:
    """Make declined attempts in the minutes before a payment, such as typing errors."""
    created = paid.created[again] - rng.uniform(0.5, 3, again.size) * _MINUTE
    other_card = mix(CARD, paid.user[again], 2)
    never = np.full(again.size, np.nan)
    return Payments(
        order=again,
        shop=paid.shop[again],
        user=paid.user[again],
        amount=paid.amount[again],
        card=np.where(rng.random(again.size) < 0.3, other_card, paid.card[again]),
        device=paid.device[again],
        country=paid.country[again],
        status=np.full(again.size, _DECLINED),
        created=created,
        declined=created + _MINUTE / 20,
        captured=never,
        refunded=never,
    )


def _abandoned(rng: np.random.Generator, world: World) -> Payments:
    """Make the declined payments of the script, for open shops."""
    shops, acts = world.shops, world.script.acts("tries")
    act = np.repeat(np.arange(acts.size), acts["count"])
    created = acts["begins"][act] + (acts["ends"] - acts["begins"])[act] * rng.random(act.size)
    open_ = (created > 0) & (created <= np.minimum(shops.closed[acts["shop"][act]], DAYS))
    act, created = act[open_], created[open_]
    shop: Ints = acts["shop"][act]
    usual = np.exp(shops.basket[shop] + shops.spread[shop] * rng.standard_normal(act.size))
    small = acts["amount"][act] * rng.lognormal(0.0, 0.35, act.size)
    hand = np.floor(rng.random(act.size) * acts["devices"][act])
    public = np.uint64(world.users.count - world.users.owners)
    never = np.full(act.size, np.nan)
    return Payments(
        order=np.full(act.size, NO_ORDER),
        shop=shop,
        user=world.users.owners + (mix(BUYER, act, hand, 1) % public).astype(np.int64),
        amount=cents(np.where(small > 0, small, usual)),
        card=mix(CARD, np.arange(act.size), 3),
        device=mix(DEVICE, act, hand, 1),
        country=rng.integers(0, COUNTRIES.size, act.size),
        status=np.full(act.size, _DECLINED),
        created=created,
        declined=created + _MINUTE / 20,
        captured=never,
        refunded=never,
    )


def pay_out(
    rng: np.random.Generator, world: World, payments: Payments
) -> tuple[Ints, Floats, Floats]:
    """Return shop, amount and time of each payout, regular and scripted.

    A regular payout is the money that came in since the one before.
    """
    shops, extra = world.shops, world.script.acts("payouts")
    every = rng.choice([3.0, 7.0, 14.0, 30.0], shops.count, p=[0.1, 0.6, 0.2, 0.1])
    phase = rng.uniform(0, every)
    taken = np.flatnonzero(payments.captured <= DAYS)
    shop = payments.shop[taken]
    turn = np.floor((payments.captured[taken] + phase[shop]) / every[shop])
    max_turns = 1 << 10  # of a shop
    groups, group = np.unique(shop * max_turns + turn.astype(np.int64), return_inverse=True)
    shop, turn = groups // max_turns, groups % max_turns
    fees = rng.uniform(0.85, 0.97, groups.size)
    amount = np.bincount(group, weights=payments.amount[taken]) * fees
    at = (turn + 1) * every[shop] - phase[shop] + rng.uniform(0, 0.6, groups.size)

    shop = np.concatenate([shop, extra["shop"]])
    amount = np.concatenate([amount, extra["amount"]])
    at = np.concatenate([at, extra["at"]])
    open_ = at <= np.minimum(shops.closed[shop], DAYS)
    return shop[open_], cents(amount[open_], maximum=1e9), at[open_]


def open_accounts(rng: np.random.Generator, world: World) -> tuple[Ints, Keys, Floats]:
    """Return shop, account and time of each added bank account."""
    shops, extra = world.shops, world.script.acts("banks")
    shop = np.arange(shops.count)
    separate = rng.random(shops.count) < 0.4  # else one account for all shops of the owner
    first = mix(BANK, shops.owner, np.where(separate, shop + 1, 0), 1)
    shop = np.concatenate([shop, extra["shop"]])
    account = np.concatenate([first, extra["account"]])
    at = np.concatenate([shops.created + rng.uniform(0, 4, shops.count), extra["at"]])
    known = (at >= shops.created[shop]) & (at <= np.minimum(shops.closed[shop], DAYS))
    return shop[known], account[known], at[known]
