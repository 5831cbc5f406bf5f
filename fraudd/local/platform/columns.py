"""The array types of the generator, and conversions of numbers to hashes, ids and times.

Inside the generator a time is a float: days since the start of the data. NaN means never.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Keys = NDArray[np.uint64]  # equal keys become equal hashes
Texts = NDArray[np.bytes_]
Times = NDArray[np.datetime64]
Column = NDArray[Any]

DAYS_BEFORE = 200  # data before now: three windows of 60 days, and some more for the labels
DAYS_AFTER = 14  # data after now: the demo works for this long
DAYS = float(DAYS_BEFORE + DAYS_AFTER)

COUNTRIES: Texts = np.array([b"DE", b"FR", b"NL", b"PL", b"ES", b"US", b"BR", b"VN", b"NG"])
COUNTRY_SHARES = (0.30, 0.20, 0.14, 0.10, 0.10, 0.07, 0.04, 0.03, 0.02)

# Types of things that have a hash. The type is part of the key, so hashes of two types differ.
CARD, DEVICE, TILL, HUB, BANK, ADDRESS, CARRIER, BUYER = range(1, 9)

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_HEX_OF_TWO_BYTES: Texts = np.array([b"%04x" % n for n in range(1 << 16)])


def mix(*parts: ArrayLike) -> Keys:
    """Mix `parts` into keys that look random but depend on them alone (splitmix64)."""
    key = np.zeros(1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            key = key + np.asarray(part).astype(np.uint64) + _GOLDEN
            key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            key = key ^ (key >> np.uint64(31))
    return key


def key_of(*parts: int) -> int:
    """Return one key."""
    return int(mix(*parts)[0])


def hexadecimal(keys: Keys) -> Texts:
    """Format keys as sixteen hexadecimal digits."""
    halves = keys.astype(">u8").view(">u2").reshape(-1, 4).astype(np.intp)
    return np.ascontiguousarray(_HEX_OF_TWO_BYTES[halves]).view("S16").ravel()


def addresses(keys: Keys) -> Ints:
    """Return keys as IPv4 addresses."""
    return (keys >> np.uint64(32)).astype(np.int64)


def shop_ids(count: int) -> Texts:
    """Return `shop-1` to `shop-<count>`."""
    return np.array([b"shop-%d" % number for number in range(1, count + 1)], dtype="S20")


def cents(amounts: Floats, *, maximum: float = 20_000.0) -> Floats:
    """Round amounts to whole cents, and limit them to 0.50 up to `maximum`."""
    return np.rint(np.clip(amounts, 0.5, maximum) * 100) / 100


def moments(days: Floats, begins: np.datetime64) -> Times:
    """Convert days since `begins` to whole seconds. NaN and times after the data become NaT."""
    times = np.full(days.shape, np.datetime64("NaT", "s"))
    known = days <= DAYS
    times[known] = begins + np.floor(days[known] * 86_400).astype("timedelta64[s]")
    return times
