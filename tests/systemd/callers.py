"""Callers who go on whatever happens to the daemon, and what became of each request."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from tests.systemd.machine import PATIENCE_SECONDS

#: As the daemon must bear while it is restarted.
PER_SECOND = 200


@dataclass(slots=True)
class Outcome:
    """What became of the requests."""

    statuses: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    slowest_seconds: float = 0.0


@asynccontextmanager
async def calling(url: str) -> AsyncIterator[Outcome]:
    """Send look-ups as long as the block lasts, then wait for the last answers.

    They are sent when they are due, however many are not answered yet: every other one on a
    connection of its own, the rest on connections that are kept. None is tried again.
    """
    outcome = Outcome()
    async with (
        asyncio.timeout(2 * PATIENCE_SECONDS),
        _session(aiohttp.TCPConnector(limit=0)) as keeping,
        _session(aiohttp.TCPConnector(limit=0, force_close=True)) as parting,
        asyncio.TaskGroup() as requests,
    ):
        stop = asyncio.Event()
        requests.create_task(_send(requests, (keeping, parting), url, outcome, stop))
        try:
            yield outcome
        finally:
            stop.set()


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(connector=connector)
    # A client may send what changes nothing again where a kept connection was closed; here nothing
    # shall hide that this was needed.
    session._retry_connection = False
    return session


async def _send(
    requests: asyncio.TaskGroup,
    sessions: tuple[aiohttp.ClientSession, ...],
    url: str,
    outcome: Outcome,
    stop: asyncio.Event,
) -> None:
    began, sent = time.monotonic(), 0
    while not stop.is_set():
        while sent < (time.monotonic() - began) * PER_SECOND:
            requests.create_task(_request(sessions[sent % len(sessions)], url, outcome))
            sent += 1
        await asyncio.sleep(1 / PER_SECOND)


async def _request(session: aiohttp.ClientSession, url: str, outcome: Outcome) -> None:
    began = time.monotonic()
    try:
        async with session.get(url) as answer:
            await answer.read()
            outcome.statuses.append(answer.status)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        outcome.failures.append(repr(error))
    outcome.slowest_seconds = max(outcome.slowest_seconds, time.monotonic() - began)
