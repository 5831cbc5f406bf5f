"""A client for other services.

    async with Client("https://fraudd.internal", token=token) as client:
        prediction = await client.predict("shop-42", wait=30)

Requests are idempotent per entity. The client therefore retries a call until its time is up, if
the connection is lost or the status is 429, 502, 503 or 504.
"""

import asyncio
import itertools
import json
import os
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Literal, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from fraudd.client.models import (
    Prediction,
    Problem,
    foreign_response,
    parse_outcome,
    parse_prediction,
    parse_problem,
)

#: A daemon responds within milliseconds, unless the request asks it to wait.
_RESPONSE_SECONDS: Final = 10.0
#: The longest ``Prefer: wait`` that the API accepts.
_MAX_WAIT_SECONDS: Final = 60
#: The API's limit of entities in one batch.
_BATCH_SIZE: Final = 100
_RETRIED_STATUSES: Final = frozenset({0, 429, 502, 503, 504})
#: Pauses between tries if the response names none: from the first to the last, doubled each time.
_FIRST_PAUSE_SECONDS: Final = 0.2
_LAST_PAUSE_SECONDS: Final = 10.0


class Client:
    """The client of one fraudd, found by its URL.

    ``timeout`` is the number of seconds that a call may take, retries included. Time to wait for a
    run is added to it. Raises ``ValueError`` for an invalid URL or token.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: float = 30.0,
        rng: random.Random | None = None,
    ) -> None:
        self._url = _valid_url(url)
        self._headers = {} if token is None else {"Authorization": f"Bearer {_valid_token(token)}"}
        self._timeout = timeout
        self._rng = rng or random.Random()  # noqa: S311 - it spreads retries
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the session. Each concurrent call gets a connection."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), headers=self._headers
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def predict(
        self,
        entity_id: str,
        *,
        wait: float = 0.0,
        max_age_seconds: float | None = None,
        force: bool = False,
        include_features: bool = False,
    ) -> Prediction:
        """Return the stored score, or start a run and wait up to ``wait`` seconds for its end.

        If the run has not ended by then, the prediction is ``pending``. If the run failed, it has
        an ``error``. A stored score older than ``max_age_seconds`` starts a run; ``force`` always
        starts one. Raises ``Problem``.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        body = _request_body(entity_id, max_age_seconds, force)
        query = _features_query(include_features)
        called_at = loop.time()
        prediction, pause = await self._long_poll("POST", "/v1/predictions", query, body, wait)
        while prediction.pending and (remaining := deadline - loop.time()) > 0:
            # A response that came at once did not wait: without a pause this loop would spin.
            if loop.time() - called_at < min(wait, 1.0):
                await asyncio.sleep(min(pause, remaining))
            called_at = loop.time()
            remaining = max(0.0, deadline - called_at)
            prediction, pause = await self._long_poll(
                "GET", _path(entity_id), query, None, remaining
            )
        return prediction

    async def get(
        self, entity_id: str, *, wait: float = 0.0, include_features: bool = False
    ) -> Prediction | None:
        """Return the entity's prediction, or None if it has none. This starts no run.

        If a run is pending, the daemon waits for its end before it responds: up to ``wait``
        seconds, and up to 60. Raises ``Problem``.
        """
        query = _features_query(include_features)
        try:
            prediction, _ = await self._long_poll("GET", _path(entity_id), query, None, wait)
        except Problem as problem:
            if problem.slug == "no-prediction":
                return None
            raise
        return prediction

    async def delete(self, entity_id: str) -> None:
        """Delete the entity's record, if it has one. Raises ``Problem``."""
        await self._call("DELETE", _path(entity_id))

    async def batch(
        self,
        entity_ids: Sequence[str],
        *,
        max_age_seconds: float | None = None,
        force: bool = False,
        lane: Literal["interactive", "bulk"] = "interactive",
    ) -> Sequence[Prediction | Problem]:
        """Request scores of many entities, and return a prediction or a problem for each, in order.

        Runs in the ``bulk`` lane wait behind all interactive runs. The client splits more than
        100 entities into several calls. Raises ``Problem`` if a whole call fails.
        """
        outcomes: list[Prediction | Problem] = []
        for start in range(0, len(entity_ids), _BATCH_SIZE):
            predictions = [
                _request_body(entity_id, max_age_seconds, force)
                for entity_id in entity_ids[start : start + _BATCH_SIZE]
            ]
            batch: dict[str, Any] = {"predictions": predictions}
            if lane != "interactive":
                batch["lane"] = lane
            body, _ = await self._call("POST", "/v1/batches", body=batch)
            outcomes += [parse_outcome(item) for item in body["predictions"]]
        return outcomes

    async def status(self) -> Mapping[str, Any]:
        """Return the status of the daemon. Raises ``Problem``."""
        body: Mapping[str, Any]
        body, _ = await self._call("GET", "/v1/status")
        return body

    async def list(
        self, status: Literal["calculating", "failed"], *, include_features: bool = False
    ) -> AsyncIterator[Prediction]:
        """Yield the pending or failed predictions, the oldest request first. Raises ``Problem``."""
        query = {"status": status, **_features_query(include_features)}
        while True:
            body, _ = await self._call("GET", "/v1/predictions", query=query)
            for item in body["predictions"]:
                yield parse_prediction(item)
            if (cursor := body.get("cursor")) is None:
                return
            query = {**query, "cursor": cursor}

    async def _long_poll(
        self, method: str, path: str, query: Mapping[str, str], body: Any, wait: float
    ) -> tuple[Prediction, float]:
        """Poll once, and return the prediction and the pause before the next poll."""
        seconds = int(min(wait, _MAX_WAIT_SECONDS))
        response, pause = await self._call(method, path, query=query, body=body, wait=seconds)
        return parse_prediction(response), pause or 1.0

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        wait: int = 0,
    ) -> tuple[Any, float | None]:
        """Call with retries until the time is up, and return body and ``Retry-After``."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait + self._timeout
        for attempt in itertools.count():
            seconds = min(deadline - loop.time(), wait + _RESPONSE_SECONDS)
            try:
                async with asyncio.timeout(seconds):
                    return await self._call_once(method, path, query or {}, body, wait)
            except TimeoutError:
                problem = _unreachable(self._url, f"no response within {seconds:.3g} s")
            except aiohttp.ClientError as error:
                problem = _unreachable(self._url, _cause(error))
            except Problem as response:
                problem = response
            pause = pause_seconds(attempt, problem.retry_after_seconds, self._rng.random())
            if problem.status not in _RETRIED_STATUSES or loop.time() + pause >= deadline:
                raise problem
            await asyncio.sleep(pause)
        raise AssertionError("the time is always up at some attempt")

    async def _call_once(
        self, method: str, path: str, query: Mapping[str, str], body: Any, wait: int
    ) -> tuple[Any, float | None]:
        if self._session is None:
            raise RuntimeError("enter the client first: async with Client(url) as client")
        async with self._session.request(
            method,
            URL(f"{self._url}{path}", encoded=True).with_query(query),
            json=body,
            headers={"Prefer": f"wait={wait}"} if wait else {},
            # A redirect would send the token to a host for which it was not issued.
            allow_redirects=False,
        ) as response:
            retry_after = _parse_seconds(response.headers.get("Retry-After"))
            content = await response.read()
            if response.status == 204:
                return None, retry_after
            try:
                document = json.loads(content)
            except ValueError:
                document = None
            if response.status in (200, 202) and isinstance(document, dict):
                return document, retry_after
            if response.ok:
                raise foreign_response(response.status, retry_after)
            raise parse_problem(document, status=response.status, retry_after_seconds=retry_after)


def pause_seconds(attempt: int, retry_after: float | None, fraction: float) -> float:
    """Return the pause before the next try: ``Retry-After`` and up to a tenth more.

    Without ``Retry-After`` it is a random fraction (0 to 1) of a time that doubles with each
    attempt.
    """
    if retry_after is not None:
        return retry_after * (1 + fraction / 10)
    return fraction * min(_LAST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(attempt, 16))


def _valid_url(url: str) -> str:
    try:
        parsed = URL(url)
    except ValueError:
        parsed = URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError("the URL must be like http://127.0.0.1:8080")
    if parsed.user or parsed.password or parsed.query_string or parsed.fragment:
        raise ValueError("the URL must have no user, password, query or fragment")
    return str(parsed).rstrip("/")


def _valid_token(token: str) -> str:
    if not (token.isascii() and token.isprintable() and token and " " not in token):
        raise ValueError("the token is empty or has invalid characters")
    return token


def _path(entity_id: str) -> str:
    return f"/v1/predictions/{quote(entity_id, safe='')}"


def _features_query(include_features: bool) -> dict[str, str]:
    return {"include": "features"} if include_features else {}


def _request_body(entity_id: str, max_age_seconds: float | None, force: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"entity_id": entity_id}
    if max_age_seconds is not None:
        body["max_age_seconds"] = max_age_seconds
    if force:
        body["force"] = True
    return body


def _parse_seconds(header: str | None) -> float | None:
    return float(header) if header is not None and header.isdecimal() else None


def _cause(error: aiohttp.ClientError) -> str:
    """Return what went wrong. The text of aiohttp repeats the address and adds settings."""
    reason = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(reason, ConnectionError) and reason.errno:
        return os.strerror(reason.errno)
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def _unreachable(url: str, cause: str) -> Problem:
    return Problem(status=0, slug="unreachable", detail=f"cannot reach fraudd at {url}: {cause}")
