"""Rhythm: when people buy. By hour, by weekday, more every week, and most of all at the sale."""

from dataclasses import dataclass

import numpy as np

from fraudd.local.platform.columns import DAYS, DAYS_BEFORE, Floats, Ints

_GROWTH_A_DAY = 0.0022  # 60 % more orders at the end than at the beginning
_SALE = 4.0  # times the orders of an ordinary weekend
_MARGIN = 1.0  # days before and after: a shop's clock may be off by its time zone
_HOURS = (
    *(0.55, 0.32, 0.20, 0.15, 0.15, 0.25, 0.50, 0.80, 1.00, 1.15, 1.25, 1.30),
    *(1.30, 1.20, 1.20, 1.20, 1.25, 1.35, 1.50, 1.70, 1.85, 1.80, 1.40, 0.95),
)
_WEEKDAYS = (1.05, 1.00, 0.98, 1.00, 0.92, 0.90, 1.15)  # from Monday


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """A clock that runs fast when people buy: `busy` is in orders of a shop with one a day.

    `hours` are days since the data begin, `busy` the clock's time at each of them, both rising.
    `sale` is when the sale weekend begins, in days.
    """

    hours: Floats
    busy: Floats
    sale: float

    def elapsed(self, begins: Floats, ends: Floats) -> Floats:
        """Busy time between two times; nothing where the end comes first."""
        passed = np.interp(ends, self.hours, self.busy) - np.interp(begins, self.hours, self.busy)
        return np.maximum(passed, 0.0)

    def times(
        self,
        rng: np.random.Generator,
        begins: Floats,
        ends: Floats,
        *,
        ramp: Floats,
        shift: Floats,
    ) -> Floats:
        """One random time in each stretch, in the rhythm.

        A `ramp` over 1 puts more of them early, under 1 late. `shift` is the zone of the shop in
        days: its evening comes that much earlier.
        """
        first = np.interp(begins + shift, self.hours, self.busy)
        last = np.interp(ends + shift, self.hours, self.busy)
        clock = first + (last - first) * rng.random(begins.size) ** ramp
        return np.clip(np.interp(clock, self.busy, self.hours) - shift, begins, ends)


def rhythm_before(now: np.datetime64) -> Rhythm:
    """The rhythm of the data around `now`."""
    begins = now - np.timedelta64(DAYS_BEFORE, "D")
    hours = np.arange(-_MARGIN, DAYS + _MARGIN, 1 / 24)
    since_monday = _since_monday(begins) + hours  # 1 January 1970 was a Thursday
    weekday: Ints = np.floor(since_monday).astype(np.int64) % 7
    hour: Ints = np.floor(since_monday % 1.0 * 24).astype(np.int64)
    sale = _sale_begins(begins)
    weight = np.take(_HOURS, hour) * np.take(_WEEKDAYS, weekday) * np.exp(_GROWTH_A_DAY * hours)
    weight *= np.where((hours >= sale) & (hours < sale + 2), _SALE, 1.0)
    busy = np.concatenate([[0.0], np.cumsum(weight)[:-1]]) / 24
    return Rhythm(hours=hours, busy=busy, sale=sale)


def _since_monday(begins: np.datetime64) -> float:
    """Days from some Monday 00:00 to `begins`, not negative."""
    seconds = (begins - np.datetime64("1969-12-29", "s")) / np.timedelta64(1, "s")
    return float(seconds / 86_400 % 7)


def _sale_begins(begins: np.datetime64) -> float:
    """The last Saturday whose weekend is over ten days before now: no scenario begins by it."""
    latest = DAYS_BEFORE - 10.0 - 2.0
    return latest - (latest + _since_monday(begins) - 5.0) % 7
