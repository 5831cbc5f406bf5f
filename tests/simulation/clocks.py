"""Time in the simulated world: the true one, and what the clocks of daemons say."""

import asyncio

#: When every seed begins, in epoch milliseconds: 2026-11-24T08:00:00Z.
EPOCH_MS = 1_795_507_200_000


def true_ms(loop: asyncio.AbstractEventLoop) -> int:
    """Give the true time, which AWS and the database have, in epoch milliseconds."""
    return EPOCH_MS + int(loop.time() * 1000)


class SimulatedClock:
    """The clock of one daemon: off by ``offset_ms`` from the true time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, offset_ms: int) -> None:
        self._loop = loop
        self.offset_ms = offset_ms

    def now(self) -> int:
        """Wall-clock time in epoch milliseconds, as this daemon believes."""
        return true_ms(self._loop) + self.offset_ms

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return self._loop.time()
