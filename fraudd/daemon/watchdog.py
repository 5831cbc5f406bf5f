"""Feeds systemd's watchdog while the event loop runs, and sends the status line."""

import asyncio
import math
from collections.abc import Callable

from fraudd.daemon.systemd import notify
from fraudd.ports import Clock
from fraudd.telemetry import log

#: Interval of checks of the status line. It is sent only if it has changed.
_LOOK_SECONDS = 1.0
#: Two messages may be late or lost before systemd ends the process.
_BEATS_PER_INTERVAL = 3


class Watchdog:
    """A task of the event loop. If the loop stalls, no message is sent, and systemd restarts us.

    ``watchdog_seconds`` is the watchdog's timeout (None: there is no watchdog). While ``stalled``
    reports a stalled poll loop, the watchdog is not fed either.
    """

    def __init__(
        self,
        *,
        watchdog_seconds: float | None,
        stalled: Callable[[], bool],
        status: Callable[[], str],
        clock: Clock,
    ) -> None:
        interval = math.inf if watchdog_seconds is None else watchdog_seconds / _BEATS_PER_INTERVAL
        self._interval = interval
        self._stalled = stalled
        self._status = status
        self._clock = clock
        self._sent_status = ""
        self._fed_at = -math.inf
        self._was_stalled = False

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            self.beat()
            await asyncio.sleep(min(_LOOK_SECONDS, self._interval))

    def beat(self, *assignments: str) -> None:
        """Send ``assignments``, the watchdog message if it is due, and the status if it changed."""
        messages = [*assignments, *self._alive()]
        status = self._status()
        if messages or status != self._sent_status:
            self._sent_status = status
            notify(*messages, f"STATUS={status}")

    def _alive(self) -> list[str]:
        now = self._clock.monotonic()
        # The loop may wake a little early.
        if now - self._fed_at < self._interval * 0.9:
            return []
        self._fed_at = now
        if self._interval == math.inf:
            return []
        stalled = self._stalled()
        if stalled and not self._was_stalled:
            log.error("poll_loop.stalled")
        self._was_stalled = stalled
        return [] if stalled else ["WATCHDOG=1"]
