"""Lists the entities whose run is pending or has failed, oldest request first."""

from typing import Literal

from fraudd.aio import gather
from fraudd.errors import Unreadable
from fraudd.ports import Clock, Entry, Store
from fraudd.prediction.record import UNSENT_SHARD, Record, unexpired
from fraudd.telemetry import log

Kind = Literal["pending", "failed"]
#: A position in a listing: the last entry of each partition of the index that was returned.
Place = tuple[Entry | None, ...]

#: The failed records have a partition less, so their last one is empty.
BEGINNING: Place = (None,) * (UNSENT_SHARD + 1)
#: The latest possible time in epoch milliseconds. JSON and DynamoDB represent it exactly.
LATEST = 2**53 - 1


class Listing:
    """The sparse index over all its partitions. Every call may raise ``Unavailable``."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def page(
        self, kind: Kind, *, limit: int, after: Place
    ) -> tuple[list[Record], Place | None]:
        """Return up to ``limit`` records (at most 100) and the place of the next page, if any.

        The index lags behind the records. A record that is not of this kind any more is left out,
        so a page may be short.
        """
        pages = await gather(
            self._store.listed(f"{kind}#{shard}", until=LATEST, after=entry)
            for shard, entry in enumerate(after)
        )
        entries = sorted(
            (entry, shard) for shard, page in enumerate(pages) for entry in page.entries
        )
        place = list(after)
        for entry, shard in entries[:limit]:
            place[shard] = entry
        more = len(entries) > limit or any(page.more for page in pages)
        records = await gather(self._read(entry.entity_id) for entry, _ in entries[:limit])
        of_kind = [record for record in records if record is not None and _is(record, kind)]
        return of_kind, tuple(place) if more else None

    async def _read(self, entity_id: str) -> Record | None:
        """Read a record. One that cannot be read must not hide the others."""
        try:
            return unexpired(await self._store.get(entity_id), self._clock.now())
        except Unreadable as error:
            log.error("record.unreadable", entity_id=entity_id, error=error.detail)
            return None


def _is(record: Record, kind: Kind) -> bool:
    return record.pending if kind == "pending" else record.state == "failed"
