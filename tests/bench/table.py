"""A stand-in for DynamoDB that costs next to nothing: reads by key, from memory.

`python -m tests.bench.table PORT EMULATOR_PORT ITEMS.json DELAY_MS`: GetItem and BatchGetItem are
answered from the file, an object of items in DynamoDB's JSON by `entity_id`, as late as AWS is
away; every other call goes to the emulator. So a bench measures who reads, not who is read.
"""

import asyncio
import contextlib
import gc
import json
import sys
from email.utils import formatdate
from pathlib import Path
from typing import Any

_GET, _GET_MANY = b"DynamoDB_20120810.GetItem", b"DynamoDB_20120810.BatchGetItem"
_HEAD = (
    "HTTP/1.1 200 OK\r\nDate: {}\r\nContent-Type: application/x-amz-json-1.0\r\n"
    "Content-Length: {}\r\n\r\n"
)


class Table(asyncio.Protocol):
    """One connection of a client: requests come one after the other."""

    transport: asyncio.Transport
    upstream: asyncio.Transport | None = None

    def __init__(self, items: dict[str, bytes], emulator_port: int, delay_seconds: float) -> None:
        self._items = items
        self._emulator_port = emulator_port
        self._delay_seconds = delay_seconds
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self.upstream is not None:
            self.upstream.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        headers = {}
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        if len(body) < int(headers[b"content-length"]):
            return
        whole, self._received = self._received, b""
        target = headers.get(b"x-amz-target")
        if target == _GET:
            self._answer(self._one(json.loads(body)))
        elif target == _GET_MANY:
            self._answer(self._many(json.loads(body)))
        else:
            asyncio.get_running_loop().create_task(self._forward(whole))

    def _one(self, asked: Any) -> bytes:
        item = self._items.get(asked["Key"]["entity_id"]["S"])
        return b'{"Item":%b}' % item if item is not None else b"{}"

    def _many(self, asked: Any) -> bytes:
        [(name, keys)] = asked["RequestItems"].items()
        found = [self._items.get(key["entity_id"]["S"]) for key in keys["Keys"]]
        items = b",".join(item for item in found if item is not None)
        return b'{"Responses":{"%b":[%b]},"UnprocessedKeys":{}}' % (name.encode(), items)

    def _answer(self, body: bytes) -> None:
        answer = _HEAD.format(formatdate(usegmt=True), len(body)).encode() + body
        if self._delay_seconds:
            loop = asyncio.get_running_loop()
            loop.call_later(self._delay_seconds, self.transport.write, answer)
        else:
            self.transport.write(answer)

    async def _forward(self, request: bytes) -> None:
        if self.upstream is None:
            loop = asyncio.get_running_loop()
            self.upstream, _ = await loop.create_connection(
                lambda: _Back(self.transport), "127.0.0.1", self._emulator_port
            )
        self.upstream.write(request)


class _Back(asyncio.Protocol):
    """The emulator's end of a connection: what comes is passed on as it is."""

    def __init__(self, client: asyncio.Transport) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        self._client.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._client.close()


async def serve(port: int, emulator_port: int, items: dict[str, bytes], delay: float) -> None:
    """Answer until SIGTERM."""
    server = await asyncio.get_running_loop().create_server(
        lambda: Table(items, emulator_port, delay), "127.0.0.1", port, backlog=1024
    )
    await server.serve_forever()


if __name__ == "__main__":
    _, own_port, its_port, path, delay_ms = sys.argv
    stored = {
        name: json.dumps(item).encode() for name, item in json.loads(Path(path).read_text()).items()
    }
    gc.freeze()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(own_port), int(its_port), stored, float(delay_ms) / 1000))
