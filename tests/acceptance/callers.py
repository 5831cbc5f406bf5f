"""Callers that keep their connections, and try nothing again: what is lost is seen."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

#: A restart takes a few seconds, during which new connections wait.
_PATIENCE_SECONDS = 30.0


@dataclass(kw_only=True)
class Callers:
    """Looks something up so many times a second, over so many kept connections."""

    address: tuple[str, int]
    path: str
    per_second: float
    connections: int
    #: What came: a status, or the failure.
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_seconds: float = 0.0
    #: Connections that were opened, beyond the first of each caller.
    reconnected: int = 0

    async def call(self, over: asyncio.Event) -> None:
        """Call until it is over."""
        async with asyncio.TaskGroup() as group:
            for number in range(self.connections):
                group.create_task(self._call(number, over))

    async def _call(self, number: int, over: asyncio.Event) -> None:
        every = self.connections / self.per_second
        due = time.monotonic() + every * number / self.connections
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not over.is_set():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            began = time.monotonic()
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    # As any client does: a connection that was closed meanwhile is not used.
                    if connection is not None and connection[0].at_eof():
                        connection[1].close()
                        connection = None
                    if connection is None:
                        connection = await asyncio.open_connection(*self.address)
                        self.reconnected += 1
                    status, last = await self._exchange(*connection)
                self.outcomes[status] += 1
                if last:
                    connection[1].close()
                    connection = None
            except (OSError, EOFError, TimeoutError) as error:
                self.outcomes[repr(error)] += 1
                connection = None
            self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
            due = max(due + every, time.monotonic())
        if connection is not None:
            connection[1].close()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[str, bool]:
        """Send a request and read its answer; tells whether it is the connection's last."""
        writer.write(f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = head.partition("content-length:")[2].split("\r\n")[0]
        await reader.readexactly(int(length))
        return head.split()[1], "connection: close" in head
