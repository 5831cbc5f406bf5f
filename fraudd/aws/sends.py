"""Messages to a queue, gathered: one call of SQS for all that are to be sent at about one time.

What is to be sent while no call is out goes at once; what comes meanwhile goes together, as soon as
the call is back or there are as many as a call takes. Each hears of its own message alone.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fraudd.aws.attributes import string_attributes
from fraudd.errors import Unavailable

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient

#: What SendMessageBatch takes.
#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
_MAX_MESSAGES = 10
#: So many calls at a time: a batch of a hundred in one round, and a small part of the connections.
_MAX_CALLS = 10


@dataclass(frozen=True, slots=True, eq=False)
class _Sent:
    """One message, and who waits to hear that it was taken."""

    body: str
    attributes: Mapping[str, str]
    caller: "asyncio.Future[None]"


class Sends:
    """Sends to one queue."""

    def __init__(self, sqs: "SQSClient", url: str) -> None:
        self._sqs = sqs
        self._url = url
        self._waiting: deque[_Sent] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._next: asyncio.Handle | None = None

    async def send(self, body: str, attributes: Mapping[str, str]) -> None:
        """Send a message. Raises what the call raises, ``Unavailable`` where it was refused."""
        loop = asyncio.get_running_loop()
        caller: asyncio.Future[None] = loop.create_future()
        self._waiting.append(_Sent(body, attributes, caller))
        if self._next is None:
            # With all that comes in this turn of the loop.
            self._next = loop.call_soon(self._begin)
        await caller

    def _begin(self) -> None:
        """Send what waits, unless it should wait for a call that is out."""
        self._next = None
        while self._waiting and len(self._calls) < _MAX_CALLS:
            if self._calls and len(self._waiting) < _MAX_MESSAGES:
                return
            count = min(len(self._waiting), _MAX_MESSAGES)
            taken = [self._waiting.popleft() for _ in range(count)]
            # In no TaskGroup: a call belongs to all who wait for it.
            call = asyncio.create_task(self._call(taken))  # noqa: TID251
            self._calls.add(call)
            call.add_done_callback(self._returned)

    def _returned(self, call: "asyncio.Task[None]") -> None:
        self._calls.discard(call)
        self._begin()

    async def _call(self, messages: list[_Sent]) -> None:
        try:
            answer = await self._sqs.send_message_batch(
                QueueUrl=self._url,
                Entries=[
                    {
                        "Id": str(number),
                        "MessageBody": one.body,
                        "MessageAttributes": string_attributes(one.attributes),
                    }
                    for number, one in enumerate(messages)
                ],
            )
        except BaseException as error:
            for one in messages:
                _tell(one.caller, error)
            if isinstance(error, Exception):
                return  # it was told to those whom it concerns
            raise
        refused = {int(one["Id"]): one for one in answer.get("Failed", [])}
        for number, one in enumerate(messages):
            why = refused.get(number)
            _tell(one.caller, why and Unavailable("bulk_queue", _refusal(why)))


def _refusal(why: Mapping[str, Any]) -> str:
    return f"SendMessageBatch: {why.get('Code', 'refused')}: {why.get('Message', '')}".rstrip(": ")


def _tell(caller: "asyncio.Future[None]", error: BaseException | None) -> None:
    if caller.done():
        return  # who waited was cut off
    if error is None:
        caller.set_result(None)
    else:
        caller.set_exception(error)
