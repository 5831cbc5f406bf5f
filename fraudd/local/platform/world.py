"""World: the shops, the users and the script, together, as everything else is made from them."""

from dataclasses import dataclass

import numpy as np

from fraudd.local.platform.columns import Ints, Keys, key_of
from fraudd.local.platform.people import Shops, Users
from fraudd.local.platform.rhythm import Rhythm
from fraudd.local.platform.script import NOBODY, Script


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Who there is, when people buy, and what happens beside everyday trade."""

    rhythm: Rhythm
    shops: Shops
    users: Users
    script: Script

    @property
    def everybody(self) -> int:
        """Number of users with the members of crews, whose indices come last."""
        return self.users.count + int(self.script.acts("crews")["size"].sum())

    def revenue(self, shop: int) -> float:
        """What a shop takes in on an average day."""
        mean_of_log_normal = self.shops.basket[shop] + self.shops.spread[shop] ** 2 / 2
        return float(self.shops.per_day[shop] * np.exp(mean_of_log_normal))

    def members(self, rng: np.random.Generator, crew: Ints) -> Ints:
        """A random user of each crew."""
        sizes: Ints = self.script.acts("crews")["size"]
        first = self.users.count + np.cumsum(sizes) - sizes
        return first[crew] + np.floor(rng.random(crew.size) * sizes[crew]).astype(np.int64)

    def crew_keys(self, rng: np.random.Generator, crew: Ints, own: Keys, name: str) -> Keys:
        """The `device` or `address` of each action: in its share of the cases the crew's."""
        keys = own.copy()
        member = np.flatnonzero(crew != NOBODY)
        acts = self.script.acts("crews")[crew[member]]
        together = rng.random(member.size) < acts["on_device"]
        keys[member[together]] = acts[name][together]
        return keys

    def country(self, user: Ints) -> Ints:
        """The country of each user; a member of a crew says to be from anywhere."""
        known = user < self.users.count
        return np.where(known, self.users.country[np.where(known, user, 0)], user % 5)


def new_key(rng: np.random.Generator, kind: int) -> int:
    """The key of a thing nobody had before."""
    return key_of(kind, int(rng.integers(1 << 62)))
