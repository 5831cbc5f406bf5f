"""Listing what is calculating, or has failed."""

import base64
import json
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fraudd.engine.listing import BEGINNING, LATEST, Kind, Listing, Place
from fraudd.ports import Entry
from fraudd.prediction.record import SHARDS
from fraudd.web.problems import Problem
from fraudd.web.requests import EntityId, ListQuery, query
from fraudd.web.responses import Showing, answer, tagged

_KINDS: dict[str, Kind] = {"calculating": "pending", "failed": "failed"}


class _Cursor(BaseModel):
    """Where a list goes on, as a caller has it: opaque, and believed only as far as it fits."""

    model_config = ConfigDict(extra="forbid", strict=True)

    status: Literal["calculating", "failed"]
    after: Annotated[
        list[tuple[Annotated[int, Field(ge=0, le=LATEST)], EntityId] | None],
        Field(min_length=SHARDS, max_length=SHARDS),
    ]


class Listings:
    """The call about all entities in a status."""

    def __init__(self, *, listing: Listing, showing: Showing) -> None:
        self._listing = listing
        self._showing = showing

    async def list(self, request: web.Request) -> web.Response:
        """Give a page of predictions, those asked for longest ago first."""
        asked = query(request, ListQuery)
        after = BEGINNING if asked.cursor is None else _place(asked.cursor, asked.status)
        records, place = await self._listing.page(
            _KINDS[asked.status], limit=asked.limit, after=after
        )
        features = asked.include is not None
        page: dict[str, object] = {
            "predictions": [self._showing.body(record, features=features) for record in records]
        }
        if place is not None:
            page["cursor"] = _cursor(place, asked.status)
        return tagged(request, answer(page))


def _cursor(place: Place, status: str) -> str:
    after = [entry and (entry.listed_at, entry.entity_id) for entry in place]
    written = json.dumps({"status": status, "after": after}, separators=(",", ":"))
    return base64.urlsafe_b64encode(written.encode()).decode().rstrip("=")


def _place(cursor: str, status: str) -> Place:
    """Read a cursor; raises ``Problem`` 422."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        read = _Cursor.model_validate_json(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, ValidationError):
        read = None
    if read is None or read.status != status:
        detail = "not a cursor of this list; take that of its last page, or none to begin anew"
        raise Problem(
            422,
            "invalid-field",
            "a field of the query is wrong; see errors",
            errors=[{"pointer": "/cursor", "detail": detail}],
        )
    return tuple(entry and Entry(*entry) for entry in read.after)
