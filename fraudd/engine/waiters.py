"""Requests that wait for the end of a run, at any daemon of the fleet."""

import asyncio
from collections.abc import Awaitable, Callable

from fraudd.aio import gather
from fraudd.errors import Unavailable
from fraudd.prediction.body import ended
from fraudd.prediction.record import Record
from fraudd.telemetry import log

#: The shortest time between two reads of the records of waiting requests, whose runs may end at
#: other daemons. It doubles after each read, up to the maximum, and a new entity resets it.
_READ_SECONDS, _MAX_READ_PERIODS = 0.5, 4
#: Each waiter holds a connection and some memory. A request beyond this limit does not wait: it is
#: answered with the current state.
MAX_WAITERS = 10_000

#: Gives a record as a reader may see it.
Read = Callable[[str], Awaitable[Record | None]]


class Waiters:
    """Requests that wait for a run. A run that ends at this daemon wakes its waiters at once."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._stopped = False
        #: The waiters of each entity, with the run that each waits for.
        self._waiting: dict[str, dict[asyncio.Future[Record | None], str]] = {}
        self._any_waiting = asyncio.Event()
        #: The number of waiters.
        self.count = 0
        #: The periods between two reads, and those left until the next read.
        self._periods = self._periods_left = 1

    @property
    def has_room(self) -> bool:
        """Whether another request may wait. None may while the daemon stops."""
        return not self._stopped and self.count < MAX_WAITERS

    async def wait(self, pending: Record, seconds: float) -> Record | None:
        """Wait for the end of the run in ``pending``, and return the record as of that end.

        None: the run did not end in time, is not pending any more, or the daemon stops. Then read
        the record again.
        """
        end = self._join(pending)
        try:
            async with asyncio.timeout(seconds):
                return await end
        except TimeoutError:
            return None
        finally:
            self._leave(pending.entity_id, end)

    def wake(self, record: Record) -> None:
        """Wake the waiters whose run has ended by the record.

        Other waiters of the entity keep waiting: their run may have been opened since.
        """
        for end, run_id in self._waiting.get(record.entity_id, {}).items():
            if not end.done() and (record_at_end := _at_end(record, run_id)) is not None:
                end.set_result(record_at_end)

    async def run(self) -> None:
        """Read the records of waiting requests, forever."""
        while True:
            await self._any_waiting.wait()
            await asyncio.sleep(_READ_SECONDS)
            self._periods_left -= 1
            if self._periods_left <= 0:
                # Before the reads: an entity that comes during them resets the periods.
                self._periods = self._periods_left = min(2 * self._periods, _MAX_READ_PERIODS)
                await gather(self._check(entity_id) for entity_id in list(self._waiting))

    def stop(self) -> None:
        """End all waits, and let no other request wait."""
        self._stopped = True
        for entity_id in self._waiting:
            self._give_up(entity_id)

    async def _check(self, entity_id: str) -> None:
        # Requests that join during the read are not woken: it may not show their run yet.
        waiting = dict(self._waiting.get(entity_id, {}))
        try:
            record = await self._read(entity_id)
        except Unavailable as error:
            log.debug("waiters.read_failed", entity_id=entity_id, error=str(error))
        except Exception:
            # Each waiter reads again, meets the same error, and answers its own request with it.
            self._give_up(entity_id)
        else:
            for end, run_id in waiting.items():
                pending = record is not None and record.pending and record.run_id == run_id
                if not pending and not end.done():
                    end.set_result(record and (_at_end(record, run_id) or record))

    def _give_up(self, entity_id: str) -> None:
        for end in self._waiting.get(entity_id, {}):
            if not end.done():
                end.set_result(None)

    def _join(self, pending: Record) -> "asyncio.Future[Record | None]":
        end: asyncio.Future[Record | None] = asyncio.get_running_loop().create_future()
        if self._stopped:
            end.set_result(None)
        if pending.entity_id not in self._waiting:
            self._periods = self._periods_left = 1
        self._waiting.setdefault(pending.entity_id, {})[end] = pending.run_id
        self.count += 1
        self._any_waiting.set()
        return end

    def _leave(self, entity_id: str, end: "asyncio.Future[Record | None]") -> None:
        self.count -= 1
        waiting = self._waiting[entity_id]
        del waiting[end]
        if not waiting:
            del self._waiting[entity_id]
        if not self._waiting:
            self._any_waiting.clear()


def _at_end(record: Record, run_id: str) -> Record | None:
    """Return the record as of the end of a run, or None if the record does not show that end."""
    try:
        return ended(record, run_id)
    except LookupError:
        return None
