"""The acts of each fraud scenario, from hardly visible to blatant."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import groupby

import numpy as np

from fraudd.local.platform.casting import Fraud
from fraudd.local.platform.columns import ADDRESS, BANK, COUNTRIES, DEVICE, key_of
from fraudd.local.platform.people import Shops
from fraudd.local.platform.script import CANCELLED_AFTER, NEVER_SHIPPED
from fraudd.local.platform.world import World, new_key


def play_frauds(rng: np.random.Generator, world: World, frauds: Iterable[Fraud]) -> None:
    """Add the acts of all frauds to the script."""
    single: dict[str, Callable[[np.random.Generator, World, Fraud], None]] = {
        "bust_out": _bust_out,
        "card_testing": _card_testing,
        "takeover": _takeover,
    }
    for _, members in groupby(frauds, key=lambda fraud: fraud.group):
        group = list(members)
        if group[0].scenario == "ring":
            _ring(rng, world, group)
        else:
            single[group[0].scenario](rng, world, group[0])


def afterwards(rng: np.random.Generator, shops: Shops, frauds: Iterable[Fraud]) -> Shops:
    """Return the shops after the frauds: closed, or back with their owner."""
    closed, deserted, verified = shops.closed.copy(), shops.deserted.copy(), shops.verified.copy()
    for fraud in frauds:
        if fraud.scenario == "takeover":
            closed[fraud.shop] = np.inf
            continue
        closed[fraud.shop] = fraud.ends
        if fraud.scenario == "bust_out":
            deserted[fraud.shop] = fraud.stops
        if rng.random() < 0.3:  # fraudsters avoid proving their identity
            verified[fraud.shop] = np.nan
    return replace(shops, closed=closed, deserted=deserted, verified=verified)


def _bust_out(rng: np.random.Generator, world: World, fraud: Fraud) -> None:
    """After weeks of honest trade, sell at half the price and ship nothing."""
    script, shop, strength = world.script, fraud.shop, fraud.strength
    length = fraud.stops - fraud.starts
    first = fraud.starts + rng.uniform(0.1, 1.5)  # preparations leave no trace
    price = 0.85 - 0.4 * strength * rng.uniform(0.6, 1)
    orders = world.shops.per_day[shop] * length * (1 + 11 * strength**1.3)
    script.sells(shop, first, fraud.stops, orders, price=price)
    lost = 0.2 + 0.8 * strength**0.6
    risk = rng.uniform(0.3, 0.65)
    script.stalls(shop, first - 1, fraud.ends, share=lost, outcome=NEVER_SHIPPED, risk=risk)
    if rng.random() < 0.45 + 0.5 * strength:
        script.banks_at(shop, new_key(rng, BANK), first - rng.exponential(1.5))
    if rng.random() < 0.4 + 0.5 * strength:
        script.offers(shop, first, int(rng.uniform(3, 8 + 25 * strength)), price)
    taken = orders / length * np.exp(world.shops.basket[shop]) * price
    for day in np.arange(1, length + 2, rng.uniform(1, 3.5)):
        script.draws(shop, first + day, taken * rng.uniform(0.5, 1.5))


def _card_testing(rng: np.random.Generator, world: World, fraud: Fraud) -> None:
    """Try many stolen cards with small payments, to find the few that work."""
    script, shop, strength = world.script, fraud.shop, fraud.strength
    for _ in range(int(rng.uniform(2, 4 + 8 * strength))):
        begins = rng.uniform(fraud.starts + rng.uniform(0, 0.5), fraud.stops)
        hours = rng.uniform(0.3, 6) if rng.random() < 0.7 else rng.uniform(12, 60)
        ends = min(begins + hours / 24, fraud.stops)
        count = min(int(3 + rng.lognormal(np.log(4 + 50 * strength**2), 0.7)), 400)
        devices = 1 if rng.random() < 0.6 else int(rng.integers(2, 6))
        amount = rng.uniform(0.8, 4) if rng.random() < 0.75 else 0.0
        script.tries_cards(shop, begins, ends, count, devices=devices, amount=amount)
        crew = script.crew(
            3,
            device=new_key(rng, DEVICE),
            address=new_key(rng, ADDRESS),
            on_device=0.8,
            praises=0.0,
        )
        working = count * rng.uniform(0.01, 0.08)
        script.sells(shop, begins, ends, working, price=0.3, ships=0.2, risk=0.6, crew=crew)


def _takeover(rng: np.random.Generator, world: World, fraud: Fraud) -> None:
    """Log in as the owner, sell cheaply, ship little, and take the money."""
    script, shop, strength = world.script, fraud.shop, fraud.strength
    _break_in(rng, world, fraud)
    first = fraud.starts + rng.uniform(0.2, 2.5)  # the first days leave no trace
    price = 0.95 - 0.5 * strength * rng.random()
    lost = 0.15 + 0.85 * strength * rng.uniform(0.5, 1)
    script.stalls(shop, first, fraud.ends, share=lost, outcome=CANCELLED_AFTER, risk=0.06)
    more = 3 * strength * rng.random()
    script.sells(
        shop,
        first,
        fraud.ends,
        more * world.shops.per_day[shop] * (fraud.ends - first),
        price=price,
    )
    if rng.random() < 0.35 + 0.55 * strength:
        script.banks_at(shop, new_key(rng, BANK), first + rng.exponential(1.0))
        script.banks_at(
            shop, new_key(rng, BANK), fraud.ends + rng.uniform(0, 1)
        )  # the owner's account again
    if rng.random() < 0.3 + 0.6 * strength:
        script.offers(shop, first, int(rng.uniform(2, 6 + 20 * strength)), price)
    if rng.random() < 0.4 + 0.5 * strength:
        for day in np.arange(first + 1, fraud.ends, rng.uniform(2, 6)):
            script.draws(shop, day, world.revenue(shop) * rng.uniform(2, 12))


def _break_in(rng: np.random.Generator, world: World, fraud: Fraud) -> None:
    """Add wrong passwords, then logins from another device and mostly from another country."""
    owner = int(world.shops.owner[fraud.shop])
    device, address = new_key(rng, DEVICE), new_key(rng, ADDRESS)
    home = int(world.users.country[owner])
    country = int(rng.integers(COUNTRIES.size)) if rng.random() < 0.8 else home
    stays = fraud.ends - fraud.starts
    logins = 1 + rng.poisson(stays * rng.uniform(0.1, 0.8))
    guesses = int(rng.integers(1, 10)) if rng.random() < 0.5 + 0.3 * fraud.strength else 0
    times = [(at, False) for at in fraud.starts - rng.exponential(0.3, guesses)]
    times += [(at, True) for at in fraud.starts + stays * rng.random(logins)]
    for at, ok in times:
        world.script.logs_in(owner, at, device=device, address=address, country=country, ok=ok)


def _ring(rng: np.random.Generator, world: World, members: list[Fraud]) -> None:
    """Let shops of one group praise each other: a few accounts buy and give five stars."""
    device, address, account = (new_key(rng, kind) for kind in (DEVICE, ADDRESS, BANK))
    shares = rng.random(3) < (0.65, 0.6, 0.6)  # device, address, bank account
    shares[rng.integers(3)] = True
    crew = world.script.crew(
        int(rng.integers(4, 16)),
        device=device,
        address=address,
        on_device=rng.uniform(0.1, 0.8) * shares[0],
        praises=rng.uniform(0.3, 0.8),
    )
    for fraud in members:
        shop, owner = fraud.shop, int(world.shops.owner[fraud.shop])
        world.script.sells(
            shop,
            fraud.starts,
            fraud.stops,
            3 + rng.lognormal(np.log(3 + 30 * fraud.strength), 0.5),
            price=rng.uniform(0.6, 2.2),
            ships=rng.choice([0.1, 0.9]),  # empty parcels, or no parcels
            risk=0.05,
            crew=crew,
        )
        if shares[2]:
            world.script.banks_at(shop, account, fraud.starts + rng.uniform(-3, 5))
        length = fraud.stops - fraud.starts
        logins = rng.poisson(2 + length * rng.uniform(0.05, 0.4))
        for at in fraud.starts + length * rng.random(logins):
            world.script.logs_in(
                owner,
                at,
                device=device if shares[0] else key_of(DEVICE, owner, 0),
                address=address if shares[1] else key_of(ADDRESS, owner),
                country=int(world.users.country[owner]),
            )
