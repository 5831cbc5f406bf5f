"""Asks for many ids, a batch at a time, and looks at what is pending until all have ended."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fraudd.client import Client, Prediction, Problem
from fraudd.commands.backfill.journal import Journal, Row, row_of
from fraudd.prediction.record import Lane

#: Entities of one batch, as the API takes them.
_BATCH = 100
#: So many wait for the end of a run at a time; each looks at the next when it has ended.
_MAX_LOOKS = 64
#: A look waits so long for the end; then others have their turn.
_LOOK_SECONDS = 20.0
#: Where a daemon does not wait, it is not asked again at once.
_PAUSE_SECONDS = 1.0
#: Pause before ids that were refused for now are asked for again, where nothing better is known.
_AGAIN_SECONDS = 5.0
_FOR_NOW = frozenset({429, 503})


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How many may be pending at a time, and how many are asked for a second; in which lane."""

    lane: Lane
    concurrency: int
    rate: float
    max_age_seconds: float | None


class Work:
    """One backfill. ``told`` hears of every row, and of its prediction where there is one."""

    def __init__(
        self,
        client: Client,
        entity_ids: Sequence[str],
        journal: Journal,
        terms: Terms,
        told: Callable[[Row, Prediction | None], None],
    ) -> None:
        self._client = client
        self._entity_ids = entity_ids
        self._journal = journal
        self._terms = terms
        self._told = told
        self._pace = Pace(terms.rate)
        self._pending: asyncio.Queue[str] = asyncio.Queue()
        self._under_way = 0
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Go on where the journal ends, until every id has ended. Raises ``Problem``."""
        asked_before = self._entity_ids[: self._journal.asked]
        for entity_id in asked_before:
            if entity_id not in self._journal.ended:
                self._wait_for(entity_id)
        try:
            async with asyncio.TaskGroup() as group:
                looks = min(_MAX_LOOKS, self._terms.concurrency)
                looking = [group.create_task(self._look()) for _ in range(looks)]
                await self._ask_all()
                await self._until(lambda: not self._under_way)
                for task in looking:
                    task.cancel()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _ask_all(self) -> None:
        while (first := self._journal.asked) < len(self._entity_ids):
            some = await self._room(len(self._entity_ids) - first)
            batch = self._entity_ids[first : first + some]
            # Some may have ended before a kill, others of their batch not.
            await self._ask([one for one in batch if one not in self._journal.ended])
            self._journal.note(asked=first + len(batch))

    async def _room(self, left: int) -> int:
        """Wait until some more may be pending; gives how many to ask for."""
        most = self._terms.concurrency
        # Not for one at a time, where many may be.
        enough = min(left, _BATCH, max(1, most // 10))
        await self._until(lambda: most - self._under_way >= enough)
        return min(left, _BATCH, most - self._under_way, max(1, int(self._terms.rate)))

    async def _ask(self, batch: Sequence[str]) -> None:
        """Ask for a batch, and again for what was refused for now."""
        while batch:
            await self._pace.turn(len(batch))
            answers = await self._client.batch(
                batch, max_age_seconds=self._terms.max_age_seconds, lane=self._terms.lane
            )
            again, pause = [], 0.0
            for entity_id, answer in zip(batch, answers, strict=True):
                if not isinstance(answer, Problem):
                    self._take(answer)
                elif answer.status in _FOR_NOW:
                    again.append(entity_id)
                    pause = max(pause, answer.retry_after_seconds or _AGAIN_SECONDS)
                else:
                    self._end(Row(entity_id, "refused", error=str(answer)), None)
            batch = again
            await asyncio.sleep(pause)

    async def _look(self) -> None:
        """Look at one after the other that is pending."""
        loop = asyncio.get_running_loop()
        while True:
            entity_id = await self._pending.get()
            began = loop.time()
            prediction = await self._client.look_up(entity_id, wait=_LOOK_SECONDS)
            self._under_way -= 1
            if prediction is None:
                self._end(Row(entity_id, "deleted"), None)
                continue
            self._take(prediction)
            if prediction.pending and loop.time() - began < _PAUSE_SECONDS:
                await asyncio.sleep(_PAUSE_SECONDS)

    def _take(self, prediction: Prediction) -> None:
        if prediction.pending:
            self._wait_for(prediction.entity_id)
        else:
            self._end(row_of(prediction), prediction)

    def _wait_for(self, entity_id: str) -> None:
        self._under_way += 1
        self._pending.put_nowait(entity_id)

    def _end(self, row: Row, prediction: Prediction | None) -> None:
        self._journal.note(ended=[row])
        self._told(row, prediction)
        self._changed.set()

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            self._changed.clear()
            await self._changed.wait()


class Pace:
    """Turns at a rate a second."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._next_at = 0.0

    async def turn(self, count: int = 1) -> None:
        """Wait for a turn, and take as many."""
        now = asyncio.get_running_loop().time()
        mine = max(now, self._next_at)
        self._next_at = mine + count / self._rate
        await asyncio.sleep(mine - now)


def tally(rows: Counter[str], *, refused: int, entity_ids: int) -> str:
    """Say what became of the ids; ``refused`` lines were none."""
    done, failed = rows["done"], rows["failed"] + rows["deleted"]
    pending = entity_ids - rows.total()
    return f"{done} done, {failed} failed, {pending} pending, {refused + rows['refused']} refused"
