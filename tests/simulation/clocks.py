"""Time in the simulated world: the true time, and the clocks of the daemons."""

import asyncio

#: Every seed begins at this time in epoch milliseconds: 2026-11-24T08:00:00Z.
EPOCH_MS = 1_795_507_200_000


def true_ms(loop: asyncio.AbstractEventLoop) -> int:
    """Return the true time, which AWS and the database use, in epoch milliseconds."""
    return EPOCH_MS + int(loop.time() * 1000)


class SimulatedClock:
    """The clock of one daemon: off by ``offset_ms`` from the true time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, offset_ms: int) -> None:
        self._loop = loop
        self.offset_ms = offset_ms

    def now(self) -> int:
        """Return this daemon's wall-clock time in epoch milliseconds."""
        return true_ms(self._loop) + self.offset_ms

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return self._loop.time()
