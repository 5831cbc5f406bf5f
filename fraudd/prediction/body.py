"""The JSON body that HTTP responses and completion events have for a record."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fraudd.prediction.formats import rfc3339
from fraudd.prediction.record import Json, Record, State

STATUS = {"queued": "calculating", "running": "calculating", "done": "done", "failed": "failed"}

_TIMES = ("requested_at", "started_at", "finished_at")
_RESULT = ("score", "decision", "model", "as_of", "scored_at", "reasons", "timing_ms")
_ERROR = ("type", "detail", "attempts")


def body(
    record: Record,
    *,
    status: str | None = None,
    estimated_seconds: int | None = None,
    features: bool = False,
) -> dict[str, Any]:
    """Return the body for a record without expired outcomes.

    ``status`` replaces the record's status. ``features`` adds the features of the score.
    """
    fields: dict[str, Any] = {
        "entity_id": record.entity_id,
        "status": status or STATUS[record.state],
        "run_id": record.run_id,
    }
    for name in _TIMES:
        if (at := getattr(record, name)) is not None:
            fields[name] = rfc3339(at)
    fields["attempts"] = record.attempts
    if estimated_seconds is not None:
        fields["estimated_seconds"] = estimated_seconds
    if record.result is not None:
        fields["result"] = _result(record.result, (*_RESULT, "features") if features else _RESULT)
    if record.state == "failed" and record.error is not None:
        fields["error"] = _pick(record.error, _ERROR)
    outcome = record.error if record.state == "failed" else record.result
    if outcome is not None and outcome.get("test"):
        fields["test"] = True
    return fields


def ended(record: Record, run_id: str) -> Record:
    """Return the record as it was when ``run_id`` ended, although it may show a newer run.

    Raises ``LookupError`` if the record has no outcome of that run.
    """
    outcomes: tuple[tuple[State, Json | None], ...] = (
        ("done", record.result),
        ("failed", record.error),
    )
    for state, outcome in outcomes:
        if outcome is not None and outcome["run_id"] == run_id:
            own = {name: outcome[name] for name in ("run_id", "attempts", *_TIMES)}
            own["traceparent"] = outcome.get("traceparent")
            return replace(record, state=state, **own)
    raise LookupError(f"no outcome of run {run_id} in the record of {record.entity_id}")


def _result(result: Json, names: tuple[str, ...]) -> dict[str, Any]:
    fields = _pick(result, names)
    for name in ("as_of", "scored_at"):
        fields[name] = rfc3339(fields[name])
    return fields


def _pick(source: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: source[name] for name in names}
