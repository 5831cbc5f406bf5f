"""A daemon process: how to talk to it, and how to do it harm."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.stack.paths import FRAUDD
from tests.stack.process import Process, command

#: Long enough for a slow machine; nothing waits for it but a failure.
PATIENCE_SECONDS = 60.0
#: Between two questions where there is nothing to wait on.
_ASK_AGAIN_SECONDS = 0.05
_REQUESTS_AT_A_TIME = 10


class Daemon:
    """One running ``fraudd serve``."""

    def __init__(self, process: Process, http: aiohttp.ClientSession, port: int) -> None:
        self.port = port
        self.pid = process.process.pid
        self._process = process
        self._http = http

    @property
    def url(self) -> str:
        """Where it listens."""
        return str(self._http._base_url)

    async def ready(self) -> None:
        """Wait until it serves; to be awaited before anything else is asked of it."""
        await asyncio.to_thread(self._process.wait_for, "daemon.ready")

    async def post(self, entity_id: str) -> tuple[int, Any]:
        """Ask for a score, once."""
        async with self._http.post("/v1/predictions", json={"entity_id": entity_id}) as answer:
            return answer.status, await answer.json()

    async def ask(self, entity_id: str) -> str:
        """Ask for a score, again while the store is out of reach; gives the run."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                status, body = await self.post(entity_id)
                if status == 202:
                    return str(body["run_id"])
                assert status == 503, body
                await asyncio.sleep(_ASK_AGAIN_SECONDS)

    async def ask_for_all(self, entity_ids: Iterable[str]) -> dict[str, str]:
        """Ask for many scores, a few at a time; gives the run of each entity."""
        few = asyncio.Semaphore(_REQUESTS_AT_A_TIME)
        runs: dict[str, str] = {}

        async def ask(entity_id: str) -> None:
            async with few:
                runs[entity_id] = await self.ask(entity_id)

        async with asyncio.TaskGroup() as group:
            for entity_id in entity_ids:
                group.create_task(ask(entity_id))
        return runs

    async def look_up(self, entity_id: str) -> Any:
        """Give what the record says."""
        async with self._http.get(f"/v1/predictions/{entity_id}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def status(self) -> Any:
        """Give what it does right now."""
        async with self._http.get("/v1/status") as answer:
            return await answer.json()

    async def works_on(self, entity_id: str) -> bool:
        """Tell whether a message of the entity is in hand."""
        return any(job["entity_id"] == entity_id for job in (await self.status())["runs"])

    async def sample(self, name: str, **labels: str) -> float:
        """Give the value of a metric; 0 where there is none yet."""
        async with self._http.get("/metrics") as answer:
            text = await answer.text()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        return 0.0

    async def until(self, name: str, good: Callable[[float], bool], **labels: str) -> None:
        """Wait until a metric has a value that will do."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not good(await self.sample(name, **labels)):
                await asyncio.sleep(_ASK_AGAIN_SECONDS)

    async def drains(self) -> None:
        """Wait until it has begun to stop."""
        await asyncio.to_thread(self._process.wait_for, "daemon.stopping")

    async def notices_outage(self) -> None:
        """Wait until it has stopped taking messages because something is out of reach."""
        await self.until("fraudd_breaker_open", lambda value: value == 1, cause="outage")

    async def polls(self) -> None:
        """Wait until it has begun to poll once more."""
        before = await self.sample("fraudd_aws_calls_total", operation="ReceiveMessage")
        await self.until(
            "fraudd_aws_calls_total", lambda value: value > before, operation="ReceiveMessage"
        )

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.process.send_signal(number)

    async def ended(self, within_seconds: float = PATIENCE_SECONDS) -> tuple[int, float]:
        """Wait for its end; gives exit status and how many seconds that took."""
        began = time.monotonic()
        status = await asyncio.to_thread(self._process.process.wait, within_seconds)
        return status, time.monotonic() - began

    async def kill(self) -> None:
        """Kill it where it stands."""
        self.signal(signal.SIGKILL)
        await self.ended()


@asynccontextmanager
async def serving(config: Path, port: int) -> AsyncIterator[Daemon]:
    """Run a daemon; it must not have met a bug of its own, whatever else it met."""
    with command(config.parent, FRAUDD, "serve", "--config", str(config)) as process:
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
                yield Daemon(process, http, port)
        finally:
            if process.process.poll() is None:
                process.process.kill()
            # Shown where the test fails.
            print(f"--- {config}\n{process.printed()}")
    assert "Traceback" not in process.printed()
