"""A caller that sends bytes as they are, whether they are HTTP or not."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fraudd.web.openapi.problem_types import PROBLEMS_URL

#: Long enough for a slow machine; nothing waits for it but a failure.
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    #: Names in lower case.
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class Caller:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> Answer:
        """Read one answer."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            pairs = (line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in pairs}
            assert head[0].startswith("HTTP/")
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(status=int(head[0].split()[1]), headers=headers, body=body)

    async def ended(self) -> bytes:
        """Wait until the other side has closed the connection; gives what came before."""
        rest = b""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                while data := await self._reader.read(65536):
                    rest += data
            except ConnectionError:
                pass
        return rest


@asynccontextmanager
async def connected(port: int, *, source: str = "127.0.0.1") -> AsyncIterator[Caller]:
    """Connect to a port of this machine, from one of its addresses."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        yield Caller(reader, writer)
    finally:
        writer.transport.abort()


async def exchange(port: int, data: bytes, *, source: str = "127.0.0.1") -> Answer:
    """Send bytes on a connection of their own; gives the first answer."""
    async with connected(port, source=source) as caller:
        await caller.send(data)
        return await caller.answer()


def head(start: str, *fields: str) -> bytes:
    """Write a request's start line and headers."""
    return "\r\n".join([start, "Host: localhost", *fields, "", ""]).encode("latin-1")


def refused(answer: Answer, status: int, slug: str) -> Any:
    """See that an answer is a problem document that gives nothing away; gives the document."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json
    assert document["type"] == f"{PROBLEMS_URL}{slug}"
    assert (document["status"], bool(document["title"]), bool(document["detail"])) == (
        status,
        True,
        True,
    )
    assert "instance" in document
    discreet(answer)
    return document


def discreet(answer: Answer) -> None:
    """See that an answer has all the headers it must, and tells nothing about what is inside."""
    headers = answer.headers
    assert headers["x-request-id"]
    assert headers["server"] == "fraudd"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"]
    assert not [name for name in headers if name.startswith("access-control-")]
    told = f"{headers} {answer.body.decode()}".lower()
    for inside in ("aiohttp", "python", "traceback", 'file "', ".py"):
        assert inside not in told
