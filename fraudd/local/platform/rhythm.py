"""The times when people buy: by hour, by weekday, with growth, and with a sale weekend."""

from dataclasses import dataclass

import numpy as np

from fraudd.local.platform.columns import DAYS, DAYS_BEFORE, Floats, Ints

#: The growth per day: 60 % more orders at the end than at the start.
_GROWTH_PER_DAY = 0.0022
#: The orders of the sale weekend, relative to an ordinary weekend.
_SALE = 4.0
#: Days before and after the data, for shops in other time zones.
_MARGIN = 1.0
_HOURS = (
    *(0.55, 0.32, 0.20, 0.15, 0.15, 0.25, 0.50, 0.80, 1.00, 1.15, 1.25, 1.30),
    *(1.30, 1.20, 1.20, 1.20, 1.25, 1.35, 1.50, 1.70, 1.85, 1.80, 1.40, 0.95),
)
_WEEKDAYS = (1.05, 1.00, 0.98, 1.00, 0.92, 0.90, 1.15)  # from Monday


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """A clock that runs fast when people buy.

    `hours` holds one time per hour, in days since the start of the data. `busy` is the clock's time
    at each of them: the number of orders so far of a shop with one order per day. `sale` is the
    start of the sale weekend in days.
    """

    hours: Floats
    busy: Floats
    sale: float

    def elapsed(self, begins: Floats, ends: Floats) -> Floats:
        """Return the busy time between two times, or 0 if the end comes first."""
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
        """Return one random time between each begin and end, in the rhythm.

        A `ramp` over 1 makes early times more likely, one under 1 late times. `shift` is the time
        zone of the shop in days.
        """
        first = np.interp(begins + shift, self.hours, self.busy)
        last = np.interp(ends + shift, self.hours, self.busy)
        clock = first + (last - first) * rng.random(begins.size) ** ramp
        return np.clip(np.interp(clock, self.busy, self.hours) - shift, begins, ends)


def rhythm_before(now: np.datetime64) -> Rhythm:
    """Return the rhythm of the data around `now`."""
    begins = now - np.timedelta64(DAYS_BEFORE, "D")
    hours = np.arange(-_MARGIN, DAYS + _MARGIN, 1 / 24)
    since_monday = _since_monday(begins) + hours  # 1 January 1970 was a Thursday
    weekday: Ints = np.floor(since_monday).astype(np.int64) % 7
    hour: Ints = np.floor(since_monday % 1.0 * 24).astype(np.int64)
    sale = _sale_begins(begins)
    weight = np.take(_HOURS, hour) * np.take(_WEEKDAYS, weekday) * np.exp(_GROWTH_PER_DAY * hours)
    weight *= np.where((hours >= sale) & (hours < sale + 2), _SALE, 1.0)
    busy = np.concatenate([[0.0], np.cumsum(weight)[:-1]]) / 24
    return Rhythm(hours=hours, busy=busy, sale=sale)


def _since_monday(begins: np.datetime64) -> float:
    """Return the days from the Monday 00:00 before `begins`."""
    seconds = (begins - np.datetime64("1969-12-29", "s")) / np.timedelta64(1, "s")
    return float(seconds / 86_400 % 7)


def _sale_begins(begins: np.datetime64) -> float:
    """Return the last Saturday whose weekend ends at least ten days before now."""
    latest = DAYS_BEFORE - 10.0 - 2.0
    return latest - (latest + _since_monday(begins) - 5.0) % 7
