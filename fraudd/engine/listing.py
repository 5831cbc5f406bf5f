"""Listings the entities whose run is pending, or has failed, oldest request first."""

from typing import Literal

from fraudd.aio import gather
from fraudd.ports import Clock, Entry, Store
from fraudd.prediction.record import SHARDS, Record, unexpired

Kind = Literal["pending", "failed"]
#: How far a listing has come: the last entry given of each partition of the index.
Place = tuple[Entry | None, ...]

BEGINNING: Place = (None,) * SHARDS
#: The latest time that there is, in epoch milliseconds; JSON and DynamoDB still tell it exactly.
LATEST = 2**53 - 1


class Listing:
    """The sparse index over all its partitions. Every call may raise ``Unavailable``."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def page(
        self, kind: Kind, *, limit: int, after: Place
    ) -> tuple[list[Record], Place | None]:
        """Give up to ``limit`` records, 100 at most, and the place where it goes on, if it does.

        The index lags behind: what has moved on by now is left out, so a page may be short.
        """
        pages = await gather(
            self._store.listed(f"{kind}#{shard}", until=LATEST, after=entry)
            for shard, entry in enumerate(after)
        )
        listed = sorted(
            (entry, shard) for shard, page in enumerate(pages) for entry in page.entries
        )
        place = list(after)
        for entry, shard in listed[:limit]:
            place[shard] = entry
        more = len(listed) > limit or any(page.more for page in pages)
        found = await gather(self._read(entry.entity_id) for entry, _ in listed[:limit])
        records = [record for record in found if record is not None and _is(record, kind)]
        return records, tuple(place) if more else None

    async def _read(self, entity_id: str) -> Record | None:
        return unexpired(await self._store.get(entity_id), self._clock.now())


def _is(record: Record, kind: Kind) -> bool:
    return record.pending if kind == "pending" else record.state == "failed"
