"""Orders of all shops, everyday and scripted, and their shipping."""

from dataclasses import dataclass

import numpy as np

from fraudd.local.platform.columns import BUYER, DAYS, Flags, Floats, Ints, cents, mix
from fraudd.local.platform.people import Shops
from fraudd.local.platform.script import CANCELLED_AFTER, NOBODY, SHIPPED_AFTER, Acts
from fraudd.local.platform.world import World

_CANCELS, _FORGOTTEN = 0.04, 0.01  # shares of the orders of an honest shop


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """Orders, one per element, the earliest first. Times are in days, and NaN means never."""

    shop: Ints
    user: Ints
    crew: Ints  # a crew that buys on behalf of the shop, or NOBODY
    amount: Floats
    risk: Floats  # probability of a chargeback
    created: Floats
    shipped: Floats
    delivered: Floats
    cancelled: Floats

    @property
    def count(self) -> int:
        """Number of orders."""
        return self.shop.size

    @property
    def lost(self) -> Flags:
        """Whether an order is neither shipped nor cancelled."""
        return np.isnan(self.shipped) & np.isnan(self.cancelled)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcomes:
    """Shipping, cancellation and risk of each order. The script changes them in place."""

    created: Floats
    shipped: Floats
    cancelled: Floats
    risk: Floats


def place_orders(rng: np.random.Generator, world: World) -> Orders:
    """Make all orders of the period."""
    shops, spells = world.shops, _spells(world)
    customers = rng.poisson(spells["orders"])
    spell = np.repeat(np.arange(spells.size), customers)
    created = _times(rng, world, spells, spell)
    earliest_first = np.argsort(created)
    spell, created = spell[earliest_first], created[earliest_first]
    shop: Ints = spells["shop"][spell]
    outcomes = _usual_outcomes(rng, shops, shop, created)
    unshipped = rng.random(shop.size) >= spells["ships"][spell]
    outcomes.shipped[unshipped] = outcomes.cancelled[unshipped] = np.nan
    outcomes.risk[unshipped] = spells["risk"][spell[unshipped]]
    _apply_stalls(rng, world.script.acts("stalls"), shop, outcomes)
    log_amount = shops.basket[shop] + shops.spread[shop] * rng.standard_normal(shop.size)
    transit = np.where(shops.digital[shop], 0.001, rng.lognormal(np.log(2.6), 0.5, shop.size))
    return Orders(
        shop=shop,
        user=_buyers(rng, world, spells, customers, spell),
        crew=spells["crew"][spell],
        amount=cents(np.exp(log_amount) * spells["price"][spell]),
        risk=outcomes.risk,
        created=created,
        shipped=outcomes.shipped,
        delivered=outcomes.shipped + transit,
        cancelled=outcomes.cancelled,
    )


def _spells(world: World) -> Acts:
    """Return the spells of trade: an everyday one for each shop, then those of the script."""
    shops, scripted = world.shops, world.script.acts("spells")
    everyday = np.zeros(shops.count, dtype=scripted.dtype)
    everyday["shop"] = np.arange(shops.count)
    everyday["begins"] = np.maximum(shops.created, 0.0)
    everyday["ends"] = np.minimum(np.minimum(shops.closed, shops.deserted), DAYS)
    busy = world.rhythm.elapsed(everyday["begins"], everyday["ends"])
    everyday["orders"] = shops.per_day * busy
    everyday["price"] = everyday["ships"] = 1.0
    everyday["crew"] = NOBODY

    length = scripted["ends"] - scripted["begins"]
    ends = np.minimum(scripted["ends"], everyday["ends"][scripted["shop"]])
    begins = np.clip(scripted["begins"], everyday["begins"][scripted["shop"]], ends)
    scripted["orders"] *= (ends - begins) / np.maximum(length, 1e-9)
    scripted["begins"], scripted["ends"] = begins, ends
    return np.concatenate([everyday, scripted])


def _times(rng: np.random.Generator, world: World, spells: Acts, spell: Ints) -> Floats:
    """Return the time of each order."""
    shop = spells["shop"][spell]
    ramp = np.where(spell < world.shops.count, world.shops.ramp[shop], 1.0)  # everyday trade only
    begins, ends = spells["begins"][spell], spells["ends"][spell]
    return world.rhythm.times(rng, begins, ends, ramp=ramp, shift=world.shops.shift[shop])


def _usual_outcomes(
    rng: np.random.Generator, shops: Shops, shop: Ints, created: Floats
) -> _Outcomes:
    """Return the usual outcome of each order."""
    delay = np.exp(shops.handling[shop] + 0.5 * rng.standard_normal(shop.size))
    delay[shops.digital[shop]] *= 0.002
    patience = rng.exponential(1.2, shop.size)
    luck = rng.random(shop.size)
    cancels = (luck < _CANCELS) & (patience < delay)
    forgotten = luck > 1 - _FORGOTTEN
    return _Outcomes(
        created=created,
        shipped=np.where(cancels | forgotten, np.nan, created + delay),
        cancelled=np.where(cancels, created + patience, np.nan),
        risk=shops.risk[shop],
    )


def _apply_stalls(rng: np.random.Generator, stalls: Acts, shop: Ints, outcomes: _Outcomes) -> None:
    """Change the outcomes of orders that a stall of the script delays, in place."""
    by_shop = np.lexsort((outcomes.created, shop))
    reach = 2 * DAYS  # shop * reach + day ascends by shop, then by day
    place = shop[by_shop] * reach + outcomes.created[by_shop]
    first = np.searchsorted(place, stalls["shop"] * reach + np.clip(stalls["begins"], 0, DAYS))
    last = np.searchsorted(place, stalls["shop"] * reach + np.clip(stalls["ends"], 0, DAYS))
    for stall, begin, end in zip(stalls, first, last, strict=True):
        stalled = by_shop[begin:end]
        stalled = stalled[rng.random(stalled.size) < stall["share"]]
        stalled = stalled[np.isnan(outcomes.cancelled[stalled])]
        after = stall["ends"] + rng.uniform(0, 3, stalled.size)
        outcomes.risk[stalled] = np.maximum(outcomes.risk[stalled], stall["risk"])
        if stall["outcome"] == SHIPPED_AFTER:
            outcomes.shipped[stalled] = np.maximum(outcomes.shipped[stalled], after)
            continue
        outcomes.shipped[stalled] = np.nan
        if stall["outcome"] == CANCELLED_AFTER:
            outcomes.cancelled[stalled] = after


def _buyers(
    rng: np.random.Generator, world: World, spells: Acts, orders: Ints, spell: Ints
) -> Ints:
    """Return the buyer of each order. Each spell has its own customers, and some come often."""
    customers = 2.0 + orders * world.shops.variety[spells["shop"]]
    customer = np.floor(customers[spell] * rng.random(spell.size) ** 1.3)
    public = np.uint64(world.users.count - world.users.owners)
    user = world.users.owners + (mix(BUYER, spell, customer) % public).astype(np.int64)
    crew: Ints = spells["crew"][spell]
    member = np.flatnonzero(crew != NOBODY)
    user[member] = world.members(rng, crew[member])
    return user
