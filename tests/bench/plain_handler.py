"""What one would write without fraudd: aiohttp, aiobotocore, and one GetItem a request.

`python -m tests.bench.plain_handler PORT ENDPOINT_URL TABLE` gives the daemon's body at the
daemon's path, and does nothing else: no middleware, no metrics, no log. At `/tuned/...` it does the
same with a client that has fraudd's own options; `/bare/...` answers as many bytes and asks nobody.
"""

import gc
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from aiohttp import web

from fraudd.prediction.formats import rfc3339

_RESULT = ("score", "decision", "model", "as_of", "scored_at", "reasons", "timing_ms")
#: About the size of a body with five reasons.
_BARE_BYTES = 1400
_PLAIN: web.AppKey[Any] = web.AppKey("plain")
_TUNED_CLIENT: web.AppKey[Any] = web.AppKey("tuned")
#: As in fraudd/aws/session.py.
_TUNED: dict[str, Any] = {
    "user_agent": "plain",
    "parameter_validation": False,
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
    "disable_request_compression": True,
    "retries": {"mode": "standard"},
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def body(item: Any) -> dict[str, Any]:
    """Give the body of an entity whose last run succeeded."""
    result = json.loads(item["result"]["S"])
    shown = {name: result[name] for name in _RESULT}
    shown["as_of"] = rfc3339(shown["as_of"])
    shown["scored_at"] = rfc3339(shown["scored_at"])
    return {
        "entity_id": item["entity_id"]["S"],
        "status": "done",
        "run_id": item["run_id"]["S"],
        "requested_at": rfc3339(int(item["requested_at"]["N"])),
        "started_at": rfc3339(int(item["started_at"]["N"])),
        "finished_at": rfc3339(int(item["finished_at"]["N"])),
        "attempts": int(item["attempts"]["N"]),
        "result": shown,
    }


async def make_app(endpoint_url: str, table: str) -> web.Application:
    """Put the application together."""
    app = web.Application()

    async def clients(_: web.Application) -> AsyncIterator[None]:
        async with _client(endpoint_url) as plain, _client(endpoint_url, **_TUNED) as tuned:
            app[_PLAIN], app[_TUNED_CLIENT] = plain, tuned
            gc.collect()
            gc.freeze()
            yield

    def look_up(key: "web.AppKey[Any]") -> Handler:
        async def handler(request: web.Request) -> web.Response:
            entity_id = request.match_info["entity_id"]
            answer = await app[key].get_item(
                TableName=table, Key={"entity_id": {"S": entity_id}}, ConsistentRead=True
            )
            if "Item" not in answer:
                raise web.HTTPNotFound
            encoded = json.dumps(body(answer["Item"])).encode()
            return web.Response(body=encoded, content_type="application/json")

        return handler

    async def bare(_: web.Request) -> web.Response:
        return web.Response(body=b" " * _BARE_BYTES, content_type="application/json")

    app.cleanup_ctx.append(clients)
    app.router.add_get("/v1/predictions/{entity_id}", look_up(_PLAIN))
    app.router.add_get("/tuned/{entity_id}", look_up(_TUNED_CLIENT))
    app.router.add_get("/bare/{entity_id}", bare)
    return app


def _client(endpoint_url: str, **options: Any) -> Any:
    return get_session().create_client(
        "dynamodb",
        region_name="eu-central-1",
        endpoint_url=endpoint_url,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=AioConfig(max_pool_connections=200, **options),
    )


if __name__ == "__main__":
    _, port, url, name = sys.argv
    web.run_app(make_app(url, name), host="127.0.0.1", port=int(port), access_log=None, print=None)
