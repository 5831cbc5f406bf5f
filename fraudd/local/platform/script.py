"""The script: events of single shops and users in addition to everyday trade.

Frauds and honest look-alikes use the same few types of events, with different values. Shops and
users are indices. Times are days.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Acts = NDArray[np.void]  # a structured array with one element for each act

NEVER_SHIPPED, CANCELLED_AFTER, SHIPPED_AFTER = range(3)  # outcomes of stalled orders
NOBODY = -1  # no crew, so the public buys

_FIELDS = {
    "spells": "shop:i8 begins:f8 ends:f8 orders:f8 price:f8 ships:f8 risk:f8 crew:i8",
    "stalls": "shop:i8 begins:f8 ends:f8 share:f8 outcome:i8 risk:f8",
    "banks": "shop:i8 account:u8 at:f8",
    "logins": "user:i8 at:f8 device:u8 address:u8 country:i8 ok:i8",
    "tries": "shop:i8 begins:f8 ends:f8 count:i8 devices:i8 amount:f8",
    "offers": "shop:i8 at:f8 count:i8 price:f8",
    "payouts": "shop:i8 at:f8 amount:f8",
    "crews": "size:i8 device:u8 address:u8 on_device:f8 praises:f8",
}
_KINDS = {
    kind: np.dtype([tuple(field.split(":")) for field in fields.split()])
    for kind, fields in _FIELDS.items()
}


@dataclass(frozen=True, slots=True)
class Script:
    """Acts by kind, in the order in which they were added."""

    _acts: dict[str, list[tuple[float, ...]]] = field(
        default_factory=lambda: {kind: [] for kind in _KINDS}
    )

    def acts(self, kind: str) -> Acts:
        """Return all acts of a kind."""
        return np.array(self._acts[kind], dtype=_KINDS[kind])

    def sells(
        self,
        shop: int,
        begins: float,
        ends: float,
        orders: float,
        *,
        price: float = 1.0,
        ships: float = 1.0,
        risk: float = 0.0,
        crew: int = NOBODY,
    ) -> None:
        """Add about `orders` orders to the usual ones, at `price` times the usual price.

        A share `ships` of them is shipped. A share `risk` of the others is charged back. If there
        is a `crew`, it buys instead of the public.
        """
        self._acts["spells"].append((shop, begins, ends, orders, price, ships, risk, crew))

    def stalls(
        self, shop: int, begins: float, ends: float, *, share: float, outcome: int, risk: float
    ) -> None:
        """Delay or lose a share of the orders of this time.

        A share `risk` of these is charged back.
        """
        self._acts["stalls"].append((shop, begins, ends, share, outcome, risk))

    def banks_at(self, shop: int, account: int, at: float) -> None:
        """Add a bank account, which gets the payouts from now on."""
        self._acts["banks"].append((shop, account, at))

    def logs_in(
        self, user: int, at: float, *, device: int, address: int, country: int, ok: bool = True
    ) -> None:
        """Add a login of an owner to the everyday ones."""
        self._acts["logins"].append((user, at, device, address, country, ok))

    def tries_cards(
        self,
        shop: int,
        begins: float,
        ends: float,
        count: int,
        *,
        devices: int,
        amount: float = 0.0,
    ) -> None:
        """Add declined payments, each with another card, from a number of devices.

        Each is about `amount`, or an amount that is usual for the shop if this is 0.
        """
        self._acts["tries"].append((shop, begins, ends, count, devices, amount))

    def offers(self, shop: int, at: float, count: int, price: float) -> None:
        """Add listings at `price` times the usual price."""
        self._acts["offers"].append((shop, at, count, price))

    def draws(self, shop: int, at: float, amount: float) -> None:
        """Add a payout to the regular ones."""
        self._acts["payouts"].append((shop, at, amount))

    def crew(
        self, size: int, *, device: int, address: int, on_device: float, praises: float
    ) -> int:
        """Add a group of buyers for `sells`, and return its number.

        A share `on_device` of their actions comes from one device and address. They give five
        stars to a share `praises` of their orders.
        """
        self._acts["crews"].append((size, device, address, on_device, praises))
        return len(self._acts["crews"]) - 1
