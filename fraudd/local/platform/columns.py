"""Columns: the arrays the demo is made of, and how plain numbers become hashes, ids and times.

Inside the generator a time is a float: days since the data begin, NaN for what never happens.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Keys = NDArray[np.uint64]  # what a hash is made from: equal keys, equal hashes
Texts = NDArray[np.bytes_]
Times = NDArray[np.datetime64]
Column = NDArray[Any]

DAYS_BEFORE = 200  # of data before now: three windows of 60 days, and room for the labels
DAYS_AFTER = 14  # the demo stays alive this long: features never look beyond their as_of
DAYS = float(DAYS_BEFORE + DAYS_AFTER)

COUNTRIES: Texts = np.array([b"DE", b"FR", b"NL", b"PL", b"ES", b"US", b"BR", b"VN", b"NG"])
COUNTRY_SHARES = (0.30, 0.20, 0.14, 0.10, 0.10, 0.07, 0.04, 0.03, 0.02)

# Kinds of thing that have a hash: the first part of a key, so that no two kinds ever meet.
CARD, DEVICE, TILL, HUB, BANK, ADDRESS, CARRIER, BUYER = range(1, 9)

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_HEX_OF_TWO_BYTES: Texts = np.array([b"%04x" % n for n in range(1 << 16)])


def mix(*parts: ArrayLike) -> Keys:
    """Keys that look random but depend on `parts` alone (splitmix64), of their common shape."""
    key = np.zeros(1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            key = key + np.asarray(part).astype(np.uint64) + _GOLDEN
            key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            key = key ^ (key >> np.uint64(31))
    return key


def key_of(*parts: int) -> int:
    """One key, for things that are made one by one."""
    return int(mix(*parts)[0])


def hexadecimal(keys: Keys) -> Texts:
    """Keys as sixteen hexadecimal digits."""
    halves = keys.astype(">u8").view(">u2").reshape(-1, 4).astype(np.intp)
    return np.ascontiguousarray(_HEX_OF_TWO_BYTES[halves]).view("S16").ravel()


def addresses(keys: Keys) -> Ints:
    """Keys as IPv4 addresses."""
    return (keys >> np.uint64(32)).astype(np.int64)


def shop_ids(count: int) -> Texts:
    """`shop-1` to `shop-<count>`."""
    return np.array([b"shop-%d" % number for number in range(1, count + 1)], dtype="S20")


def cents(amounts: Floats, *, most: float = 20_000.0) -> Floats:
    """Amounts of money in whole cents, between fifty cents and `most`."""
    return np.rint(np.clip(amounts, 0.5, most) * 100) / 100


def moments(days: Floats, begins: np.datetime64) -> Times:
    """Days since `begins` as times of one second; NaT for NaN and what lies beyond the data."""
    times = np.full(days.shape, np.datetime64("NaT", "s"))
    known = days <= DAYS
    times[known] = begins + np.floor(days[known] * 86_400).astype("timedelta64[s]")
    return times
