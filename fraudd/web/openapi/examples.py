"""Examples of bodies for the OpenAPI document."""

from typing import Any, Final

from fraudd.web.openapi.problem_types import PROBLEM_TYPES, type_url

Json = dict[str, Any]

REQUESTS: Final[Json] = {
    "a result of any age": {"entity_id": "shop-42"},
    "a result of the last day": {"entity_id": "shop-42", "max_age_seconds": 86400},
    "a new result": {"entity_id": "shop-42", "force": True},
}
DONE: Final[Json] = {
    "entity_id": "shop-42",
    "status": "done",
    "run_id": "01M882XAC44Z2ZSZT7E7GR8CYW",
    "requested_at": "2026-11-24T08:00:00.000Z",
    "started_at": "2026-11-24T08:00:00.812Z",
    "finished_at": "2026-11-24T08:00:11.260Z",
    "attempts": 1,
    "result": {
        "score": 0.9312,
        "decision": "review",
        "model": "2026-11-24-3f9ac1",
        "as_of": "2026-11-24T08:00:00.815Z",
        "scored_at": "2026-11-24T08:00:11.259Z",
        "reasons": [
            {
                "feature": "chargebacks_30d",
                "value": 4.0,
                "contribution": 1.82,
                "text": "4 chargebacks in 30 days",
            }
        ],
        "timing_ms": {
            "waited": 812,
            "claiming": 7,
            "connecting": 9,
            "database": 10431,
            "model": 3,
            "total": 11260,
            "files": {"shop.sql": 2, "orders.sql": 10397},
        },
    },
}
STARTED: Final[Json] = {
    "entity_id": "shop-42",
    "status": "started",
    "run_id": "01M882XAC44Z2ZSZT7E7GR8CYW",
    "requested_at": "2026-11-24T08:00:00.000Z",
    "attempts": 0,
    "estimated_seconds": 12,
}
CALCULATING: Final[Json] = {
    **STARTED,
    "status": "calculating",
    "started_at": "2026-11-24T08:00:00.812Z",
    "attempts": 1,
}
FAILED: Final[Json] = {
    **{name: DONE[name] for name in DONE if name != "result"},
    "entity_id": "shop-999999",
    "status": "failed",
    "error": {"type": "entity_unknown", "detail": "shop.sql: no such entity", "attempts": 1},
}
LISTING: Final[Json] = {"predictions": [FAILED], "cursor": "eyJpIjoxfQ"}
BATCH_REQUESTS: Final[Json] = {
    "two entities": {"predictions": [{"entity_id": "shop-42"}, {"entity_id": "shop 43"}]}
}
INVALID_FIELD: Final[Json] = {
    "type": type_url("invalid-field"),
    "title": PROBLEM_TYPES["invalid-field"].title,
    "status": 422,
    "detail": "the body has an invalid field; see errors",
    "instance": "/v1/batches",
    "errors": [
        {"pointer": "/predictions/1/entity_id", "detail": "'shop 43' is not a valid entity_id"}
    ],
}
BATCH: Final[Json] = {
    "predictions": [DONE, {"problem": INVALID_FIELD}],
}
