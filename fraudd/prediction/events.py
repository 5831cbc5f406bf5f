"""Events: a request for a run, and the completion of a run. How to parse and to build them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fraudd.prediction.body import body
from fraudd.prediction.formats import TRACEPARENT, ULID, parse_traceparent, rfc3339
from fraudd.prediction.record import ENTITY_ID, ENTITY_ID_RULE, Record

#: Message attributes of fraudd's own copies: the dead-letter reason, its detail, and when the
#: message was first sent (epoch milliseconds).
REASON, DETAIL, SENT = "fraudd.reason", "fraudd.detail", "fraudd.sent"
#: The message attribute that makes a message a wake-up message, and names its run. Only fraudd
#: sends it. Other services may have a key ``run_id`` of their own in the body.
RUN_ID = "fraudd.run_id"

#: The latest time that fits is in the year 5138. Anyone who may publish may set the attribute.
_EPOCH_MS = re.compile(r"[0-9]{1,14}")
#: The keys in the body of a wake-up message. Version 0.1.0 sent it without the attribute.
_WAKE_UP_KEYS = frozenset({"entity_id", "run_id", "requested_at"})
_MUST_BE = f"must be a string of {ENTITY_ID_RULE}"


class MalformedEvent(Exception):
    """A message is not a request for a run. ``detail`` says what is wrong with it."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEvent:
    """The wake-up message of a run, or (without ``run_id``) another service's request.

    ``presumed_run_id`` is set instead of ``run_id`` if version 0.1.0 may have sent the message.
    Whether it wakes a run is known only from the record.
    """

    entity_id: str
    run_id: str | None = None
    presumed_run_id: str | None = None
    #: Epoch milliseconds. Only fraudd's own events have it.
    requested_at: int | None = None
    #: When the message was first sent, epoch milliseconds.
    sent_at: int = 0
    #: The W3C trace that the event belongs to.
    traceparent: str | None = None

    @property
    def attributes(self) -> Mapping[str, str]:
        """The message attributes of the event."""
        attributes = {RUN_ID: self.run_id, TRACEPARENT: self.traceparent}
        return {name: value for name, value in attributes.items() if value is not None}

    def wakes(self, record: Record | None) -> str | None:
        """Return the run that this message wakes. None: it is another service's request."""
        if self.presumed_run_id is None or record is None:
            return self.run_id
        outcomes = (record.result, record.error)
        known = {record.run_id, *(outcome["run_id"] for outcome in outcomes if outcome is not None)}
        return self.presumed_run_id if self.presumed_run_id in known else None

    def to_json(self) -> str:
        """Build the message body."""
        event: dict[str, Any] = {"entity_id": self.entity_id}
        if self.run_id is not None:
            event["run_id"] = self.run_id
        if self.requested_at is not None:
            event["requested_at"] = rfc3339(self.requested_at)
        return json.dumps(event)


def wake_up(record: Record) -> RequestEvent:
    """Return the wake-up message of a pending run."""
    return RequestEvent(
        entity_id=record.entity_id,
        run_id=record.run_id,
        requested_at=record.requested_at,
        traceparent=record.traceparent,
    )


def parse_request(
    message_body: str, *, attributes: Mapping[str, str], sent_at: int
) -> RequestEvent:
    """Parse an SQS message. Its body is in an SNS envelope, or (raw delivery) is not.

    A message from the dead-letter queue counts as another service's request, so that its run
    starts again. Unknown keys are ignored, also a ``run_id`` of another service. Raises
    ``MalformedEvent``.
    """
    event = _json_object(message_body)
    if event.get("Type") == "Notification" and isinstance(event.get("Message"), str):
        sent_at = _epoch_ms(event.get("Timestamp"), otherwise=sent_at)
        attributes = {**_envelope_attributes(event), **attributes}
        event = _json_object(event["Message"])
    if "entity_id" not in event:
        raise MalformedEvent(f"entity_id is missing; {_MUST_BE}")
    entity_id = event["entity_id"]
    if not isinstance(entity_id, str) or not ENTITY_ID.fullmatch(entity_id):
        raise MalformedEvent(f"entity_id is {_described(entity_id)}; {_MUST_BE}")
    run_id, presumed = _run_ids(event, attributes)
    return RequestEvent(
        entity_id=entity_id,
        run_id=run_id,
        presumed_run_id=presumed,
        sent_at=first_sent_at(attributes, otherwise=sent_at),
        traceparent=parse_traceparent(attributes.get(TRACEPARENT)),
    )


def first_sent_at(attributes: Mapping[str, str], *, otherwise: int) -> int:
    """Return when the first copy of a message was sent, in epoch milliseconds.

    An attribute that is no time counts as absent.
    """
    sent = attributes.get(SENT, "")
    return int(sent) if _EPOCH_MS.fullmatch(sent) else otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The completion event of a run: a CloudEvent, and its attributes for filter policies."""

    event: Mapping[str, Any]
    attributes: Mapping[str, str]


def completion(record: Record, *, source: str) -> Completion:
    """Build the completion event of the run that ``record`` shows (CloudEvents 1.0, JSON).

    ``id`` is the run ID, so that subscribers can drop duplicates. ``finished_at`` in the body
    gives the order. ``traceparent`` is CloudEvents' extension for distributed tracing. After a
    failure, the result of an earlier run is not called ``result``: filter policies on the body
    must not match it.
    """
    assert record.finished_at is not None, "only a run that has ended has a completion event"
    event_type = f"fraudd.prediction.{record.state}"
    attributes = {"type": event_type}
    if record.state == "done" and record.result is not None:
        attributes["decision"] = record.result["decision"]
    data = body(record)
    if record.state == "failed" and "result" in data:
        data["previous_result"] = data.pop("result")
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": record.run_id,
        "source": source,
        "type": event_type,
        "subject": record.entity_id,
        "time": rfc3339(record.finished_at),
        "datacontenttype": "application/json",
        "data": data,
    }
    if record.traceparent is not None:
        event[TRACEPARENT] = record.traceparent
    return Completion(event=event, attributes=attributes)


def _run_ids(
    event: Mapping[str, Any], attributes: Mapping[str, str]
) -> tuple[str | None, str | None]:
    """Return the run that a message wakes, and the run that it presumably wakes."""
    if REASON in attributes:
        return None, None
    if ULID.fullmatch(run_id := attributes.get(RUN_ID, "")):
        return run_id, None
    presumed = event.get("run_id")
    if set(event) <= _WAKE_UP_KEYS and isinstance(presumed, str) and ULID.fullmatch(presumed):
        return None, presumed
    return None, None


def _envelope_attributes(notification: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the message attributes in an SNS envelope."""
    attributes = notification.get("MessageAttributes")
    if not isinstance(attributes, dict):
        return {}
    return {
        name: value["Value"]
        for name, value in attributes.items()
        if isinstance(value, dict) and isinstance(value.get("Value"), str)
    }


def _epoch_ms(timestamp: object, *, otherwise: int) -> int:
    """Parse the time of an envelope, which is UTC if it names no zone."""
    try:
        at = datetime.fromisoformat(str(timestamp))
        milliseconds = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return otherwise
    return milliseconds if _EPOCH_MS.fullmatch(str(milliseconds)) else otherwise


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedEvent(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise MalformedEvent(f"not a JSON object, but {type(value).__name__}")
    return value


def _described(value: object) -> str:
    """Describe a value of JSON, with its type unless it is a string."""
    match value:
        case str():
            return f"{value[:60]!r}"
        case None:
            return "null"
        case bool():
            return f"{json.dumps(value)}, a boolean"
        case int() | float():
            return f"{json.dumps(value)[:60]}, a number"
        case _:
            return "an array" if isinstance(value, list) else "an object"
