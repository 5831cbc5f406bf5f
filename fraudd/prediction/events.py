"""Events: a request for a run, and the completion of a run. How to parse and to build them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from fraudd.prediction.body import body
from fraudd.prediction.formats import TRACEPARENT, ULID, parse_traceparent, rfc3339
from fraudd.prediction.record import ENTITY_ID, ENTITY_ID_RULE, Record

#: Message attributes of fraudd's own copies: the dead-letter reason, its detail, and when the
#: message was first sent (epoch milliseconds).
REASON, DETAIL, SENT = "fraudd.reason", "fraudd.detail", "fraudd.sent"


class MalformedEvent(Exception):
    """A message is not a request for a run. ``detail`` says what is wrong with it."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEvent:
    """The wake-up message of a run, or (without ``run_id``) another service's request."""

    entity_id: str
    run_id: str | None = None
    #: Epoch milliseconds. Only fraudd's own events have it.
    requested_at: int | None = None
    #: When the message was first sent, epoch milliseconds.
    sent_at: int = 0
    #: The W3C trace that the event belongs to.
    traceparent: str | None = None

    @property
    def attributes(self) -> Mapping[str, str]:
        """The message attributes of the event."""
        return {} if self.traceparent is None else {TRACEPARENT: self.traceparent}

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
    starts again. Unknown keys are ignored. Raises ``MalformedEvent``.
    """
    event = _json_object(message_body)
    traceparent = attributes.get(TRACEPARENT)
    if event.get("Type") == "Notification" and isinstance(event.get("Message"), str):
        sent_at = _epoch_ms(event.get("Timestamp"), otherwise=sent_at)
        traceparent = traceparent or _envelope_attribute(event, TRACEPARENT)
        event = _json_object(event["Message"])
    if (first_sent := attributes.get(SENT, "")).isdecimal():
        sent_at = int(first_sent)
    entity_id, run_id = event.get("entity_id"), event.get("run_id")
    if not isinstance(entity_id, str) or not ENTITY_ID.fullmatch(entity_id):
        _malformed("entity_id", entity_id, ENTITY_ID_RULE)
    if run_id is not None and not (isinstance(run_id, str) and ULID.fullmatch(run_id)):
        _malformed("run_id", run_id, "a ULID from fraudd; other services must leave it out")
    if REASON in attributes:
        run_id = None
    return RequestEvent(
        entity_id=entity_id,
        run_id=run_id,
        sent_at=sent_at,
        traceparent=parse_traceparent(traceparent),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The completion event of a run: a CloudEvent, and its attributes for filter policies."""

    event: Mapping[str, Any]
    attributes: Mapping[str, str]


def completion(record: Record, *, source: str) -> Completion:
    """Build the completion event of the run that ``record`` shows (CloudEvents 1.0, JSON).

    ``id`` is the run ID, so that subscribers can drop duplicates. ``finished_at`` in the body
    gives the order. ``traceparent`` is CloudEvents' extension for distributed tracing.
    """
    assert record.finished_at is not None, "only a run that has ended has a completion event"
    event_type = f"fraudd.prediction.{record.state}"
    attributes = {"type": event_type}
    if record.state == "done" and record.result is not None:
        attributes["decision"] = record.result["decision"]
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": record.run_id,
        "source": source,
        "type": event_type,
        "subject": record.entity_id,
        "time": rfc3339(record.finished_at),
        "datacontenttype": "application/json",
        "data": body(record),
    }
    if record.traceparent is not None:
        event[TRACEPARENT] = record.traceparent
    return Completion(event=event, attributes=attributes)


def _envelope_attribute(notification: Mapping[str, Any], name: str) -> str | None:
    """Return a message attribute from an SNS envelope."""
    attributes = notification.get("MessageAttributes")
    value = attributes.get(name) if isinstance(attributes, dict) else None
    return str(value.get("Value")) if isinstance(value, dict) else None


def _epoch_ms(timestamp: object, *, otherwise: int) -> int:
    try:
        return int(datetime.fromisoformat(str(timestamp)).timestamp() * 1000)
    except ValueError:
        return otherwise


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedEvent(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise MalformedEvent(f"not a JSON object, but {type(value).__name__}")
    return value


def _malformed(key: str, value: object, rule: str) -> NoReturn:
    actual = "missing" if value is None else f"{str(value)[:60]!r}"
    raise MalformedEvent(f"{key} is {actual}; must be {rule}")
