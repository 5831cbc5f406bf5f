"""A TCP proxy that fails on command: it stands between a daemon and one of its servers."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

_CHUNK_BYTES = 65_536
#: Less than the head of any answer.
_PART_BYTES = 3
#: SO_LINGER on, for zero seconds: to close is to reset.
_RESET = struct.pack("ii", 1, 0)

#: Told of each chunk that the server answered on a connection.
Tap = Callable[[bytes], None]


class FaultProxy:
    """Forwards connections to a port of this machine, until it is told to fail.

    ``cut`` and ``half_close`` happen once, to the connections there are. ``refuse``, ``hang_up``,
    ``stall``, ``delay`` and ``drop`` last, also for new connections, until ``recover``. New
    connections go to ``server_port``, which may change: a name may lead to several servers.
    """

    def __init__(self, server_port: int, tap: Callable[[], Tap] | None = None) -> None:
        self.port = 0
        #: Connections accepted so far, and how many there were at most at a time. One that ends
        #: is subtracted before the client can know of its end.
        self.accepted = 0
        self.most = 0
        self.server_port = server_port
        self._tap = tap
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._hanging_up = False
        self.faults = _Faults()

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._links)

    def start(self) -> None:
        """Begin to listen; on the same port as before, if there was one."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._accepting = asyncio.create_task(self._accept(self._listener))
        self._tasks.add(self._accepting)

    async def close(self) -> None:
        """Cut everything, and wait until it is gone."""
        self.cut()
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
        # Whoever was accepted just now begins first: a task cut off before would close nothing.
        await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def cut(self) -> None:
        """Reset all connections, on both sides."""
        for link in list(self._links):
            link.reset()

    def half_close(self) -> None:
        """Tell all clients that the server has ended; what they send still arrives there."""
        for link in list(self._links):
            link.half_close()

    def refuse(self) -> None:
        """Refuse new connections, as a port does on which nobody listens."""
        if self._listener is not None and self._accepting is not None:
            # At once, whenever the task comes to close it.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._accepting.cancel()
            self._listener = None

    def hang_up(self) -> None:
        """Accept new connections and close them at once, as a balancer without a server does."""
        self._hanging_up = True

    def stall(self, *, requests: bool = True) -> None:
        """Hold back what is sent, both ways; or the answers alone: what is asked for happens."""
        if requests:
            self.faults.requests.clear()
        self.faults.answers.clear()

    def stall_in_answer(self) -> None:
        """Forward a part of the next answer, and from then on nothing: also not to newcomers."""
        self.faults.stall_in_answer = True

    def delay(self, seconds: float) -> None:
        """Forward each chunk this much later, both ways."""
        self.faults.delay_seconds = seconds

    def drop(self, said: bytes) -> None:
        """Reset every connection on which a client says this."""
        self.faults.dropped = said

    def recover(self) -> None:
        """Be a good proxy again; what was held back is forwarded."""
        self._hanging_up = False
        self.faults.end()
        if self._listener is None:
            self.start()

    async def _accept(self, listener: socket.socket) -> None:
        # Not by asyncio's server: closed while somebody is being accepted, it forgets to close.
        with listener:
            while True:
                client, _ = await asyncio.get_running_loop().sock_accept(listener)
                task = asyncio.create_task(self._forward(client))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _forward(self, client: socket.socket) -> None:
        self.accepted += 1
        if self._hanging_up:
            client.close()
            return
        to_client = await asyncio.open_connection(sock=client)
        try:
            to_server = await asyncio.open_connection("127.0.0.1", self.server_port)
        except (OSError, asyncio.CancelledError):
            _reset(to_client[1])
            return
        link = _Link(to_client, to_server, self.faults, on_end=self._links.discard)
        self._links.add(link)
        self.most = max(self.most, len(self._links))
        await link.run(None if self._tap is None else self._tap())


class _Faults:
    """What befalls bytes on their way; requests and answers flow while their event is set."""

    def __init__(self) -> None:
        self.requests = asyncio.Event()
        self.answers = asyncio.Event()
        self.delay_seconds = 0.0
        self.stall_in_answer = False
        self.dropped: bytes | None = None
        self.end()

    def end(self) -> None:
        """Let everything flow."""
        self.requests.set()
        self.answers.set()
        self.delay_seconds = 0.0
        self.stall_in_answer = False
        self.dropped = None


_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(
        self,
        client: _Stream,
        server: _Stream,
        faults: _Faults,
        *,
        on_end: Callable[["_Link"], None],
    ) -> None:
        self._client = client
        self._server = server
        self._faults = faults
        self._on_end = on_end
        self._half_closed = False

    async def run(self, tap: Tap | None) -> None:
        """Forward both ways until the server has ended, or the connection is reset."""
        try:
            # No TaskGroup: a request that cannot be forwarded is no reason to lose an answer.
            requests = asyncio.create_task(self._requests())
            try:
                await self._answers(tap)
            finally:
                requests.cancel()
                await asyncio.wait([requests])
        except OSError:
            self.reset()
        finally:
            self._on_end(self)
            for _, writer in (self._client, self._server):
                writer.close()

    def reset(self) -> None:
        """Reset both sides."""
        self._on_end(self)
        for _, writer in (self._client, self._server):
            _reset(writer)

    def half_close(self) -> None:
        """Say to the client that the server has ended: to it, this connection is gone."""
        self._on_end(self)
        self._half_closed = True
        with suppress(OSError):
            self._client[1].write_eof()

    async def _requests(self) -> None:
        with suppress(OSError):
            while chunk := await self._client[0].read(_CHUNK_BYTES):
                await self._held_back(self._faults.requests)
                if self._faults.dropped is not None and self._faults.dropped in chunk:
                    self.reset()
                    return
                self._server[1].write(chunk)
                await self._server[1].drain()
            self._server[1].write_eof()

    async def _answers(self, tap: Tap | None) -> None:
        while chunk := await self._server[0].read(_CHUNK_BYTES):
            if tap is not None:
                tap(chunk)
            if self._faults.stall_in_answer:
                self._client[1].write(chunk[:_PART_BYTES])
                chunk = chunk[_PART_BYTES:]
                self._faults.requests.clear()
                self._faults.answers.clear()
            await self._held_back(self._faults.answers)
            if not self._half_closed:
                self._client[1].write(chunk)
                await self._client[1].drain()
        await self._held_back(self._faults.answers)

    async def _held_back(self, flows: asyncio.Event) -> None:
        if self._faults.delay_seconds:
            await asyncio.sleep(self._faults.delay_seconds)
        await flows.wait()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket | None = writer.get_extra_info("socket")
    with suppress(OSError):
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


@asynccontextmanager
async def proxied(
    server_port: int, tap: Callable[[], Tap] | None = None
) -> AsyncIterator[FaultProxy]:
    """Put a proxy in front of a port."""
    proxy = FaultProxy(server_port, tap)
    proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
