"""A demo platform with fraud in it: a few hundred thousand orders, made from one seed.

The data begin 200 days before `now` and go on for 14 days after it, so that a daemon that is asked
tomorrow sees tomorrow's orders. The same seed, time and scale make the same platform.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from fraudd.local.platform.casting import cast
from fraudd.local.platform.columns import DAYS_AFTER, DAYS_BEFORE, Column
from fraudd.local.platform.frauds import afterwards, play_frauds
from fraudd.local.platform.lookalikes import play_lookalikes
from fraudd.local.platform.people import found_shops, settle_users
from fraudd.local.platform.rhythm import rhythm_before
from fraudd.local.platform.script import Script
from fraudd.local.platform.tables import tables_of
from fraudd.local.platform.world import World

__all__ = (
    "DAYS_AFTER",
    "DAYS_BEFORE",
    "LABELLED_DAYS_AGO",
    "Demo",
    "Label",
    "generate",
    "labels",
    "labels_now",
    "scenarios",
    "write_labels",
)

LABELLED_DAYS_AGO = (137, 98, 60, 21)
"""Times of the labels in days before now, the last of them for the test.

The first has 60 days of data before it, the widest window of a feature. The last is old enough
for the truth to be out: chargebacks are reported weeks late, and 21 days count as known.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """The platform: table, column, array; a table's arrays have equal length and schema order.

    Times are `datetime64[s]` in UTC with NaT for NULL, texts and hashes bytes, amounts floats with
    two decimals, other numbers integers with -1 for NULL. `begins` and `ends` are whole seconds.
    """

    tables: Mapping[str, Mapping[str, Column]]
    now: datetime
    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Whether a shop's fraud was in progress at a time: 1 or 0."""

    entity_id: str
    as_of: datetime
    label: int


def generate(*, seed: int, now: datetime, scale: float = 1.0) -> Demo:
    """Make the platform around the aware time `now`; `scale` multiplies shops, orders and frauds.

    Raises ValueError for a `now` without a time zone and for a `scale` that is not positive.
    """
    if now.tzinfo is None:
        raise ValueError("now must have a time zone")
    if not scale > 0:
        raise ValueError(f"scale must be positive, not {scale}")
    second = now.astimezone(UTC).replace(microsecond=0)
    begins = second - timedelta(days=DAYS_BEFORE)
    founding, casting, acting, trading = np.random.default_rng(seed).spawn(4)
    rhythm = rhythm_before(_datetime64(second))
    founded = found_shops(founding, rhythm, scale)
    users = settle_users(founding, founded, scale)
    frauds = cast(casting, founded, scale)
    shops = afterwards(casting, founded, frauds)
    world = World(rhythm=rhythm, shops=shops, users=users, script=Script())
    play_lookalikes(acting, world)
    play_frauds(acting, world, frauds)
    tables = tables_of(trading, world, frauds, _datetime64(begins))
    return Demo(tables=tables, now=now, begins=begins, ends=second + timedelta(days=DAYS_AFTER))


def labels(demo: Demo) -> list[Label]:
    """The truth about every open shop at each time of `LABELLED_DAYS_AGO`, for training."""
    grid = (demo.now - timedelta(days=days) for days in LABELLED_DAYS_AGO)
    return [label for as_of in grid for label in _labels_at(demo, as_of)]


def labels_now(demo: Demo) -> list[Label]:
    """The truth about every open shop now, which nobody outside a demo has."""
    return _labels_at(demo, demo.now)


def scenarios(demo: Demo) -> dict[str, str]:
    """The scenario of every shop that has one at some time."""
    told = demo.tables["fraud_scenarios"]
    pairs = zip(told["shop_id"].tolist(), told["scenario"].tolist(), strict=True)
    return {shop.decode(): scenario.decode() for shop, scenario in pairs}


def write_labels(path: Path, rows: Iterable[Label]) -> None:
    """Write labels as CSV: `entity_id,as_of,label`, times in RFC 3339 with milliseconds."""
    with path.open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("entity_id", "as_of", "label"))
        for row in rows:
            as_of = row.as_of.astimezone(UTC).isoformat(timespec="milliseconds")
            writer.writerow((row.entity_id, as_of.replace("+00:00", "Z"), row.label))


def _labels_at(demo: Demo, as_of: datetime) -> list[Label]:
    """One label for each shop that is open at `as_of`."""
    at = _datetime64(as_of)
    shops, told = demo.tables["shops"], demo.tables["fraud_scenarios"]
    closed = shops["closed_at"] <= at  # NaT compares as false
    is_open = (shops["created_at"] <= at) & ~closed
    in_progress = (told["starts_at"] <= at) & (at <= told["ends_at"])
    fraudulent = np.isin(shops["shop_id"], told["shop_id"][in_progress])
    return [
        Label(entity_id=shop.decode(), as_of=as_of, label=int(label))
        for shop, label in zip(
            shops["shop_id"][is_open].tolist(), fraudulent[is_open].tolist(), strict=True
        )
    ]


def _datetime64(at: datetime) -> np.datetime64:
    return np.datetime64(at.astimezone(UTC).replace(tzinfo=None), "us")
