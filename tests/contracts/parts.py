"""The input of a contract: the ports, and calls for everything that they do not show."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fraudd.ports import Message, Queue, Store, Topics


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The table, queue and topics of one fraudd, all empty. A poll waits one second."""

    store: Store
    queue: Queue
    topics: Topics
    #: Put a message into the main queue as another service would.
    send: Callable[[str], Awaitable[None]]
    #: Give body and attributes of each message in the dead-letter queue.
    dead_letters: Callable[[], Awaitable[list[tuple[str, Mapping[str, str]]]]]


Contract = Callable[[Parts], Awaitable[None]]


async def received(parts: Parts, most: int = 10) -> Message:
    """Poll for the only message. Single polls may return without it."""
    async with asyncio.timeout(10):
        while not (messages := await parts.queue.receive(most)):
            pass
    [message] = messages
    return message
