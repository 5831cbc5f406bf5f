"""The fault proxy does what it is told: otherwise the other tests here show nothing."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.chaos.proxy import FaultProxy, proxied

_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that says everything back, and remembers it."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.called = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        try:
            while chunk := await reader.read(1000):
                self.heard.append(chunk)
                self.called.set()
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, FaultProxy]]:
    server = Echo()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with proxied(listener.sockets[0].getsockname()[1]) as proxy:
        yield server, proxy
    listener.close()
    await listener.wait_closed()


async def connect(proxy: FaultProxy) -> _Stream:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def say(stream: _Stream, text: bytes) -> bytes:
    stream[1].write(text)
    return await stream[0].read(1000)


async def test_bytes_pass_both_ways_and_ends_are_passed_on(echo: tuple[Echo, FaultProxy]) -> None:
    _, proxy = echo
    stream = await connect(proxy)
    assert await say(stream, b"one") == b"one"
    assert (proxy.open, proxy.most, proxy.accepted) == (1, 1, 1)
    stream[1].write_eof()
    assert await stream[0].read() == b""
    assert proxy.open == 0
    stream[1].close()


async def test_a_cut_resets_what_there_is_and_nothing_new(echo: tuple[Echo, FaultProxy]) -> None:
    _, proxy = echo
    stream = await connect(proxy)
    await say(stream, b"one")
    proxy.cut()
    assert proxy.open == 0
    with pytest.raises(ConnectionResetError):
        await say(stream, b"two")
    stream[1].close()
    other = await connect(proxy)
    assert await say(other, b"three") == b"three"
    other[1].close()


async def test_refused_is_refused_until_it_recovers(echo: tuple[Echo, FaultProxy]) -> None:
    _, proxy = echo
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await connect(proxy)
    proxy.recover()
    stream = await connect(proxy)
    assert await say(stream, b"one") == b"one"
    stream[1].close()


async def test_who_is_hung_up_on_was_connected_first(echo: tuple[Echo, FaultProxy]) -> None:
    server, proxy = echo
    proxy.hang_up()
    stream = await connect(proxy)
    assert await stream[0].read() == b""
    stream[1].close()
    assert server.heard == []


async def test_the_half_closed_are_still_heard(echo: tuple[Echo, FaultProxy]) -> None:
    server, proxy = echo
    stream = await connect(proxy)
    await say(stream, b"one")
    proxy.half_close()
    assert await stream[0].read() == b""
    server.called.clear()
    stream[1].write(b"two")
    await server.called.wait()
    assert server.heard == [b"one", b"two"]
    stream[1].close()


async def test_what_is_stalled_comes_when_it_recovers(echo: tuple[Echo, FaultProxy]) -> None:
    server, proxy = echo
    stream = await connect(proxy)
    proxy.stall(requests=False)
    answer = asyncio.create_task(say(stream, b"one"))
    await server.called.wait()
    assert not answer.done()
    proxy.recover()
    assert await answer == b"one"
    stream[1].close()


async def test_bytes_are_delayed_both_ways(echo: tuple[Echo, FaultProxy]) -> None:
    _, proxy = echo
    stream = await connect(proxy)
    proxy.delay(0.05)
    began = asyncio.get_running_loop().time()
    assert await say(stream, b"one") == b"one"
    assert asyncio.get_running_loop().time() - began >= 0.1
    stream[1].close()
