"""Shops, their owners, and buyers, all of them honest so far."""

from dataclasses import dataclass

import numpy as np

from fraudd.local.platform.columns import (
    ADDRESS,
    CARRIER,
    COUNTRIES,
    COUNTRY_SHARES,
    DAYS,
    DEVICE,
    HUB,
    Flags,
    Floats,
    Ints,
    Keys,
    mix,
)
from fraudd.local.platform.rhythm import Rhythm

_SHOPS = 3_120
_ORDERS = 515_000  # of all shops except the largest, without those of the script
_LARGEST = 56_000  # orders of the largest shop
_SECOND = 22_000  # maximum for any other shop
_BUYERS = 130_000
#: The share of the shops that are older than the data.
_BORN_BEFORE = 0.40
#: The deviation of the log of orders per day. A third of the shops hardly sell at all.
_SPREAD_OF_SIZES = 2.37
#: The time zone of each country in hours.
_ZONES = (0.0, 0.0, 0.0, 0.0, 0.0, -6.0, -4.0, 6.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shops:
    """Shops, one per element, the oldest first. Times are in days."""

    created: Floats
    #: Infinity means never.
    closed: Floats
    #: Customers stay away from this time on. Infinity means never.
    deserted: Floats
    #: NaN means never.
    verified: Floats
    #: The index of a user.
    owner: Ints
    country: Ints
    #: The time zone in days.
    shift: Floats
    #: Orders on an average day.
    per_day: Floats
    #: Sales decrease over time if more than 1, and increase if less.
    ramp: Floats
    #: The log of the median amount.
    basket: Floats
    #: The deviation of this log.
    spread: Floats
    #: Potential buyers per order. It is low if customers come again.
    variety: Floats
    #: The log of the days until an order is shipped.
    handling: Floats
    #: The share of orders charged back through no fault of the shop.
    risk: Floats
    #: Declined attempts per order.
    declines: Floats
    #: Goods are delivered at once.
    digital: Flags
    #: Payments come from a device in the shop.
    till: Flags

    @property
    def count(self) -> int:
        """Number of shops."""
        return self.created.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """Users, one per element: the owners, then the buyers."""

    owners: int
    country: Ints
    #: Of the owners.
    logins_per_day: Floats
    #: The day on which an owner's first device is replaced. Infinity means never.
    new_phone: Floats
    #: An owner's trip.
    trip_begins: Floats
    trip_ends: Floats
    trip_country: Ints

    @property
    def count(self) -> int:
        """Number of users."""
        return self.country.size


def found_shops(rng: np.random.Generator, rhythm: Rhythm, scale: float) -> Shops:
    """Make shops that open, trade and close during the period."""
    count = max(round(_SHOPS * scale), 1)
    older = round(_BORN_BEFORE * count)
    before = -rng.gamma(1.2, 220.0, older)
    within = (DAYS - 2) * rng.random(count - older) ** 0.9
    created = np.sort(np.concatenate([before, within]))
    largest = older // 3
    closed = np.maximum(created, 0) + 15 + rng.exponential(1_000.0, count)
    closed[largest] = np.inf
    closed[closed > DAYS] = np.inf
    country = rng.choice(COUNTRIES.size, count, p=COUNTRY_SHARES)
    per_day = rng.lognormal(0.0, _SPREAD_OF_SIZES, count)
    lifetime = rhythm.elapsed(np.maximum(created, 0.0), np.minimum(closed, DAYS))
    per_day = _sized(per_day, lifetime, largest, scale)
    digital = rng.random(count) < 0.06
    slow = rng.random(count) < 0.09
    troubled = rng.random(count) < 0.05
    return Shops(
        created=created,
        closed=closed,
        deserted=np.full(count, np.inf),
        verified=_verified(rng, created),
        owner=_owners(rng, count),
        country=country,
        shift=np.take(_ZONES, country) / 24,
        per_day=per_day,
        ramp=np.where(np.arange(count) == largest, 1.0, rng.lognormal(0.0, 0.3, count)),
        basket=rng.normal(np.log(38.0), 0.75, count),
        spread=rng.uniform(0.25, 0.85, count),
        variety=np.where(rng.random(count) < 0.10, 0.12, rng.uniform(0.5, 1.6, count)),
        handling=np.where(slow, rng.normal(2.0, 0.35, count), rng.normal(0.1, 0.5, count)),
        risk=np.where(troubled, 0.03, 0.004) * rng.lognormal(0.0, 0.6, count),
        declines=np.where(troubled, 0.15, 0.04) * rng.lognormal(0.0, 0.7, count),
        digital=digital,
        till=rng.random(count) < 0.025,
    )


def _sized(per_day: Floats, lifetime: Floats, largest: int, scale: float) -> Floats:
    """Scale the orders per day so that the largest shop and all others reach their totals."""
    others = np.arange(per_day.size) != largest
    per_day = per_day * others
    for _ in range(3):  # a limited shop leaves orders to distribute again
        per_day *= _ORDERS * scale / max(float(np.sum(per_day * lifetime)), 1.0)
        per_day = np.minimum(per_day, _SECOND * scale / np.maximum(lifetime, 1.0))
    per_day[largest] = _LARGEST * scale / lifetime[largest]
    return per_day


def _verified(rng: np.random.Generator, created: Floats) -> Floats:
    """Return when owners prove their identity: most in the first days, some late or never."""
    delay = np.where(rng.random(created.size) < 0.75, 2.0, 40.0) * rng.exponential(1, created.size)
    return np.where(rng.random(created.size) < 0.12, np.nan, created + delay)


def _owners(rng: np.random.Generator, count: int) -> Ints:
    """Return the index of each shop's owner. Some honest owners have several shops."""
    owner = np.arange(count)
    earlier = np.floor(rng.random(count) * np.arange(count)).astype(np.int64)
    chain = rng.random(count) < 0.11
    for shop in np.flatnonzero(chain):  # in order: an owner of two may open a third
        owner[shop] = owner[earlier[shop]]
    return np.unique(owner, return_inverse=True)[1].astype(np.int64)


def settle_users(rng: np.random.Generator, shops: Shops, scale: float) -> Users:
    """Make the owners of `shops`, and buyers."""
    owners = int(shops.owner.max()) + 1
    buyers = max(round(_BUYERS * scale), 50)
    country = rng.choice(COUNTRIES.size, owners + buyers, p=COUNTRY_SHARES)
    country[shops.owner] = shops.country
    trip_begins = np.where(rng.random(owners) < 0.35, rng.uniform(0, DAYS, owners), np.inf)
    phone = rng.random(owners) < 0.55
    return Users(
        owners=owners,
        country=country,
        logins_per_day=np.clip(rng.lognormal(np.log(0.22), 0.8, owners), 0.03, 1.2),
        new_phone=np.where(phone, rng.uniform(0, DAYS, owners), np.inf),
        trip_begins=trip_begins,
        trip_ends=trip_begins + rng.uniform(2, 20, owners),
        trip_country=rng.integers(0, COUNTRIES.size, owners),
    )


def devices(rng: np.random.Generator, users: Users, user: Ints, at: Floats) -> Keys:
    """Return the device of each action: the user's own, a second one, or a shared one."""
    luck = rng.random(user.size)
    replaced = np.zeros(user.size, dtype=np.int64)
    own = user < users.owners
    replaced[own] = at[own] > users.new_phone[user[own]]
    second = luck < 0.25 * (user % 3 == 0)
    key = mix(DEVICE, user, np.where(second, 2, replaced))
    sharing = (user % 40 == 7) & (luck > 0.6)  # a computer in a library, or a shared desk
    hub = mix(HUB, user // 40 % max(users.count // 2_000, 2))
    return np.where(sharing, hub, key)


def networks(rng: np.random.Generator, users: Users, user: Ints) -> Keys:
    """Return the address of each action: at home, or a mobile carrier's that many users share."""
    mobile = (user % 6 == 1) & (rng.random(user.size) < 0.5)
    carrier = mix(CARRIER, user // 6 % max(users.count // 2_000, 2))
    return np.where(mobile, carrier, mix(ADDRESS, user))
