"""Look-alikes: honest events that look like fraud, and make it hard to detect."""

from collections.abc import Callable

import numpy as np

from fraudd.local.platform.columns import ADDRESS, BANK, COUNTRIES, DAYS, DEVICE, key_of
from fraudd.local.platform.script import NEVER_SHIPPED, SHIPPED_AFTER
from fraudd.local.platform.world import World, new_key

_SHOPS_PER_BOOKKEEPER = 100  # shops of the platform for each bookkeeper with an account


def play_lookalikes(rng: np.random.Generator, world: World) -> None:
    """Add look-alikes to the script, each at a time when its shop is open."""
    shops = world.shops
    begins = np.maximum(shops.created, 0.0) + 1
    length = np.minimum(shops.closed, DAYS) - begins
    for act, share in _SHARES.items():
        affected = rng.random(shops.count) < share * length / 200
        at = begins + length * rng.random(shops.count)
        for shop in np.flatnonzero(affected):
            act(rng, world, int(shop), float(at[shop]))


def _goes_viral(rng: np.random.Generator, world: World, shop: int, at: float) -> None:
    """A celebrity mentions the shop: it gets many times the usual orders for up to three days."""
    times, days = rng.lognormal(np.log(9), 0.6), rng.uniform(0.7, 3)
    world.script.sells(shop, at, at + days, world.shops.per_day[shop] * days * times)


def _clears_stock(rng: np.random.Generator, world: World, shop: int, at: float) -> None:
    """A clearance sale at low prices, with every order shipped."""
    days, price = rng.uniform(3, 14), rng.uniform(0.5, 0.85)
    orders = world.shops.per_day[shop] * days * rng.uniform(1, 6)
    world.script.sells(shop, at, at + days, orders, price=price)
    if rng.random() < 0.6:
        world.script.offers(shop, at, int(rng.integers(3, 30)), price)


def _changes_bank(rng: np.random.Generator, world: World, shop: int, at: float) -> None:
    """The shop moves to another bank."""
    world.script.banks_at(shop, new_key(rng, BANK), at)


def _hires_bookkeeper(rng: np.random.Generator, world: World, shop: int, at: float) -> None:
    """Payouts go to a bookkeeper's account, which other shops use as well."""
    bookkeepers = max(world.shops.count // _SHOPS_PER_BOOKKEEPER, 2)
    world.script.banks_at(shop, key_of(BANK, 0, int(rng.integers(bookkeepers))), at)


def _is_sold(rng: np.random.Generator, world: World, shop: int, at: float) -> None:
    """A new owner takes over the shop: everything changes on one day, and is honest."""
    _hires(rng, world, shop, at)
    world.script.banks_at(shop, new_key(rng, BANK), at + rng.exponential(4.0))
    price, days = rng.uniform(0.6, 1.3), rng.uniform(5, 25)
    world.script.offers(shop, at + rng.exponential(3.0), int(rng.integers(4, 30)), price)
    orders = world.shops.per_day[shop] * days * rng.uniform(0, 3)
    world.script.sells(shop, at, at + days, orders, price=price)


def _hires(rng: np.random.Generator, world: World, shop: int, at: float) -> None:
    """An employee logs in as the owner from now on, from a new device and sometimes abroad."""
    owner = int(world.shops.owner[shop])
    device, address = new_key(rng, DEVICE), new_key(rng, ADDRESS)
    home = int(world.users.country[owner])
    country = int(rng.integers(COUNTRIES.size)) if rng.random() < 0.3 else home
    stays = min(DAYS - at, rng.exponential(80.0))
    logins = 1 + rng.poisson(stays * rng.uniform(0.1, 0.5))
    for day in at + stays * rng.random(logins):
        world.script.logs_in(owner, day, device=device, address=address, country=country)


def _forgets_password(rng: np.random.Generator, world: World, shop: int, at: float) -> None:
    """The owner enters a few wrong passwords, a minute apart."""
    owner = int(world.shops.owner[shop])
    for attempt in range(int(rng.integers(2, 9))):
        world.script.logs_in(
            owner,
            at + attempt / 1_440,
            device=key_of(DEVICE, owner, 0),
            address=key_of(ADDRESS, owner),
            country=int(world.users.country[owner]),
            ok=False,
        )


def _falls_behind(rng: np.random.Generator, world: World, shop: int, at: float) -> None:
    """The owner is ill, away, or waits for goods. Orders are shipped late."""
    ends, share = at + rng.uniform(5, 22), rng.uniform(0.4, 1.0)
    world.script.stalls(shop, at, ends, share=share, outcome=SHIPPED_AFTER, risk=0.02)


def _goes_under(rng: np.random.Generator, world: World, shop: int, at: float) -> None:
    """The shop runs out of money and goods, without intent."""
    ends, share = at + rng.uniform(8, 30), rng.uniform(0.3, 0.9)
    world.script.stalls(shop, at, ends, share=share, outcome=NEVER_SHIPPED, risk=0.25)


def _is_cut_off(rng: np.random.Generator, world: World, shop: int, at: float) -> None:
    """The payment provider declines nearly all payments for some hours."""
    count = min(int(2 + world.shops.per_day[shop] * rng.uniform(0.5, 3)), 200)
    world.script.tries_cards(shop, at, at + rng.uniform(0.05, 0.5), count, devices=count)


def _is_attacked(rng: np.random.Generator, world: World, shop: int, at: float) -> None:
    """Strangers try a few stolen cards in the shop, then leave."""
    count = min(int(3 + rng.lognormal(np.log(12), 0.9)), 150)
    world.script.tries_cards(
        shop,
        at,
        at + rng.uniform(0.02, 0.4),
        count,
        devices=int(rng.integers(1, 4)),
        amount=rng.uniform(0.8, 6),
    )


def _has_friends(rng: np.random.Generator, world: World, shop: int, at: float) -> None:
    """Family and staff buy, often from the shop's own computer, and give good reviews."""
    owner = int(world.shops.owner[shop])
    crew = world.script.crew(
        int(rng.integers(2, 7)),
        device=key_of(DEVICE, owner, int(at > world.users.new_phone[owner])),
        address=key_of(ADDRESS, owner),
        on_device=rng.uniform(0, 0.7),
        praises=0.6,
    )
    world.script.sells(shop, at, at + rng.uniform(5, 60), rng.uniform(2, 14), crew=crew)


def _needs_money(rng: np.random.Generator, world: World, shop: int, at: float) -> None:
    """The owner requests extra payouts."""
    for _ in range(int(rng.integers(1, 4))):
        amount = world.revenue(shop) * rng.uniform(2, 10)
        world.script.draws(shop, at + rng.uniform(0, 8), amount)


# The probability of each event for a shop that is open for 200 days. Honest shops show every sign
# of fraud, and most signs several times as often as fraudulent shops.
_SHARES: dict[Callable[[np.random.Generator, World, int, float], None], float] = {
    _goes_viral: 0.12,
    _clears_stock: 0.30,
    _changes_bank: 0.35,
    _hires_bookkeeper: 0.04,
    _is_sold: 0.10,
    _hires: 0.25,
    _forgets_password: 0.50,
    _falls_behind: 0.28,
    _goes_under: 0.05,
    _is_cut_off: 0.15,
    _is_attacked: 0.15,
    _has_friends: 0.18,
    _needs_money: 0.30,
}
