"""What the world is told about a record: the JSON body of HTTP answers and completion events."""

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
    """Give the body for ``record``, as a reader may see it; ``status`` where it is ``started``.

    ``features`` adds those that made the score.
    """
    shown: dict[str, Any] = {
        "entity_id": record.entity_id,
        "status": status or STATUS[record.state],
        "run_id": record.run_id,
    }
    for name in _TIMES:
        if (at := getattr(record, name)) is not None:
            shown[name] = rfc3339(at)
    shown["attempts"] = record.attempts
    if estimated_seconds is not None:
        shown["estimated_seconds"] = estimated_seconds
    if record.result is not None:
        shown["result"] = _result(record.result, (*_RESULT, "features") if features else _RESULT)
    if record.state == "failed" and record.error is not None:
        shown["error"] = _part(record.error, _ERROR)
    verdict = record.error if record.state == "failed" else record.result
    if verdict is not None and verdict.get("test"):
        shown["test"] = True
    return shown


def ended(record: Record, run_id: str) -> Record:
    """Give the record as it was when ``run_id`` ended, though a newer run may stand by now.

    Raises ``LookupError`` where the record holds no verdict of that run.
    """
    verdicts: tuple[tuple[State, Json | None], ...] = (
        ("done", record.result),
        ("failed", record.error),
    )
    for state, verdict in verdicts:
        if verdict is not None and verdict["run_id"] == run_id:
            own = {name: verdict[name] for name in ("run_id", "attempts", *_TIMES)}
            own["traceparent"] = verdict.get("traceparent")
            return replace(record, state=state, **own)
    raise LookupError(f"no verdict of run {run_id} in the record of {record.entity_id}")


def _result(result: Json, names: tuple[str, ...]) -> dict[str, Any]:
    shown = _part(result, names)
    for name in ("as_of", "scored_at"):
        shown[name] = rfc3339(shown[name])
    return shown


def _part(whole: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: whole[name] for name in names}
