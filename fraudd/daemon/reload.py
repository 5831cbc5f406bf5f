"""SIGHUP: what is exchanged while the daemon runs, one request after the other, or not at all."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fraudd.daemon.status_line import Refusal
from fraudd.errors import Misconfigured, Unavailable
from fraudd.ports import Clock
from fraudd.prediction.formats import rfc3339
from fraudd.telemetry import log
from fraudd.telemetry.metrics import Metrics

#: Under the minute (the unit's TimeoutStartSec) after which systemd takes a reload for hung. A
#: permit comes within the wait of a long poll, where no run is slow.
_MAX_SECONDS = 50.0


class Reloads:
    """Carries out requests to reload. ``replace`` does it, or raises and has changed nothing.

    ``tell`` passes assignments on to systemd.
    """

    def __init__(
        self,
        replace: Callable[[], Awaitable[None]],
        *,
        tell: Callable[..., None],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._replace = replace
        self._tell = tell
        self._clock = clock
        self._metrics = metrics
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        #: Whether one is under way.
        self.running = False
        #: When the last one ended, epoch milliseconds; None: there was none.
        self._ended_at: int | None = None
        #: The last one, where it was refused.
        self.refusal: Refusal | None = None

    @property
    def last(self) -> Mapping[str, Any] | None:
        """What became of the last one; None where there was none."""
        if self._ended_at is None:
            return None
        refused = self.refusal
        return {
            "outcome": "done" if refused is None else "refused",
            "at": rfc3339(self._ended_at),
            "problems": [] if refused is None else list(refused.problems),
        }

    def ask(self) -> None:
        """Ask for one. While one is under way, which may have read already, one more follows."""
        if self._stopped:
            log.info("reload.dropped", reason="this daemon is stopping")
            return
        self._asked.set()

    def stop(self) -> None:
        """Reload no more; one under way is dropped, and what was in use stays."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Carry out what is asked for until stopped."""
        self._task = asyncio.current_task()
        while not self._stopped:
            await self._asked.wait()
            self._asked.clear()
            self.running = True
            # systemd tells by its clock which of two messages is of this reload.
            self._tell("RELOADING=1", f"MONOTONIC_USEC={int(self._clock.monotonic() * 1e6)}")
            try:
                self.refusal = await self._refusal()
            except asyncio.CancelledError:
                log.info("reload.dropped", reason="this daemon is stopping")
                raise
            finally:
                self.running = False
            self._ended_at = self._clock.now()
            self._metrics.reloads.labels("refused" if self.refusal else "done").inc()
            self._tell("READY=1")

    async def _refusal(self) -> Refusal | None:
        """Do it; gives why it was refused, or None."""
        try:
            async with asyncio.timeout(_MAX_SECONDS) as limit:
                await self._replace()
        except Misconfigured as error:
            problems = error.problems
        except Unavailable as error:
            problems = (str(error),)
        except TimeoutError:
            if not limit.expired():
                raise
            problems = (f"not done within {_MAX_SECONDS:g} s: the database has no time for it",)
        except Exception as error:
            # Of its own fault a reload must not end what runs well.
            log.error("reload.bug", traceback=True)
            problems = (f"an error of fraudd's own ({type(error).__name__}), see the log",)
        else:
            return None
        log.error("reload.refused", problems=problems)
        return Refusal(at=self._clock.now(), problems=problems)
