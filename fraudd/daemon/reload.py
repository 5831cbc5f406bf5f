"""SIGHUP: replaces feature SQL and model while the daemon runs, one reload after the other."""

import asyncio
from collections.abc import Awaitable, Callable

from fraudd.daemon.snapshot import Reload
from fraudd.errors import Misconfigured, Unavailable
from fraudd.ports import Clock
from fraudd.telemetry import log
from fraudd.telemetry.metrics import Metrics

#: systemd considers a reload hung after a minute (TimeoutStartSec). Unless runs are slow, a permit
#: is free within the wait of a long poll.
_MAX_SECONDS = 50.0


class Reloads:
    """Carries out requests to reload. ``replace`` must change nothing if it raises.

    ``notify`` sends assignments to systemd.
    """

    def __init__(
        self,
        replace: Callable[[], Awaitable[None]],
        *,
        notify: Callable[..., None],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._replace = replace
        self._notify = notify
        self._clock = clock
        self._metrics = metrics
        self._requested = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        #: Whether a reload is in progress.
        self.running = False
        #: The last reload that ended. None: there was none.
        self.last: Reload | None = None

    def request(self) -> None:
        """Request a reload. During a reload, which may have read the files, one more follows."""
        if self._stopped:
            log.info("reload.dropped")
            return
        self._requested.set()

    def stop(self) -> None:
        """Reload no more. A reload in progress is dropped and changes nothing."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Carry out requests until stopped."""
        self._task = asyncio.current_task()
        while not self._stopped:
            await self._requested.wait()
            self._requested.clear()
            self.running = True
            # By this time systemd knows which reload a message belongs to.
            self._notify("RELOADING=1", f"MONOTONIC_USEC={int(self._clock.monotonic() * 1e6)}")
            try:
                problems = await self._problems()
            except asyncio.CancelledError:
                log.info("reload.dropped")
                raise
            finally:
                self.running = False
            if problems:
                log.error("reload.refused", problems=problems)
            self.last = Reload(ended_at=self._clock.now(), problems=problems)
            self._metrics.reloads.labels(self.last.outcome).inc()
            self._notify("READY=1")

    async def _problems(self) -> tuple[str, ...]:
        """Reload, and give the problems that prevented it."""
        try:
            async with asyncio.timeout(_MAX_SECONDS) as limit:
                await self._replace()
        except Misconfigured as error:
            return error.problems
        except Unavailable as error:
            return (str(error),)
        except TimeoutError:
            if not limit.expired():
                raise
            return (
                f"not finished within {_MAX_SECONDS:g} s, because the database is busy;"
                " reload again later",
            )
        except Exception as error:
            # A bug in the reload must not end a daemon that runs well.
            log.error("reload.bug", traceback=True)
            return (f"internal error ({type(error).__name__}); see the log",)
        return ()
