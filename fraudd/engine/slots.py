"""Slots of an idle consumer and a permit: as many as there are, as many messages are asked for."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from fraudd.ports import Permit, Permits


class Slots:
    """``count`` consumers, each idle until a permit is reserved with it."""

    def __init__(self, permits: Permits, count: int) -> None:
        self._permits = permits
        self._idle = asyncio.Semaphore(count)

    @contextmanager
    def reserved(self) -> Iterator[list[Permit]]:
        """Give a list to reserve permits into; those that are left in it go back at the end."""
        permits: list[Permit] = []
        try:
            yield permits
        finally:
            for permit in permits:
                self.give_back(permit)

    async def wait_for_one(self, permits: list[Permit]) -> None:
        """Wait for a pair."""
        await self._idle.acquire()
        try:
            permits.append(await self._permits.acquire())
        except asyncio.CancelledError:
            self._idle.release()
            raise

    async def take_more(self, permits: list[Permit], most: int) -> None:
        """Take as many pairs as there are now, up to ``most`` in all."""
        while len(permits) < most and not self._idle.locked():
            if (permit := self._permits.try_acquire()) is None:
                return
            await self._idle.acquire()  # never waits: nobody else takes
            permits.append(permit)

    def give_back(self, permit: Permit) -> None:
        """Give a pair back."""
        permit.release()
        self._idle.release()
