"""How connections drain when one server follows another on the same socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest
from aiohttp import web

from fraudd.web.server.server import Runner

#: Nothing takes as long but what is to be seen as a failure.
PATIENCE_SECONDS = 20.0
ASKED = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Server:
    """One of the servers that share a socket."""

    def __init__(self, runner: Runner, listening: socket.socket) -> None:
        self._runner = runner
        self._listening = listening

    async def leave(self, *, patient: bool) -> None:
        """Let everybody go, and close."""
        self._runner.start_drain()
        await self._runner.drain(self._listening, patient=patient)
        await self._runner.cleanup()


@pytest.fixture
def shared() -> socket.socket:
    """The socket that somebody else holds."""
    return socket.create_server(("127.0.0.1", 0), backlog=100)


@asynccontextmanager
async def serving(shared: socket.socket, name: str) -> AsyncIterator[Server]:
    """Serve on a shared socket; every answer is the server's name."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=name)

    app = web.Application()
    app.add_routes([web.get("/", answer)])
    numbers = count()
    runner = Runner(
        app, new_id=lambda: str(next(numbers)), max_connections=100, shutdown_timeout=1.0
    )
    await runner.setup()
    listening = shared.dup()
    await web.SockSite(runner, listening).start()
    try:
        yield Server(runner, listening)
    finally:
        await runner.cleanup()


class Caller:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def answer(self) -> tuple[str, bool]:
        """Read an answer; tells whether it says that it is the last."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].split("\r\n")[0])
            body = (await self._reader.readexactly(length)).decode()
        return body, "connection: close" in head

    async def ask(self) -> tuple[str, bool]:
        """Send a request and read its answer."""
        self.writer.write(ASKED)
        return await self.answer()


async def connected(client: socket.socket) -> Caller:
    return Caller(*await asyncio.open_connection(sock=client))


async def turns(many: int) -> None:
    """Let the event loop come round so often."""
    for _ in range(many):
        await asyncio.sleep(0)


def connection(shared: socket.socket) -> socket.socket:
    """Connect, without giving the server a moment to notice."""
    client = socket.create_connection(shared.getsockname(), PATIENCE_SECONDS)
    client.setblocking(False)
    return client


@pytest.mark.parametrize("before", [0, 1, 2, 3])
async def test_who_connects_in_the_last_moment_is_answered_by_one_or_the_other(
    shared: socket.socket, before: int
) -> None:
    """Whether accepted, made a connection, or neither, when the first begins to close."""
    async with serving(shared, "first") as first:
        clients = [connection(shared) for _ in range(50)]
        await turns(before)
        async with asyncio.TaskGroup() as group:
            leaving = group.create_task(first.leave(patient=False))
            callers = [await connected(client) for client in clients]
            asking = [group.create_task(caller.ask()) for caller in callers]
            await leaving
            async with serving(shared, "second"):
                await asyncio.wait(asking)
    for caller, asked in zip(callers, asking, strict=True):
        name, last = asked.result()
        assert name in ("first", "second")
        assert last == (name == "first")
        caller.writer.close()
    shared.close()


async def test_a_request_that_has_begun_to_come_is_answered(shared: socket.socket) -> None:
    async with serving(shared, "first") as first:
        caller = await connected(connection(shared))
        assert await caller.ask() == ("first", False)
        caller.writer.write(ASKED[:20])
        await caller.writer.drain()
        # The other one's answer shows that the server has read this one's beginning.
        other = await connected(connection(shared))
        assert await other.ask() == ("first", False)
        async with asyncio.TaskGroup() as group:
            leaving = group.create_task(first.leave(patient=False))
            await turns(10)
            caller.writer.write(ASKED[20:])
            assert await caller.answer() == ("first", True)
            await leaving
        caller.writer.close()
        other.writer.close()
    shared.close()


async def test_who_keeps_a_connection_is_told_before_it_is_closed(shared: socket.socket) -> None:
    async with serving(shared, "first") as first:
        caller = await connected(connection(shared))
        assert await caller.ask() == ("first", False)
        async with asyncio.TaskGroup() as group:
            leaving = group.create_task(first.leave(patient=True))
            await turns(10)
            assert await caller.ask() == ("first", True)
            # Others still come, and nobody else is worth waiting for.
            await leaving
        caller.writer.close()
    shared.close()


async def test_who_says_nothing_keeps_nobody(shared: socket.socket) -> None:
    async with serving(shared, "first") as first:
        kept = await connected(connection(shared))
        assert await kept.ask() == ("first", False)
        silent = await connected(connection(shared))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await first.leave(patient=True)
        kept.writer.close()
        silent.writer.close()
    shared.close()
