"""Reads by entity, gathered: one call of DynamoDB for all who ask at about the same time.

A BatchGetItem of twenty keys costs a fourteenth of twenty GetItems in CPU. Nobody waits for
others to come: what is asked while no call is out goes at once; what is asked meanwhile goes
together, as soon as the call is back.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fraudd.errors import Unavailable

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

Item = Mapping[str, Any]

#: What BatchGetItem takes.
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
_MAX_KEYS = 100
#: A call that is not back by then is late: what waits is sent beside it. DynamoDB answers sooner.
_LATE_SECONDS = 0.002
#: So many calls at a time: enough that some may hang, and a small part of the connections.
_MAX_CALLS = 8
#: The first wait before keys that DynamoDB left unprocessed are asked for again; then it doubles.
_BACK_OFF_SECONDS = 0.05


@dataclass(slots=True, eq=False)
class _Read:
    """One key, and those who wait for its item."""

    entity_id: str
    callers: list["asyncio.Future[Item | None]"] = field(default_factory=list)
    #: How long it was put off because DynamoDB left it unprocessed, and for how long next time.
    put_off_seconds: float = 0.0
    back_off_seconds: float = _BACK_OFF_SECONDS

    @property
    def wanted(self) -> bool:
        """Whether anybody still waits."""
        return not all(caller.done() for caller in self.callers)

    def join(self, other: "_Read") -> None:
        """Wait together with others for the same item."""
        self.callers += other.callers
        self.put_off_seconds = max(self.put_off_seconds, other.put_off_seconds)
        self.back_off_seconds = max(self.back_off_seconds, other.back_off_seconds)

    def answer(self, item: Item | None) -> None:
        """Give the item to all who wait."""
        for caller in self.callers:
            if not caller.done():
                caller.set_result(item)

    def fail(self, error: BaseException) -> None:
        """Raise the error where they wait."""
        for caller in self.callers:
            if not caller.done():
                caller.set_exception(error)


class Reads:
    """Strongly consistent reads of a table.

    A read is answered by a call that was sent after it was asked for, never by one already out.
    Keys that DynamoDB leaves unprocessed are asked for again, for ``patience_seconds`` in all.
    """

    def __init__(self, dynamodb: "DynamoDBClient", table: str, *, patience_seconds: float) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._patience_seconds = patience_seconds
        self._waiting: dict[str, _Read] = {}
        self._calls: dict[asyncio.Task[None], list[_Read]] = {}
        self._next: asyncio.Handle | None = None
        self._late: asyncio.TimerHandle | None = None

    async def get(self, entity_id: str) -> Item | None:
        """Read an item. Raises what the call raises, ``Unavailable`` where keys stay unprocessed.

        Who is cancelled leaves those alone who wait for the same call.
        """
        caller: asyncio.Future[Item | None] = asyncio.get_running_loop().create_future()
        self._wait(_Read(entity_id, [caller]))
        try:
            return await caller
        except asyncio.CancelledError:
            # Nobody is left to be told how the call ended.
            _ = caller.cancelled() or caller.exception()
            self._let_go()
            raise

    def _wait(self, read: _Read) -> None:
        """Have a read sent in its turn: with all that comes in this turn of the loop."""
        known = self._waiting.setdefault(read.entity_id, read)
        if known is not read:
            known.join(read)
        if self._next is None:
            self._next = asyncio.get_running_loop().call_soon(self._send)

    def _send(self, *, late: bool = False) -> None:
        """Send what waits, unless it should wait for the call that is out."""
        self._next = None
        while self._waiting and len(self._calls) < _MAX_CALLS:
            if self._calls and len(self._waiting) < _MAX_KEYS and not late:
                break
            taken = [self._waiting.pop(key) for key in list(self._waiting)[:_MAX_KEYS]]
            if reads := [read for read in taken if read.wanted]:
                self._call(reads)
        self._mind_the_late()

    def _mind_the_late(self) -> None:
        # Where no more can be sent, one that returns sends what waits.
        mind = bool(self._waiting) and len(self._calls) < _MAX_CALLS
        if not mind and self._late is not None:
            self._late.cancel()
            self._late = None
        elif mind and self._late is None:
            loop = asyncio.get_running_loop()
            self._late = loop.call_later(_LATE_SECONDS, self._send_beside)

    def _send_beside(self) -> None:
        self._late = None
        self._send(late=True)

    def _call(self, reads: list[_Read]) -> None:
        # In no TaskGroup: a call belongs to all who wait for it, and ends with the last of them.
        call = asyncio.create_task(self._answer(reads))  # noqa: TID251
        self._calls[call] = reads
        call.add_done_callback(self._returned)

    def _returned(self, call: "asyncio.Task[None]") -> None:
        reads = self._calls.pop(call)
        error = asyncio.CancelledError() if call.cancelled() else call.exception()
        if error is not None:
            for read in reads:
                read.fail(error)
        self._send()

    def _let_go(self) -> None:
        """Cut off the calls that nobody waits for any more."""
        for call, reads in self._calls.items():
            if not any(read.wanted for read in reads):
                call.cancel()

    async def _answer(self, reads: list[_Read]) -> None:
        if len(reads) == 1:
            [read] = reads
            read.answer(await self._one(read.entity_id))
            return
        items, unprocessed = await self._many([read.entity_id for read in reads])
        for read in reads:
            if read.entity_id in unprocessed:
                self._put_off(read)
            else:
                read.answer(items.get(read.entity_id))

    async def _one(self, entity_id: str) -> Item | None:
        answer = await self._dynamodb.get_item(
            TableName=self._table, Key={"entity_id": {"S": entity_id}}, ConsistentRead=True
        )
        return answer.get("Item")

    async def _many(self, entity_ids: list[str]) -> tuple[dict[str, Item], set[str]]:
        """Give the items that there are, and the keys that were left unprocessed."""
        keys: list[Any] = [{"entity_id": {"S": entity_id}} for entity_id in entity_ids]
        answer = await self._dynamodb.batch_get_item(
            RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}}
        )
        items = answer.get("Responses", {}).get(self._table, [])
        left = answer.get("UnprocessedKeys", {}).get(self._table)
        return (
            {item["entity_id"]["S"]: item for item in items},
            {key["entity_id"]["S"] for key in left["Keys"]} if left else set(),
        )

    def _put_off(self, read: _Read) -> None:
        """Ask again a little later: the table is busy, or the answer would have been too large."""
        delay, read.back_off_seconds = read.back_off_seconds, 2 * read.back_off_seconds
        read.put_off_seconds += delay
        if read.put_off_seconds > self._patience_seconds:
            detail = f"BatchGetItem: {read.entity_id} left unprocessed, again and again: throttled"
            read.fail(Unavailable("store", detail))
            return
        asyncio.get_running_loop().call_later(delay, self._wait, read)
