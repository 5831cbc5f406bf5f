"""Requests for many scores at once."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from fraudd.aio import gather
from fraudd.engine.intake import Intake
from fraudd.errors import Full, RunError, Unavailable
from fraudd.prediction.formats import TRACEPARENT, parse_traceparent
from fraudd.prediction.record import Lane
from fraudd.telemetry import log
from fraudd.web.problems import Problem, from_intake
from fraudd.web.requests import (
    InvalidRequest,
    PredictionQuery,
    PredictionRequest,
    batch_request,
    query,
)
from fraudd.web.responses import PredictionSerializer, json_response


class Batches:
    """The operation on many entities."""

    def __init__(
        self, *, intake: Intake, serializer: PredictionSerializer, has_bulk_lane: bool
    ) -> None:
        self._has_bulk_lane = has_bulk_lane
        self._intake = intake
        self._serializer = serializer

    async def create(self, request: web.Request) -> web.Response:
        """Return a prediction or a problem for each request of the batch, in order."""
        features = query(request, PredictionQuery).include is not None
        lane, items = await batch_request(request)
        if lane == "bulk" and not self._has_bulk_lane:
            raise Problem(
                "no-bulk-lane",
                "this daemon has no bulk lane; omit lane, or set [queue] bulk_url",
            )
        traceparent = parse_traceparent(request.headers.get(TRACEPARENT))
        bodies: dict[int, Mapping[str, Any]] = {}
        by_entity: dict[str, dict[int, PredictionRequest]] = {}
        for number, item in enumerate(items):
            if isinstance(item, InvalidRequest):
                entity = {} if item.entity_id is None else {"entity_id": item.entity_id}
                bodies[number] = {**entity, "problem": item.problem.document(request.path)}
            else:
                by_entity.setdefault(item.entity_id, {})[number] = item

        async def create_in_turn(entity_items: Mapping[int, PredictionRequest]) -> None:
            for number, item in entity_items.items():
                bodies[number] = await self._create(item, lane, request.path, traceparent, features)

        # Requests for the same entity run in turn, so that the first one starts the run.
        await gather(create_in_turn(entity_items) for entity_items in by_entity.values())
        return json_response({"predictions": [bodies[number] for number in range(len(items))]})

    async def _create(
        self,
        item: PredictionRequest,
        lane: Lane,
        path: str,
        traceparent: str | None,
        features: bool,
    ) -> Mapping[str, Any]:
        try:
            response = await self._intake.request(
                item.entity_id,
                max_age_seconds=item.max_age_seconds,
                force=item.force,
                traceparent=traceparent,
                lane=lane,
            )
        except (Unavailable, Full, RunError) as error:
            if isinstance(error, RunError):
                log.error("http.refused", entity_id=item.entity_id, error=str(error))
            return {"entity_id": item.entity_id, "problem": from_intake(error).document(path)}
        return self._serializer.body(response.record, status=response.status, features=features)
