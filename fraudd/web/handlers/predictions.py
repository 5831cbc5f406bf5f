"""Requests for one score: create, get, wait for, and delete a prediction."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from aiohttp import web

from fraudd.engine.intake import Intake
from fraudd.engine.waiters import Waiters
from fraudd.prediction.body import STATUS
from fraudd.prediction.formats import TRACEPARENT, parse_traceparent
from fraudd.prediction.record import Record
from fraudd.web.problems import Problem
from fraudd.web.requests import (
    PredictionQuery,
    entity_id_of_path,
    prediction_request,
    preferred_wait,
    query,
)
from fraudd.web.responses import PredictionSerializer, json_response, with_etag

#: Lets a request wait for a run without a deadline. See ``Admission.detached``.
Detach = Callable[[web.Request], AbstractContextManager[None]]


class Predictions:
    """The operations on one entity. A client may wait up to ``max_wait_seconds`` for a run."""

    def __init__(
        self,
        *,
        intake: Intake,
        waiters: Waiters,
        serializer: PredictionSerializer,
        detached: Detach,
        max_wait_seconds: int,
    ) -> None:
        self._intake = intake
        self._waiters = waiters
        self._serializer = serializer
        self._detached = detached
        self._max_wait_seconds = max_wait_seconds

    async def create(self, request: web.Request) -> web.Response:
        """Return the stored result, or start a run."""
        features = query(request, PredictionQuery).include is not None
        body = await prediction_request(request)
        response = await self._intake.request(
            body.entity_id,
            max_age_seconds=body.max_age_seconds,
            force=body.force,
            traceparent=parse_traceparent(request.headers.get(TRACEPARENT)),
        )
        record, headers = response.record, {}
        if (seconds := self._wait_seconds(request)) is not None:
            headers["Preference-Applied"] = f"wait={seconds}"
            # If the record was deleted meanwhile, the client still gets the run of its request.
            record = await self._wait(request, record, seconds) or record
        unchanged = record.pending and record.run_id == response.record.run_id
        status = response.status if unchanged else STATUS[record.state]
        prediction = self._serializer.body(record, status=status, features=features)
        if record.pending:
            headers["Location"] = f"/v1/predictions/{body.entity_id}"
            headers["Retry-After"] = str(prediction["estimated_seconds"])
        elif record.state == "failed":
            headers["Retry-After"] = str(self._intake.retry_after_seconds(record))
        return json_response(prediction, status=202 if record.pending else 200, headers=headers)

    async def get(self, request: web.Request) -> web.Response:
        """Return the prediction. This starts no run."""
        features = query(request, PredictionQuery).include is not None
        entity_id = entity_id_of_path(request)
        record = await self._intake.get(entity_id)
        headers = {}
        if record is not None and (seconds := self._wait_seconds(request)) is not None:
            headers["Preference-Applied"] = f"wait={seconds}"
            record = await self._wait(request, record, seconds)
        if record is None:
            raise Problem(
                "no-prediction",
                f"no prediction for {entity_id}: it was never requested, or it has expired."
                " Request it with POST /v1/predictions.",
            )
        prediction = self._serializer.body(record, features=features)
        if record.pending:
            headers["Retry-After"] = str(prediction["estimated_seconds"])
        return with_etag(request, json_response(prediction, headers=headers))

    async def delete(self, request: web.Request) -> web.Response:
        """Delete the record of the entity, if there is one."""
        await self._intake.delete(entity_id_of_path(request))
        return web.Response(status=204)

    def _wait_seconds(self, request: web.Request) -> int | None:
        """Return the seconds to wait for the run. None means that the request does not wait."""
        preferred = preferred_wait(request.headers.getall("Prefer", ()))
        if preferred is None or not self._waiters.has_room:
            return None
        return min(preferred, self._max_wait_seconds)

    async def _wait(self, request: web.Request, record: Record, seconds: int) -> Record | None:
        """Return the record when its run has ended, or as it is after ``seconds``."""
        if not record.pending or not seconds:
            return record
        with self._detached(request):
            ended = await self._waiters.wait(record, seconds)
        return ended or await self._intake.get(record.entity_id)
