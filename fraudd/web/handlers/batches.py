"""Asking for many scores at once."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from fraudd.aio import gather
from fraudd.engine.intake import Intake
from fraudd.errors import Full, Unavailable
from fraudd.prediction.formats import TRACEPARENT, parse_traceparent
from fraudd.prediction.record import Lane
from fraudd.web.problems import Problem, of_intake
from fraudd.web.requests import PredictionRequest, Refused, ShownQuery, batch_request, query
from fraudd.web.responses import Showing, answer


class Batches:
    """The call about many entities."""

    def __init__(self, *, intake: Intake, showing: Showing, has_bulk_lane: bool) -> None:
        self._has_bulk_lane = has_bulk_lane
        self._intake = intake
        self._showing = showing

    async def ask(self, request: web.Request) -> web.Response:
        """Give what is stored, start runs for the rest; what cannot be asked for has a problem."""
        features = query(request, ShownQuery).include is not None
        lane, asked = await batch_request(request)
        if lane == "bulk" and not self._has_bulk_lane:
            raise Problem(
                422,
                "no-bulk-lane",
                "there is no bulk lane here: leave lane out, or set [queue] bulk_url",
            )
        traceparent = parse_traceparent(request.headers.get(TRACEPARENT))
        shown: dict[int, Mapping[str, Any]] = {}
        by_entity: dict[str, dict[int, PredictionRequest]] = {}
        for number, one in enumerate(asked):
            if isinstance(one, Refused):
                named = {} if one.entity_id is None else {"entity_id": one.entity_id}
                shown[number] = {**named, "problem": one.problem.document(request.path)}
            else:
                by_entity.setdefault(one.entity_id, {})[number] = one

        async def ask_in_turn(requests: Mapping[int, PredictionRequest]) -> None:
            for number, one in requests.items():
                shown[number] = await self._ask(one, lane, request.path, traceparent, features)

        # An entity that comes twice is asked for twice, so that the first is who started its run.
        await gather(ask_in_turn(requests) for requests in by_entity.values())
        return answer({"predictions": [shown[number] for number in range(len(asked))]})

    async def _ask(
        self,
        one: PredictionRequest,
        lane: Lane,
        path: str,
        traceparent: str | None,
        features: bool,
    ) -> Mapping[str, Any]:
        try:
            given = await self._intake.request(
                one.entity_id,
                max_age_seconds=one.max_age_seconds,
                force=one.force,
                traceparent=traceparent,
                lane=lane,
            )
        except (Unavailable, Full) as error:
            return {"entity_id": one.entity_id, "problem": of_intake(error).document(path)}
        return self._showing.body(given.record, status=given.status, features=features)
