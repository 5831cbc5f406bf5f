"""Generates the demo platform: 600,000 orders with fraud among them, from one seed.

The data begin 200 days before `now` and end 14 days after it. So a request tomorrow finds
tomorrow's orders. The same seed, time and scale generate the same platform.
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
"""Times of the labels in days before now. The last one is for the test.

60 days of data precede the first, as many as the widest window of a feature needs. The last is
21 days old, because chargebacks are reported weeks late.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """The platform's tables: a mapping of table to column to array, in the schema's order.

    The arrays of a table have the same length. Times are `datetime64[s]` in UTC, with NaT for NULL.
    Texts and hashes are bytes. Amounts are floats with two decimals. Other numbers are integers,
    with -1 for NULL. `begins` and `ends` are whole seconds.
    """

    tables: Mapping[str, Mapping[str, Column]]
    now: datetime
    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Whether a shop committed fraud at a time: 1 or 0."""

    entity_id: str
    as_of: datetime
    label: int


def generate(*, seed: int, now: datetime, scale: float = 1.0) -> Demo:
    """Generate the platform around `now`. `scale` multiplies shops, orders and frauds.

    Raises ValueError if `now` has no time zone or `scale` is not positive.
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
    """Return the label of every open shop at each time of `LABELLED_DAYS_AGO`, for training."""
    grid = (demo.now - timedelta(days=days) for days in LABELLED_DAYS_AGO)
    return [label for as_of in grid for label in _labels_at(demo, as_of)]


def labels_now(demo: Demo) -> list[Label]:
    """Return the label of every open shop now, which only a demo knows."""
    return _labels_at(demo, demo.now)


def scenarios(demo: Demo) -> dict[str, str]:
    """Return the scenario of every shop that commits fraud at some time."""
    frauds = demo.tables["fraud_scenarios"]
    pairs = zip(frauds["shop_id"].tolist(), frauds["scenario"].tolist(), strict=True)
    return {shop.decode(): scenario.decode() for shop, scenario in pairs}


def write_labels(path: Path, rows: Iterable[Label]) -> None:
    """Write labels as CSV: `entity_id,as_of,label`. Times are RFC 3339 with milliseconds."""
    with path.open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("entity_id", "as_of", "label"))
        for row in rows:
            as_of = row.as_of.astimezone(UTC).isoformat(timespec="milliseconds")
            writer.writerow((row.entity_id, as_of.replace("+00:00", "Z"), row.label))


def _labels_at(demo: Demo, as_of: datetime) -> list[Label]:
    """Return a label for each shop that is open at `as_of`."""
    at = _datetime64(as_of)
    shops, frauds = demo.tables["shops"], demo.tables["fraud_scenarios"]
    closed = shops["closed_at"] <= at  # NaT compares as false
    is_open = (shops["created_at"] <= at) & ~closed
    in_progress = (frauds["starts_at"] <= at) & (at <= frauds["ends_at"])
    fraudulent = np.isin(shops["shop_id"], frauds["shop_id"][in_progress])
    return [
        Label(entity_id=shop.decode(), as_of=as_of, label=int(label))
        for shop, label in zip(
            shops["shop_id"][is_open].tolist(), fraudulent[is_open].tolist(), strict=True
        )
    ]


def _datetime64(at: datetime) -> np.datetime64:
    return np.datetime64(at.astimezone(UTC).replace(tzinfo=None), "us")
