"""A client for other services.

    async with Client("https://fraudd.internal", token=token) as client:
        prediction = await client.predict("shop-42", wait=30)

Asking again is safe by contract, so a call is tried again, until its time is up, where the
connection is lost and where the answer says to (429, 502, 503, 504).
"""

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Literal, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from fraudd.client import models as read
from fraudd.client.models import Failure, Prediction, Problem, Reason, Result

__all__ = ("Client", "Failure", "Prediction", "Problem", "Reason", "Result", "pause_seconds")

#: A daemon answers in milliseconds, unless it was asked to wait.
_ANSWER_SECONDS: Final = 10.0
#: The longest that a daemon waits for the end of a run before it answers.
_LONGEST_WAIT_SECONDS: Final = 60
#: Entities of one batch, as the API takes them.
_BATCH: Final = 100
_AGAIN: Final = frozenset({0, 429, 502, 503, 504})
#: Pauses between tries where the answer names none: doubled each time, from the first to the last.
_FIRST_PAUSE_SECONDS: Final = 0.2
_LAST_PAUSE_SECONDS: Final = 10.0


class Client:
    """One fraudd, by its URL; ``timeout`` is the seconds that a call may take with its retries.

    Where a call waits for a run, that comes on top. Raises ``ValueError`` for a URL or a token
    that cannot be one.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: float = 30.0,
        rng: random.Random | None = None,
    ) -> None:
        self._url = _base(url)
        self._headers = {} if token is None else {"Authorization": f"Bearer {_checked(token)}"}
        self._timeout = timeout
        self._rng = rng or random.Random()  # noqa: S311 - it spreads retries
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open connections as they are needed, as many as there are calls at a time."""
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
        """Give the stored score, or start a run and wait so many seconds for its end.

        The answer is ``pending`` where the run has not ended by then; where it failed, it has an
        ``error``. A result older than ``max_age_seconds`` starts a run, ``force`` starts one
        whatever is stored. Raises ``Problem``.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        asked = _request(entity_id, max_age_seconds, force)
        query = _including(include_features)
        began = loop.time()
        prediction, pause = await self._waited("POST", "/v1/predictions", query, asked, wait)
        while prediction.pending and (left := until - loop.time()) > 0:
            # A daemon that waited as long as it was asked to need not be spared.
            if loop.time() - began < min(wait, 1.0):
                await asyncio.sleep(min(pause, left))
            began = loop.time()
            left = max(0.0, until - began)
            prediction, pause = await self._waited("GET", _path(entity_id), query, None, left)
        return prediction

    async def look_up(
        self, entity_id: str, *, wait: float = 0.0, include_features: bool = False
    ) -> Prediction | None:
        """Give what is known, None where nobody ever asked; starts nothing.

        Where a run is pending, the daemon waits so many seconds for its end, 60 at most, before it
        answers. Raises ``Problem``.
        """
        query = _including(include_features)
        try:
            prediction, _ = await self._waited("GET", _path(entity_id), query, None, wait)
        except Problem as problem:
            if problem.slug == "never-asked":
                return None
            raise
        return prediction

    async def forget(self, entity_id: str) -> None:
        """Forget the entity, known or not. Raises ``Problem``."""
        await self._call("DELETE", _path(entity_id))

    async def batch(
        self,
        entity_ids: Sequence[str],
        *,
        max_age_seconds: float | None = None,
        force: bool = False,
        lane: Literal["interactive", "bulk"] = "interactive",
    ) -> Sequence[Prediction | Problem]:
        """Ask for many entities; gives an answer or a problem for each, in order.

        In the ``bulk`` lane their runs wait behind all that others ask for. More than a hundred are
        several calls. Raises ``Problem`` where a whole call fails.
        """
        answers: list[Prediction | Problem] = []
        for first in range(0, len(entity_ids), _BATCH):
            asked = [
                _request(entity_id, max_age_seconds, force)
                for entity_id in entity_ids[first : first + _BATCH]
            ]
            batch: dict[str, Any] = {"predictions": asked}
            if lane != "interactive":
                batch["lane"] = lane
            body, _ = await self._call("POST", "/v1/batches", body=batch)
            for answer in body["predictions"]:
                refused = answer.get("problem")
                answers.append(
                    read.prediction(answer) if refused is None else read.problem(refused)
                )
        return answers

    async def status(self) -> Mapping[str, Any]:
        """Give what the daemon does right now. Raises ``Problem``."""
        body: Mapping[str, Any]
        body, _ = await self._call("GET", "/v1/status")
        return body

    async def list(
        self, status: Literal["calculating", "failed"], *, include_features: bool = False
    ) -> AsyncIterator[Prediction]:
        """Give what is pending or failed, the oldest request first. Raises ``Problem``."""
        query = {"status": status, **_including(include_features)}
        while True:
            body, _ = await self._call("GET", "/v1/predictions", query=query)
            for answer in body["predictions"]:
                yield read.prediction(answer)
            if (cursor := body.get("cursor")) is None:
                return
            query = {**query, "cursor": cursor}

    async def _waited(
        self, method: str, path: str, query: Mapping[str, str], body: Any, wait: float
    ) -> tuple[Prediction, float]:
        """Ask, or look, and let the daemon wait; gives its answer and after how long to look."""
        seconds = int(min(wait, _LONGEST_WAIT_SECONDS))
        answer, pause = await self._call(method, path, query=query, body=body, wait=seconds)
        return read.prediction(answer), pause or 1.0

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        wait: int = 0,
    ) -> tuple[Any, float | None]:
        """Call until an answer comes or the time is up; gives its body and ``Retry-After``."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait + self._timeout
        for attempt in itertools.count():
            left = until - loop.time()
            try:
                async with asyncio.timeout(min(left, wait + _ANSWER_SECONDS)):
                    return await self._once(method, path, query or {}, body, wait)
            except TimeoutError:
                problem = _unreachable(self._url, "no answer in time")
            except aiohttp.ClientError as error:
                problem = _unreachable(self._url, _why(error))
            except Problem as answered:
                problem = answered
            pause = pause_seconds(attempt, problem.retry_after_seconds, self._rng.random())
            if problem.status not in _AGAIN or loop.time() + pause >= until:
                raise problem
            await asyncio.sleep(pause)
        raise AssertionError("the time is up some day")

    async def _once(
        self, method: str, path: str, query: Mapping[str, str], body: Any, wait: int
    ) -> tuple[Any, float | None]:
        if self._session is None:
            raise RuntimeError("use it as 'async with Client(…) as client'")
        async with self._session.request(
            method,
            URL(f"{self._url}{path}", encoded=True).with_query(query),
            json=body,
            headers={"Prefer": f"wait={wait}"} if wait else {},
            # A token goes to whom it was given for, and to nobody whom they name.
            allow_redirects=False,
        ) as answer:
            retry_after = _seconds(answer.headers.get("Retry-After"))
            content = await answer.read()
            if answer.ok and answer.status == 204:
                return None, retry_after
            try:
                value = json.loads(content)
            except ValueError:
                value = None
            if answer.status in (200, 202) and isinstance(value, dict):
                return value, retry_after
            if isinstance(value, dict) and str(value.get("type")).startswith(read.URN):
                raise read.problem(value, retry_after)
            raise read.foreign(answer.status, retry_after)


def pause_seconds(attempt: int, told: float | None, share: float) -> float:
    """Give the pause before the next try: what the answer told and up to a tenth more.

    Where it told nothing, a random share (0 to 1) of a time that doubles with each attempt.
    """
    if told is not None:
        return told * (1 + share / 10)
    return share * min(_LAST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(attempt, 16))


def _base(url: str) -> str:
    try:
        parsed = URL(url)
    except ValueError:
        parsed = URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError("the URL must be as http://127.0.0.1:8080")
    if parsed.user or parsed.password or parsed.query_string or parsed.fragment:
        raise ValueError("the URL must have no user, password, query or fragment")
    return str(parsed).rstrip("/")


def _checked(token: str) -> str:
    if not (token.isascii() and token.isprintable() and token and " " not in token):
        raise ValueError("the token has characters that no token has, or none")
    return token


def _path(entity_id: str) -> str:
    return f"/v1/predictions/{quote(entity_id, safe='')}"


def _including(features: bool) -> dict[str, str]:
    return {"include": "features"} if features else {}


def _request(entity_id: str, max_age_seconds: float | None, force: bool) -> dict[str, Any]:
    asked: dict[str, Any] = {"entity_id": entity_id}
    if max_age_seconds is not None:
        asked["max_age_seconds"] = max_age_seconds
    if force:
        asked["force"] = True
    return asked


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and header.isdecimal() else None


def _why(error: aiohttp.ClientError) -> str:
    """Say what went wrong; aiohttp adds the address, which is told already, and its settings."""
    reason = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def _unreachable(url: str, why: str) -> Problem:
    return Problem(status=0, slug="unreachable", detail=f"{url}: {why}; is fraudd up there?")
