"""Who waits for the end of which run, and how they are woken, whichever daemon computes it."""

import asyncio
from collections.abc import Awaitable, Callable

from fraudd.aio import gather
from fraudd.errors import Unavailable
from fraudd.prediction.body import ended
from fraudd.prediction.record import Record
from fraudd.telemetry import log

#: How often they look for runs that end elsewhere; while nobody new comes, ever more rarely, until
#: so many times as long passes in between. Each look reads every entity that is waited for once.
_LOOK_SECONDS, _MAX_APART = 0.5, 4
#: Each holds a connection and some memory; who comes on top is answered as it stands.
MAX_WAITERS = 10_000

#: Gives a record as a reader may see it.
Read = Callable[[str], Awaitable[Record | None]]


class Waiters:
    """Callers that wait for runs to end: told of those that end here, looking for the others."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._stopped = False
        #: By entity: who waits, and for which run.
        self._waiting: dict[str, dict[asyncio.Future[Record | None], str]] = {}
        self._somebody = asyncio.Event()
        #: How many waiters there are.
        self.count = 0
        #: The time between two looks, and what is left of it, in the shortest such times.
        self._apart = self._left = 1

    @property
    def open(self) -> bool:
        """Whether there is room for one more; there is none while the daemon stops."""
        return not self._stopped and self.count < MAX_WAITERS

    async def wait(self, pending: Record, seconds: float) -> Record | None:
        """Wait for the end of the run that ``pending`` shows; gives the record as it was then.

        None where it has not ended within so many seconds, is not owed any more, or the daemon
        stops: then the record is to be read anew.
        """
        over = self._join(pending)
        try:
            async with asyncio.timeout(seconds):
                return await over
        except TimeoutError:
            return None
        finally:
            self._leave(pending.entity_id, over)

    def tell(self, record: Record) -> None:
        """Wake those whose run has its verdict in the record.

        For others it says nothing: they may wait for a run that was opened since.
        """
        for over, run_id in self._waiting.get(record.entity_id, {}).items():
            if not over.done() and (end := _end(record, run_id)) is not None:
                over.set_result(end)

    async def run(self) -> None:
        """Look for ever, while anybody waits."""
        while True:
            await self._somebody.wait()
            await asyncio.sleep(_LOOK_SECONDS)
            self._left -= 1
            if self._left <= 0:
                # Before the look: who comes while it is under way has it begin anew.
                self._apart = self._left = min(2 * self._apart, _MAX_APART)
                await gather(self._look_at(entity_id) for entity_id in list(self._waiting))

    def stop(self) -> None:
        """Let nobody wait any longer."""
        self._stopped = True
        for entity_id in self._waiting:
            self._give_up(entity_id)

    async def _look_at(self, entity_id: str) -> None:
        # Who comes while the read is under way may wait for a run that it does not show yet.
        waiting = dict(self._waiting.get(entity_id, {}))
        try:
            record = await self._read(entity_id)
        except Unavailable as error:
            log.debug("waiters.not_read", entity_id=entity_id, error=str(error))
        except Exception:
            # Who waits meets the same when reading anew, and can be answered for it.
            self._give_up(entity_id)
        else:
            for over, run_id in waiting.items():
                owed = record is not None and record.pending and record.run_id == run_id
                if not owed and not over.done():
                    over.set_result(record and (_end(record, run_id) or record))

    def _give_up(self, entity_id: str) -> None:
        for over in self._waiting.get(entity_id, {}):
            if not over.done():
                over.set_result(None)

    def _join(self, pending: Record) -> "asyncio.Future[Record | None]":
        over: asyncio.Future[Record | None] = asyncio.get_running_loop().create_future()
        if self._stopped:
            over.set_result(None)
        if pending.entity_id not in self._waiting:
            self._apart = self._left = 1
        self._waiting.setdefault(pending.entity_id, {})[over] = pending.run_id
        self.count += 1
        self._somebody.set()
        return over

    def _leave(self, entity_id: str, over: "asyncio.Future[Record | None]") -> None:
        self.count -= 1
        waiting = self._waiting[entity_id]
        del waiting[over]
        if not waiting:
            del self._waiting[entity_id]
        if not self._waiting:
            self._somebody.clear()


def _end(record: Record, run_id: str) -> Record | None:
    """Give the record as it was when that run ended; None where it does not tell of that."""
    try:
        return ended(record, run_id)
    except LookupError:
        return None
