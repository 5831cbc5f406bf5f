"""Slots: an idle consumer together with a connection permit. A poll has one for each message."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from fraudd.ports import Permit, Permits


class Slots:
    """The slots of ``count`` consumers. The list of a reservation has one permit for each slot."""

    def __init__(self, permits: Permits, count: int) -> None:
        self._permits = permits
        self._count = count
        self._idle = asyncio.Semaphore(count)

    @property
    def limit(self) -> int:
        """The maximum number of slots at the current connection limit."""
        return min(self._count, self._permits.limit)

    @contextmanager
    def reserved(self) -> Iterator[list[Permit]]:
        """Yield an empty reservation. Slots that are left in it at the end become free again."""
        permits: list[Permit] = []
        try:
            yield permits
        finally:
            for permit in permits:
                self.give_back(permit)

    async def wait_for_first(self, permits: list[Permit]) -> None:
        """Wait for a slot and reserve it."""
        await self._idle.acquire()
        try:
            permits.append(await self._permits.acquire())
        except asyncio.CancelledError:
            self._idle.release()
            raise

    async def add_free(self, permits: list[Permit], limit: int) -> None:
        """Reserve the slots that are free now, until the reservation has ``limit`` slots."""
        while len(permits) < limit and not self._idle.locked():
            if (permit := self._permits.try_acquire()) is None:
                return
            await self._idle.acquire()  # never waits, because no other task takes one in between
            permits.append(permit)

    def give_back(self, permit: Permit) -> None:
        """Give a slot back."""
        permit.release()
        self._idle.release()
