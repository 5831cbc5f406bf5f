"""A daemon in this process, and how to talk to it."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import aiohttp

from fraudd.config import Config
from fraudd.daemon.daemon import Daemon
from fraudd.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Fraudd:
    """A running daemon, and how to talk to it."""

    daemon: Daemon
    metrics: Metrics
    port: int
    http: aiohttp.ClientSession
    task: "asyncio.Task[None]"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def ask(self, entity_id: str, **more: Any) -> tuple[int, Any]:
        """POST; gives status and body."""
        body = {"entity_id": entity_id, **more}
        async with self.http.post("/v1/predictions", json=body) as answer:
            return answer.status, await answer.json()

    async def look_up(self, entity_id: str) -> tuple[int, Any]:
        """GET; gives status and body."""
        async with self.http.get(f"/v1/predictions/{entity_id}") as answer:
            return answer.status, await answer.json(content_type=None)

    async def ended(self, entity_id: str) -> Any:
        """Wait until no run of the entity is pending; gives the body."""
        async with asyncio.timeout(20):
            while True:
                _, body = await self.look_up(entity_id)
                if body["status"] not in ("calculating", 404):
                    return body

    async def status(self) -> Any:
        """GET /v1/status."""
        async with self.http.get("/v1/status") as answer:
            return await answer.json()

    async def jobs(self, outcome: str, count: int = 1) -> None:
        """Wait until so many messages came to an outcome."""
        async with asyncio.timeout(20):
            while self.sample("fraudd_messages_total", outcome=outcome) < count:
                await self.status()

    async def breaker(self, state: str) -> None:
        """Wait until the breaker is in a state."""
        async with asyncio.timeout(20):
            while (await self.status())["breaker"] != state:
                pass

    def sample(self, name: str, **labels: str) -> float:
        """The value of a metric; 0 where there is none yet."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


Start = Callable[..., AbstractAsyncContextManager[Fraudd]]


def changed(config: Config, **sections: dict[str, Any]) -> Config:
    """Give the configuration with some keys changed."""
    values = config.model_dump()
    for section, keys in sections.items():
        values[section] |= keys
    return Config.model_validate(values)
