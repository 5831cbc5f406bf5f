"""Logins, listings and reviews, and the sign-up of the users."""

from collections.abc import Mapping

import numpy as np

from fraudd.local.platform.columns import DAYS, Column, Floats, Ints, cents
from fraudd.local.platform.people import devices, networks
from fraudd.local.platform.script import NOBODY
from fraudd.local.platform.trade import Orders
from fraudd.local.platform.world import World

_CATEGORIES = 40
_OLDEST_LISTING = -60.0  # no feature reads earlier ones

Logins = Mapping[str, Column]  # user, at, device, address, country, ok


def log_in(rng: np.random.Generator, world: World, orders: Orders) -> Logins:
    """Make the regular logins of owners, and logins of some buyers."""
    acts = world.script.acts("logins")
    acts = acts[(acts["at"] >= 0) & (acts["at"] <= DAYS)]
    everyday = [_owners_log_in(rng, world), _buyers_log_in(rng, world, orders)]
    names = everyday[0].keys()
    return {n: np.concatenate([*(part[n] for part in everyday), acts[n]]) for n in names}


def _owners_log_in(rng: np.random.Generator, world: World) -> Logins:
    """Make logins from the owners' own devices while they have a shop, at home or on a trip."""
    shops, users = world.shops, world.users
    begins, ends = np.full(users.owners, DAYS), np.zeros(users.owners)
    np.minimum.at(begins, shops.owner, np.maximum(shops.created, 0.0))
    np.maximum.at(ends, shops.owner, np.minimum(shops.closed, DAYS))
    user = np.repeat(np.arange(users.owners), rng.poisson(users.logins_per_day * (ends - begins)))
    evenly, at_home = np.ones(user.size), np.zeros(user.size)
    at = world.rhythm.times(rng, begins[user], ends[user], ramp=evenly, shift=at_home)
    away = (at > users.trip_begins[user]) & (at < users.trip_ends[user])
    return {
        "user": user,
        "at": at,
        "device": devices(rng, users, user, at),
        "address": networks(rng, users, user),
        "country": np.where(away, users.trip_country[user], users.country[user]),
        "ok": (rng.random(user.size) < 0.96).astype(np.int64),
    }


def _buyers_log_in(rng: np.random.Generator, world: World, orders: Orders) -> Logins:
    """Make logins minutes before an order. Most buyers stay logged in, and have none."""
    share = np.where(orders.crew == NOBODY, 0.12, 0.6)
    order = np.flatnonzero(rng.random(orders.count) < share)
    user, crew = orders.user[order], orders.crew[order]
    at = np.maximum(orders.created[order] - rng.exponential(0.01, order.size), 0.0)
    device, address = devices(rng, world.users, user, at), networks(rng, world.users, user)
    return {
        "user": user,
        "at": at,
        "device": world.crew_keys(rng, crew, device, "device"),
        "address": world.crew_keys(rng, crew, address, "address"),
        "country": world.country(user),
        "ok": (rng.random(order.size) < 0.97).astype(np.int64),
    }


def list_goods(rng: np.random.Generator, world: World) -> tuple[Ints, Ints, Floats, Floats]:
    """Return shop, category, price and time of each listing. Most are from the opening."""
    shops, acts = world.shops, world.script.acts("offers")
    every_shop, until = np.arange(shops.count), np.minimum(shops.closed, DAYS)
    at_first = np.clip(2 + rng.lognormal(np.log(7), 0.9, shops.count), 2, 120).astype(np.int64)
    opening = np.repeat(every_shop, at_first)
    since = np.maximum(shops.created, _OLDEST_LISTING)
    rate = np.minimum(rng.lognormal(np.log(0.02), 1.2, shops.count), 0.5)
    later = np.repeat(every_shop, rng.poisson(rate * (until - since)))
    act = np.repeat(np.arange(acts.size), acts["count"])
    shop = np.concatenate([opening, later, acts["shop"][act]])
    at = np.concatenate(
        [
            shops.created[opening] + rng.exponential(3.0, opening.size),
            since[later] + (until - since)[later] * rng.random(later.size),
            acts["at"][act] + rng.exponential(0.2, act.size),
        ]
    )
    level = np.concatenate([np.ones(opening.size + later.size), acts["price"][act]])
    usual = np.exp(shops.basket[shop] + shops.spread[shop] * rng.standard_normal(shop.size))
    unusual = rng.random(shop.size) < 0.25
    category = np.where(unusual, rng.integers(0, _CATEGORIES, shop.size), shop * 7 % _CATEGORIES)
    open_ = at <= until[shop]
    return shop[open_], category[open_], cents(usual * level)[open_], at[open_]


def review(rng: np.random.Generator, world: World, orders: Orders) -> tuple[Ints, Ints, Floats]:
    """Return order, stars and time of each review.

    A crew praises at once. Most of the public writes after the delivery, or complains if there is
    none.
    """
    share = np.append(world.script.acts("crews")["praises"], 0.0)[
        orders.crew
    ]  # NOBODY is -1, the last element
    order = np.flatnonzero(rng.random(orders.count) < np.where(share > 0, share, 0.14))
    praise, created, size = share[order] > 0, orders.created[order], order.size
    angry = orders.lost[order] & ~praise
    at = orders.delivered[order] + rng.exponential(4.0, size)
    at = np.where(angry, created + 7 + rng.exponential(8.0, size), at)
    early = praise | (rng.random(size) < 0.08)
    at = np.where(early, created + rng.uniform(0.02, 4, size), at)

    pleased = rng.random(size) < rng.beta(6, 1.2, world.shops.count)[orders.shop[order]]
    stars = np.where(pleased, rng.choice([4, 5, 5, 5], size), rng.integers(1, 4, size))
    stars = np.where(angry, rng.integers(1, 3, size), np.where(praise, 5, stars))
    written = at <= DAYS  # false for NaN: a cancelled order has no review
    return order[written], stars[written], at[written]


def signed_up(rng: np.random.Generator, world: World, orders: Orders, logins: Logins) -> Floats:
    """Return the sign-up time of each user: before the first action and the first shop."""
    first = rng.uniform(0, DAYS, world.total_users)  # for users without any action
    user = np.concatenate([orders.user, logins["user"], world.shops.owner])
    at = np.concatenate([orders.created, logins["at"], world.shops.created])
    first[user] = np.inf
    np.minimum.at(first, user, at)
    waits = rng.exponential(200.0, first.size)
    at_once = rng.random(first.size) < 0.3
    at_once[world.users.count :] = True  # a crew signs up when it is needed
    return first - np.where(at_once, 0.01, 1.0) * waits
