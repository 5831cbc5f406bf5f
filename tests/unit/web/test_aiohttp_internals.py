"""The private names of aiohttp that fraudd uses, one test for each.

If one of these tests fails after an upgrade, aiohttp has changed the name: read its new source,
then adapt ``fraudd/web/server/aiohttp_internals.py``.
"""

import asyncio
import inspect
import re
from configparser import ConfigParser
from pathlib import Path

import aiohttp
from aiohttp import web

from fraudd import web as fraudd_web
from fraudd.web.server import aiohttp_internals
from tests.stack.paths import ROOT

NAMES = frozenset(
    {"_make_server", "_kwargs", "_connections", "_waiter", "_request_count", "_manager"}
)


async def answer(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response()


def test_the_version_that_was_read_is_the_one_that_is_pinned() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert "aiohttp>=3.14,<3.15" in setup["options.extras_require"]["daemon"].split()
    assert aiohttp.__version__.startswith("3.14.")
    assert "aiohttp 3.14." in str(aiohttp_internals.__doc__)


def test_the_module_uses_these_names_and_no_other_module_does() -> None:
    used = re.compile(r"(?:self|super\(\)|connection|server)\.(_[a-z]\w*)")
    source = Path(aiohttp_internals.__file__).read_text()
    assert set(used.findall(source)) == NAMES
    for path in Path(fraudd_web.__file__).parent.glob("server/*.py"):
        if path.name != "aiohttp_internals.py":
            assert not NAMES & set(used.findall(path.read_text())), path


def test_make_server_is_how_a_runner_makes_its_server() -> None:
    make_server = web.AppRunner._make_server
    assert inspect.iscoroutinefunction(make_server)
    assert "_make_server()" in inspect.getsource(web.BaseRunner.setup)


async def test_kwargs_are_the_options_of_each_connection() -> None:
    server = web.Server(answer, keepalive_timeout=12.0)
    assert server._kwargs == {"keepalive_timeout": 12.0}


async def test_connections_are_kept_by_connection_oldest_first() -> None:
    server = web.Server(answer)
    first, second = server(), server()
    transport = asyncio.Transport()
    server.connection_made(first, transport)
    server.connection_made(second, transport)
    assert list(server._connections) == [first, second]
    assert server.connections == [first, second]


async def test_waiter_is_pending_while_a_connection_waits_for_a_request() -> None:
    connection = web.Server(answer)()
    assert connection._waiter is None
    assert "self._waiter = loop.create_future()" in inspect.getsource(web.RequestHandler.start)


async def test_request_count_is_the_number_of_requests_of_a_connection() -> None:
    connection = web.Server(answer)()
    assert connection._request_count == 0
    received = inspect.getsource(web.RequestHandler.data_received)
    assert "self._request_count += 1" in received


async def test_manager_is_the_server_of_a_connection() -> None:
    server = web.Server(answer)
    assert server()._manager is server
