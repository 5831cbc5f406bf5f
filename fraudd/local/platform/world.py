"""The world: shops, users and script. Everything else is derived from it."""

from dataclasses import dataclass

import numpy as np

from fraudd.local.platform.columns import Ints, Keys, key_of
from fraudd.local.platform.people import Shops, Users
from fraudd.local.platform.rhythm import Rhythm
from fraudd.local.platform.script import NOBODY, Script


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The shops and users, the times when people buy, and the events of the script."""

    rhythm: Rhythm
    shops: Shops
    users: Users
    script: Script

    @property
    def total_users(self) -> int:
        """Number of users including the members of crews, whose indices come last."""
        return self.users.count + int(self.script.acts("crews")["size"].sum())

    def revenue(self, shop: int) -> float:
        """Return the revenue of a shop on an average day."""
        log_of_mean = self.shops.basket[shop] + self.shops.spread[shop] ** 2 / 2
        return float(self.shops.per_day[shop] * np.exp(log_of_mean))

    def members(self, rng: np.random.Generator, crew: Ints) -> Ints:
        """Return a random member of each crew."""
        sizes: Ints = self.script.acts("crews")["size"]
        first = self.users.count + np.cumsum(sizes) - sizes
        return first[crew] + np.floor(rng.random(crew.size) * sizes[crew]).astype(np.int64)

    def crew_keys(self, rng: np.random.Generator, crew: Ints, own: Keys, name: str) -> Keys:
        """Replace some `own` devices or addresses by those of the crew, which `name` selects."""
        keys = own.copy()
        member = np.flatnonzero(crew != NOBODY)
        acts = self.script.acts("crews")[crew[member]]
        shared = rng.random(member.size) < acts["on_device"]
        keys[member[shared]] = acts[name][shared]
        return keys

    def country(self, user: Ints) -> Ints:
        """Return the country of each user. Members of crews claim any country."""
        listed = user < self.users.count
        return np.where(listed, self.users.country[np.where(listed, user, 0)], user % 5)


def new_key(rng: np.random.Generator, kind: int) -> int:
    """Return a key that is not in use yet."""
    return key_of(kind, int(rng.integers(1 << 62)))
