"""Asks for the time while a response says that this clock is wrong."""

import asyncio
from collections.abc import Awaitable, Callable

from fraudd.errors import Unavailable
from fraudd.telemetry.clock_skew import ClockSkew

#: An idle daemon makes few calls. Without this one, it would not notice that NTP has set the clock.
_SECONDS = 1.0


class ClockCheck:
    """Calls AWS once a second while the clock is in doubt. ``ask``: any cheap call."""

    def __init__(self, skew: ClockSkew, ask: Callable[[], Awaitable[object]]) -> None:
        self._skew = skew
        self._ask = ask

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await asyncio.sleep(_SECONDS)
            if self._skew.in_doubt:
                try:
                    await self._ask()
                except Unavailable:
                    continue  # a refusal has a date, too, for example of a wrong signature
