"""Lists of the predictions that are pending or have failed."""

import base64
import json
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fraudd.engine.listing import BEGINNING, LATEST, Kind, Listing, Place
from fraudd.ports import Entry
from fraudd.web.requests import EntityId, ListQuery, invalid_field, query
from fraudd.web.responses import PredictionSerializer, json_response, with_etag

_KINDS: dict[str, Kind] = {"calculating": "pending", "failed": "failed"}


class _Cursor(BaseModel):
    """The place where a page ends. Clients may send anything, so it is validated."""

    model_config = ConfigDict(extra="forbid", strict=True)

    status: Literal["calculating", "failed"]
    after: Annotated[
        list[tuple[Annotated[int, Field(ge=0, le=LATEST)], EntityId] | None],
        Field(min_length=len(BEGINNING), max_length=len(BEGINNING)),
    ]


class Listings:
    """The operation on all entities with a status."""

    def __init__(self, *, listing: Listing, serializer: PredictionSerializer) -> None:
        self._listing = listing
        self._serializer = serializer

    async def list(self, request: web.Request) -> web.Response:
        """Return a page of predictions, the oldest request first."""
        parameters = query(request, ListQuery)
        cursor, status = parameters.cursor, parameters.status
        after = BEGINNING if cursor is None else _decode(cursor, status)
        records, place = await self._listing.page(
            _KINDS[status], limit=parameters.limit, after=after
        )
        features = parameters.include is not None
        page: dict[str, object] = {
            "predictions": [self._serializer.body(record, features=features) for record in records]
        }
        if place is not None:
            page["cursor"] = _encode(place, status)
        return with_etag(request, json_response(page))


def _encode(place: Place, status: str) -> str:
    after = [entry and (entry.listed_at, entry.entity_id) for entry in place]
    text = json.dumps({"status": status, "after": after}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str, status: str) -> Place:
    """Decode a cursor. Raises ``Problem`` 422."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True)
        decoded = _Cursor.model_validate_json(text)
    except (ValueError, ValidationError):
        decoded = None
    if decoded is None or decoded.status != status:
        detail = "not a cursor of this list; use the cursor of the previous page, or omit it"
        raise invalid_field("query", "/cursor", detail)
    return tuple(entry and Entry(*entry) for entry in decoded.after)
