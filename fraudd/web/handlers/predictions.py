"""Asking for one score, looking it up, waiting for it, forgetting it."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from aiohttp import web

from fraudd.engine.intake import Intake
from fraudd.engine.waiters import Waiters
from fraudd.prediction.body import STATUS
from fraudd.prediction.formats import TRACEPARENT, parse_traceparent
from fraudd.prediction.record import Record
from fraudd.web.prefer import preferred_wait
from fraudd.web.problems import Problem
from fraudd.web.requests import ShownQuery, entity_id_of_path, prediction_request, query
from fraudd.web.responses import Showing, answer, tagged

#: Lets a request wait without a deadline, and without being counted as in hand.
Detached = Callable[[web.Request], AbstractContextManager[None]]


class Predictions:
    """The calls about one entity; who prefers to may wait ``max_wait_seconds`` at most."""

    def __init__(
        self,
        *,
        intake: Intake,
        waiters: Waiters,
        showing: Showing,
        aside: Detached,
        max_wait_seconds: int,
    ) -> None:
        self._intake = intake
        self._waiters = waiters
        self._showing = showing
        self._aside = aside
        self._max_wait_seconds = max_wait_seconds

    async def ask(self, request: web.Request) -> web.Response:
        """Give the stored result, or start a run."""
        features = query(request, ShownQuery).include is not None
        asked = await prediction_request(request)
        given = await self._intake.request(
            asked.entity_id,
            max_age_seconds=asked.max_age_seconds,
            force=asked.force,
            traceparent=parse_traceparent(request.headers.get(TRACEPARENT)),
        )
        record, headers = given.record, {}
        if (seconds := self._wait_of(request)) is not None:
            headers["Preference-Applied"] = f"wait={seconds}"
            # Forgotten meanwhile, it is still what this call was about.
            record = await self._awaited(request, record, seconds) or record
        unchanged = record.pending and record.run_id == given.record.run_id
        status = given.status if unchanged else STATUS[record.state]
        shown = self._showing.body(record, status=status, features=features)
        if record.pending:
            headers["Location"] = f"/v1/predictions/{asked.entity_id}"
            headers["Retry-After"] = str(shown["estimated_seconds"])
        elif record.state == "failed":
            headers["Retry-After"] = str(self._intake.retry_after_seconds(record))
        return answer(shown, status=202 if record.pending else 200, headers=headers)

    async def look_up(self, request: web.Request) -> web.Response:
        """Give what the record says; starts nothing."""
        features = query(request, ShownQuery).include is not None
        entity_id = entity_id_of_path(request)
        record = await self._intake.get(entity_id)
        headers = {}
        if record is not None and (seconds := self._wait_of(request)) is not None:
            headers["Preference-Applied"] = f"wait={seconds}"
            record = await self._awaited(request, record, seconds)
        if record is None:
            raise Problem(
                404,
                "never-asked",
                f"no score was ever asked for {entity_id}: POST /v1/predictions asks",
            )
        shown = self._showing.body(record, features=features)
        if record.pending:
            headers["Retry-After"] = str(shown["estimated_seconds"])
        return tagged(request, answer(shown, headers=headers))

    async def forget(self, request: web.Request) -> web.Response:
        """Forget the entity, known or not."""
        await self._intake.delete(entity_id_of_path(request))
        return web.Response(status=204)

    def _wait_of(self, request: web.Request) -> int | None:
        """How long this caller may wait; None where it does not want to, or there is no room."""
        wanted = preferred_wait(request.headers.getall("Prefer", ()))
        if wanted is None or not self._waiters.has_room:
            return None
        return min(wanted, self._max_wait_seconds)

    async def _awaited(self, request: web.Request, record: Record, seconds: int) -> Record | None:
        """Give the record once its run has ended, or as it stands when the time is up."""
        if not record.pending or not seconds:
            return record
        with self._aside(request):
            ended = await self._waiters.wait(record, seconds)
        return ended or await self._intake.get(record.entity_id)
