"""A client of the HTTP API that blocks."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from tests.stack.process import PATIENCE_SECONDS


def http(
    method: str, url: str, body: Any = None, *, headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    """Send a request; gives status and parsed body."""
    request = urllib.request.Request(
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **(headers or {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def ended(base: str, entity_id: str) -> Any:
    """Wait until no run of an entity is pending; gives the body."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        _, body = http("GET", f"{base}/v1/predictions/{entity_id}")
        if body["status"] != "calculating":
            return body
    raise AssertionError(f"{entity_id} is still {body}")


def at_rest(base: str) -> Any:
    """Wait until no message is in hand: a result can be read before its message is deleted."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        status, told = http("GET", f"{base}/v1/status")
        assert status == 200
        if not told["runs"]:
            return told
    raise AssertionError(f"still at work: {told['jobs']}")
