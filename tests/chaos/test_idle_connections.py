"""Ten thousand connections that ask for nothing."""

import asyncio
import resource
import socket
import time
from contextlib import ExitStack
from pathlib import Path

from fraudd.web.server.server import MAX_CONNECTIONS
from tests.chaos.stage import Stage

#: Files of this process that are no callers.
_OTHER_FILES = 500


def _memory_mb(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1_000_000


async def test_ten_thousand_idle_connections_hold_up_nobody(stage: Stage) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # As many as there may be and some more, where the machine's limit allows for it.
    count = min(MAX_CONNECTIONS + 100, hard - _OTHER_FILES)
    loop = asyncio.get_running_loop()
    async with stage.daemon("one") as daemon:
        await daemon.ready()
        runs = await daemon.ask_for_all(["shop-1"])
        await stage.all_done(runs, daemon)
        before = _memory_mb(daemon.pid)
        with ExitStack() as idle:
            for _ in range(count):
                sock = idle.enter_context(socket.socket())
                sock.setblocking(False)
                await loop.sock_connect(sock, ("127.0.0.1", daemon.port))
            await daemon.until("fraudd_http_connections", lambda open_: open_ >= count - 100)
            began = time.monotonic()
            for _ in range(100):
                assert (await daemon.look_up("shop-1"))["status"] == "done"
            each = (time.monotonic() - began) / 100
            assert await daemon.sample("fraudd_http_connections") <= MAX_CONNECTIONS
            more = _memory_mb(daemon.pid) - before
            print(f"{count} idle connections: {more} MB more, {each * 1000:.1f} ms a look-up")
        await daemon.until("fraudd_http_connections", lambda open_: open_ < 100)
