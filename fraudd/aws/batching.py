"""Gathers reads of a table, and messages to a queue, into few calls.

A BatchGetItem of twenty keys costs a fourteenth of the CPU of twenty GetItems. No item waits for
others to come: while no call is in flight, an item is sent at once. Items that come during a call
are sent together as soon as it returns.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fraudd.aws.attributes import string_attributes
from fraudd.aws.translation import bare_code, refusal
from fraudd.errors import BackPressure, RunError, Unavailable

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_sqs.client import SQSClient

Item = TypeVar("Item", bound=Hashable)
Answer = TypeVar("Answer")
TableItem = Mapping[str, Any]

#: The maximum of BatchGetItem.
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
_MAX_KEYS = 100
#: DynamoDB usually answers within this time. After it, a second call takes the waiting reads.
_LATE_SECONDS = 0.002
#: Some calls may hang without blocking the others, and the connection pool is much larger.
_MAX_READ_CALLS = 8
#: The first wait before fraudd reads unprocessed keys again. Each further wait is twice as long.
_BACK_OFF_SECONDS = 0.05
#: The maximum of SendMessageBatch.
#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
_MAX_MESSAGES = 10
#: Enough for the hundred predictions of one batch request.
_MAX_SEND_CALLS = 10


class Gatherer(Generic[Item, Answer]):
    """Passes items to ``call`` in few batches, and each answer to the tasks that wait for it.

    Equal items share one answer. An item never joins a call that is already in flight, because
    the answer could be older than the item.

    ``call`` returns one answer for each item, in order. An exception among the answers is raised
    for its item alone. If ``call`` itself raises, every item of the batch fails.
    """

    def __init__(
        self,
        call: Callable[[list[Item]], Awaitable[Sequence[Answer | Exception]]],
        *,
        max_items: int,
        max_calls: int,
        late_seconds: float | None,
        drop_abandoned: bool,
    ) -> None:
        self._call = call
        self._max_items = max_items
        self._max_calls = max_calls
        #: After this time items no longer wait for the calls in flight. None: they always wait.
        self._late_seconds = late_seconds
        #: Whether an item, and a call, is dropped when nobody waits for its answer any more.
        self._drop_abandoned = drop_abandoned
        self._waiting: dict[Item, list[asyncio.Future[Answer]]] = {}
        self._calls: dict[asyncio.Task[None], dict[Item, list[asyncio.Future[Answer]]]] = {}
        self._next: asyncio.Handle | None = None
        self._late: asyncio.TimerHandle | None = None

    async def submit(self, item: Item) -> Answer:
        """Submit an item, and wait for its answer. Raises the exceptions of ``call``.

        A cancelled waiter does not disturb others that wait for the same call.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Answer] = loop.create_future()
        self._waiting.setdefault(item, []).append(waiter)
        if self._next is None:
            # Everything that comes in this turn of the loop goes together.
            self._next = loop.call_soon(self._send)
        try:
            return await waiter
        except asyncio.CancelledError:
            # Mark an exception as retrieved. Otherwise asyncio logs it.
            _ = waiter.cancelled() or waiter.exception()
            if self._drop_abandoned:
                self._cancel_abandoned_calls()
            raise

    def _send(self, *, late: bool = False) -> None:
        """Send waiting items, unless they should wait for a call in flight."""
        self._next = None
        while self._waiting and len(self._calls) < self._max_calls:
            if self._calls and len(self._waiting) < self._max_items and not late:
                break
            items = list(self._waiting)[: self._max_items]
            batch = {item: self._waiting.pop(item) for item in items}
            if self._drop_abandoned:
                batch = {item: batch[item] for item in items if _is_awaited(batch[item])}
            if batch:
                # In no TaskGroup: a call belongs to all who wait for it, not to the first.
                call = asyncio.create_task(self._answer(batch))  # noqa: TID251
                self._calls[call] = batch
                call.add_done_callback(self._returned)
        self._schedule_late_send()

    def _schedule_late_send(self) -> None:
        # With all calls in flight, the next one that returns sends the waiting items.
        needed = bool(self._waiting) and len(self._calls) < self._max_calls
        if not needed and self._late is not None:
            self._late.cancel()
            self._late = None
        elif needed and self._late is None and self._late_seconds is not None:
            loop = asyncio.get_running_loop()
            self._late = loop.call_later(self._late_seconds, self._send_late)

    def _send_late(self) -> None:
        self._late = None
        self._send(late=True)

    async def _answer(self, batch: Mapping[Item, list["asyncio.Future[Answer]"]]) -> None:
        answers = await self._call(list(batch))
        for waiters, answer in zip(batch.values(), answers, strict=True):
            for waiter in waiters:
                if waiter.done():
                    continue
                if isinstance(answer, Exception):
                    waiter.set_exception(answer)
                else:
                    waiter.set_result(answer)

    def _returned(self, call: "asyncio.Task[None]") -> None:
        batch = self._calls.pop(call)
        error = asyncio.CancelledError() if call.cancelled() else call.exception()
        if error is not None:
            for waiters in batch.values():
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_exception(error)
        self._send()

    def _cancel_abandoned_calls(self) -> None:
        for call, batch in self._calls.items():
            if not any(_is_awaited(waiters) for waiters in batch.values()):
                call.cancel()


def _is_awaited(waiters: Sequence["asyncio.Future[Any]"]) -> bool:
    return not all(waiter.done() for waiter in waiters)


class _UnprocessedError(Exception):
    """DynamoDB left a key unprocessed: it throttles, or the response would be too large."""


class BatchReader:
    """Strongly consistent reads of a table.

    fraudd reads keys that DynamoDB leaves unprocessed again, for ``patience_seconds`` in total.
    """

    def __init__(self, dynamodb: "DynamoDBClient", table: str, *, patience_seconds: float) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._patience_seconds = patience_seconds
        self._gatherer: Gatherer[str, TableItem | None] = Gatherer(
            self._read,
            max_items=_MAX_KEYS,
            max_calls=_MAX_READ_CALLS,
            late_seconds=_LATE_SECONDS,
            drop_abandoned=True,
        )

    async def get(self, entity_id: str) -> TableItem | None:
        """Read an item. Raises what the call raises, ``BackPressure`` if it stays unprocessed."""
        delay = waited = 0.0
        while True:
            try:
                return await self._gatherer.submit(entity_id)
            except _UnprocessedError:
                delay = 2 * delay or _BACK_OFF_SECONDS
                waited += delay
            if waited > self._patience_seconds:
                seconds = self._patience_seconds
                detail = f"throttled: BatchGetItem left {entity_id} unprocessed for {seconds:g} s"
                raise BackPressure("store", detail)
            await asyncio.sleep(delay)

    async def _read(self, entity_ids: list[str]) -> Sequence[TableItem | Exception | None]:
        if len(entity_ids) == 1:
            return [await self._read_one(entity_ids[0])]
        keys: list[Any] = [{"entity_id": {"S": entity_id}} for entity_id in entity_ids]
        response = await self._dynamodb.batch_get_item(
            RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}}
        )
        answers: dict[str, TableItem | Exception] = {
            item["entity_id"]["S"]: item for item in response["Responses"].get(self._table, [])
        }
        if unprocessed := response.get("UnprocessedKeys", {}).get(self._table):
            answers |= {key["entity_id"]["S"]: _UnprocessedError() for key in unprocessed["Keys"]}
        return [answers.get(entity_id) for entity_id in entity_ids]

    async def _read_one(self, entity_id: str) -> TableItem | None:
        response = await self._dynamodb.get_item(
            TableName=self._table, Key={"entity_id": {"S": entity_id}}, ConsistentRead=True
        )
        return response.get("Item")


@dataclass(frozen=True, slots=True, eq=False)
class _OutgoingMessage:
    """One message. Two messages are never equal, so that the gatherer sends both."""

    body: str
    attributes: Mapping[str, str]


class BatchSender:
    """Sends messages to a queue."""

    def __init__(self, sqs: "SQSClient", url: str) -> None:
        self._sqs = sqs
        self._url = url
        self._gatherer: Gatherer[_OutgoingMessage, None] = Gatherer(
            self._send,
            max_items=_MAX_MESSAGES,
            max_calls=_MAX_SEND_CALLS,
            late_seconds=None,
            drop_abandoned=False,
        )

    async def send(self, body: str, attributes: Mapping[str, str]) -> None:
        """Send a message. Raises what the call raises, and the refusal of this message alone."""
        await self._gatherer.submit(_OutgoingMessage(body, attributes))

    async def _send(self, messages: list[_OutgoingMessage]) -> Sequence[Exception | None]:
        response = await self._sqs.send_message_batch(
            QueueUrl=self._url,
            Entries=[
                {
                    "Id": str(number),
                    "MessageBody": message.body,
                    "MessageAttributes": string_attributes(message.attributes),
                }
                for number, message in enumerate(messages)
            ],
        )
        failed = {entry["Id"]: _refused(entry) for entry in response.get("Failed", [])}
        sent = {entry["Id"] for entry in response.get("Successful", [])}
        return [
            None if number in sent else failed.get(number, _UNANSWERED)
            for number in map(str, range(len(messages)))
        ]


#: A response that names a message neither as sent nor as failed is not of SQS.
_UNANSWERED = Unavailable("bulk_queue", "SendMessageBatch: the response leaves out this message")


def _refused(entry: Mapping[str, Any]) -> Unavailable | RunError:
    code = str(entry.get("Code", "rejected"))
    text = f"SendMessageBatch: {code}: {entry.get('Message', '')}".rstrip(": ")
    return refusal("bulk_queue", bare_code(code), text, of_a_run=True)
