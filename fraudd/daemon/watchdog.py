"""Tells systemd that the event loop turns, which its watchdog wants, and what the daemon does."""

import asyncio
import math
from collections.abc import Callable

from fraudd.daemon.systemd import notify
from fraudd.ports import Clock
from fraudd.telemetry import log

#: What the daemon does is looked at this often, and told where it has changed.
_LOOK_SECONDS = 1.0
#: Two beats may come late, or be lost, before the third is due.
_BEATS_AN_INTERVAL = 3


class Watchdog:
    """A task of the event loop: where the loop stalls, systemd hears nothing and starts us anew.

    ``watchdog_seconds`` is how long systemd stands silence (None: for ever). While ``stalled`` says
    that no messages are taken although they should be, it is left to starve too.
    """

    def __init__(
        self,
        *,
        watchdog_seconds: float | None,
        stalled: Callable[[], bool],
        status: Callable[[], str],
        clock: Clock,
    ) -> None:
        interval = math.inf if watchdog_seconds is None else watchdog_seconds / _BEATS_AN_INTERVAL
        self._interval = interval
        self._deaf = stalled
        self._status = status
        self._clock = clock
        self._told = ""
        self._beaten_at = -math.inf
        self._starving = False

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            self.beat()
            await asyncio.sleep(min(_LOOK_SECONDS, self._interval))

    def beat(self, *more: str) -> None:
        """Tell what there is to tell by now, and ``more``."""
        said = [*more, *self._alive()]
        status = self._status()
        if said or status != self._told:
            self._told = status
            notify(*said, f"STATUS={status}")

    def _alive(self) -> list[str]:
        now = self._clock.monotonic()
        # The loop may wake a little early.
        if now - self._beaten_at < self._interval * 0.9:
            return []
        self._beaten_at = now
        if self._interval == math.inf:
            return []
        if starving := self._deaf():
            if not self._starving:
                log.error("poll_loop.stalled")
            self._starving = True
            return []
        self._starving = starving
        return ["WATCHDOG=1"]
