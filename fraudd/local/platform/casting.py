"""Chooses the shops that commit fraud, with scenario, strength and times."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fraudd.local.platform.columns import DAYS, DAYS_BEFORE, Flags, Floats
from fraudd.local.platform.people import Shops

SCENARIOS = ("bust_out", "card_testing", "takeover", "ring")
_FIRST_DAY = 24.0  # the first weeks are without fraud
_NOW = float(DAYS_BEFORE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fraud:
    """The fraud of one shop: it acts from `starts` until `stops`, and closes at `ends`.

    After a takeover, the owner gets the shop back at `ends` instead. `strength` is from 0 (hardly
    visible) to 1. The shops of a ring have the same `group`.
    """

    shop: int
    scenario: str
    group: int
    starts: float
    stops: float
    ends: float
    strength: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """The properties of a scenario. Ranges of time are in days."""

    #: The number of shops in progress now, at scale 1.
    at_now: int
    #: From start to stop.
    acts: tuple[float, float]
    #: From stop to the closing.
    after: tuple[float, float]
    #: The number of shops in a group.
    sizes: tuple[int, int]
    #: The age of a shop at the start.
    ages: tuple[float, float]
    #: The orders of a shop per day.
    per_day: tuple[float, float]


_KINDS = {
    "bust_out": _Kind(
        at_now=23,
        acts=(4, 10),
        after=(14, 36),
        sizes=(1, 1),
        ages=(18, 150),
        per_day=(0.25, 6),
    ),
    "card_testing": _Kind(
        at_now=19,
        acts=(5, 26),
        after=(7, 24),
        sizes=(1, 1),
        ages=(4, 2_000),
        per_day=(0.0, 1.0),
    ),
    "takeover": _Kind(
        at_now=20,
        acts=(6, 32),
        after=(0, 0),
        sizes=(1, 1),
        ages=(50, 2_000),
        per_day=(0.15, 30),
    ),
    "ring": _Kind(
        at_now=20,
        acts=(18, 48),
        after=(3, 18),
        sizes=(3, 6),
        ages=(5, 120),
        per_day=(0.01, 1.5),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slot:
    """A group's fraud before its shops are chosen."""

    scenario: str
    shops: int
    starts: float
    stops: float
    ends: float


def cast(rng: np.random.Generator, shops: Shops, scale: float) -> list[Fraud]:
    """Return all frauds, group by group, each with a shop of its own."""
    slots = [slot for name in SCENARIOS for slot in _slots(rng, name, scale)]
    # Frauds in progress now choose first, so that their number is right at any scale.
    slots.sort(key=lambda slot: (not slot.starts <= _NOW <= slot.ends, slot.starts))
    free = np.ones(shops.count, dtype=np.bool_)
    frauds: list[Fraud] = []
    for group, slot in enumerate(slots):
        for shop in _shops_for(rng, shops, free, slot):
            free[shop] = False
            delay = _joining_delay(rng, slot)
            frauds.append(
                Fraud(
                    shop=int(shop),
                    scenario=slot.scenario,
                    group=group,
                    starts=slot.starts + delay,
                    stops=slot.stops,
                    ends=slot.ends,
                    strength=float(rng.beta(1.0, 1.25)),
                )
            )
    return frauds


def _slots(rng: np.random.Generator, scenario: str, scale: float) -> Iterator[_Slot]:
    """Yield the groups of one scenario. The number in progress now is exact."""
    kind = _KINDS[scenario]
    smallest, largest = kind.sizes
    wanted = max(round(kind.at_now * scale), 2)
    mean_size = min((smallest + largest) / 2, wanted)
    mean_days = (sum(kind.acts) + sum(kind.after)) / 2
    # Enough to keep that number in progress all the time. Early on there are fewer shops.
    count = round(wanted / mean_size / mean_days * (DAYS - _FIRST_DAY) * 0.75)
    spread = (np.arange(count) + rng.random(count)) / max(count, 1)
    starts = _FIRST_DAY + (DAYS - _FIRST_DAY) * spread**0.85
    for start in starts:
        acts, after = rng.uniform(*kind.acts), rng.uniform(*kind.after)
        if not start <= _NOW <= start + acts + after:
            size = int(rng.integers(smallest, largest + 1))
            yield _slot(scenario, min(size, wanted), start, acts, after)
    while wanted > 0:
        acts, after = _lengths_now(rng, kind)
        size = int(rng.integers(smallest, largest + 1))
        size = wanted if wanted - size < smallest else size  # nothing smaller is left over
        yield _slot(scenario, size, _NOW - rng.random() * (acts + after), acts, after)
        wanted -= size


def _lengths_now(rng: np.random.Generator, kind: _Kind) -> tuple[float, float]:
    """Return the lengths of a fraud in progress at a moment. Long ones are more likely."""
    acts, after = rng.uniform(*kind.acts, 8), rng.uniform(*kind.after, 8)
    index = rng.choice(8, p=(acts + after) / np.sum(acts + after))
    return float(acts[index]), float(after[index])


def _slot(scenario: str, shops: int, start: float, acts: float, after: float) -> _Slot:
    stops = start + acts
    return _Slot(scenario=scenario, shops=shops, starts=start, stops=stops, ends=stops + after)


def _shops_for(rng: np.random.Generator, shops: Shops, free: Flags, slot: _Slot) -> Iterator[int]:
    """Return distinct shops that fit. If too few do, any open shop is good enough."""
    kind = _KINDS[slot.scenario]
    age = slot.starts - shops.created
    open_ = free & (age > 3) & (shops.closed > slot.starts + 3)
    fits = open_ & _within(age, kind.ages) & _within(shops.per_day, kind.per_day)
    if np.count_nonzero(fits) < slot.shops:
        fits = open_ & (shops.per_day <= kind.per_day[1])
    candidates = np.flatnonzero(fits)
    return iter(rng.permutation(candidates)[: slot.shops].tolist())


def _joining_delay(rng: np.random.Generator, slot: _Slot) -> float:
    """Return the days until a shop joins its ring, which is before now if the ring began so."""
    reach = _NOW - slot.starts if slot.starts < _NOW else 4.0
    return float(rng.uniform(0, 0.25)) * min(reach, slot.stops - slot.starts) * (slot.shops > 1)


def _within(values: Floats, bounds: tuple[float, float]) -> Flags:
    return np.asarray((values >= bounds[0]) & (values <= bounds[1]))
