"""Request events as they may come, completion events as they go out."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudd.prediction.events import MalformedEvent, RequestEvent, completion, parse_request
from fraudd.prediction.formats import new_ulid
from fraudd.prediction.record import Record
from tests.stack.times import NOW
from tests.unit.prediction.test_body import DONE, ERROR, RUN

QUEUED = Record(entity_id="shop-1", state="queued", run_id=RUN, requested_at=NOW)
EVENT = RequestEvent(entity_id="shop-1", run_id=RUN, requested_at=NOW)


def parsed_event(body: str, **attributes: str) -> RequestEvent:
    """What fraudd makes of a message that was sent now."""
    return parse_request(body, attributes=attributes, sent_at=NOW)


def enveloped(message: str, **attributes: str) -> str:
    """The body as SNS delivers it where raw delivery is off."""
    values = {name: {"Type": "String", "Value": value} for name, value in attributes.items()}
    envelope = {"Type": "Notification", "MessageId": "m", "Message": message}
    return json.dumps(envelope | ({"MessageAttributes": values} if values else {}))


@pytest.mark.parametrize("raw", [True, False])
def test_fraudds_own_event_is_read_with_raw_delivery_on_or_off(raw: bool) -> None:
    body, attributes = EVENT.to_json(), EVENT.attributes
    parsed = (
        parsed_event(body, **attributes) if raw else parsed_event(enveloped(body, **attributes))
    )
    assert (parsed.entity_id, parsed.run_id, parsed.presumed_run_id) == ("shop-1", RUN, None)
    assert parsed.wakes(None) == RUN


THEIRS = new_ulid(NOW, 99)


@pytest.mark.parametrize("run_id", [THEIRS, "0c9a7e1e-7c6b-4f0e-9d52-5f7f3b7d2a11", 42, None, {}])
@pytest.mark.parametrize("wrap", [str, enveloped])
def test_a_run_id_of_another_service_is_ignored(wrap: Any, run_id: Any) -> None:
    parsed = parsed_event(wrap(json.dumps({"entity_id": "shop-1", "run_id": run_id})))
    assert parsed.run_id is None
    assert [parsed.wakes(record) for record in (None, QUEUED, DONE)] == [None, None, None]


@pytest.mark.parametrize("record", [QUEUED, DONE, replace(DONE, state="failed", error=ERROR)])
def test_a_wake_up_message_of_an_earlier_version_wakes_the_run_that_its_record_knows(
    record: Record,
) -> None:
    parsed = parsed_event(EVENT.to_json())
    assert parsed.run_id is None
    assert parsed.wakes(record) == RUN


def test_a_service_that_repeats_a_completion_event_asks_for_another_run() -> None:
    body = json.dumps(completion(DONE, source="s").event["data"])
    assert parsed_event(body).wakes(DONE) is None


def test_a_dead_letter_wakes_no_run() -> None:
    attributes = {**EVENT.attributes, "fraudd.reason": "deadlock"}
    assert parsed_event(EVENT.to_json(), **attributes).wakes(DONE) is None


@pytest.mark.parametrize(
    ("sent", "first"),
    [
        ("7", 7),
        ("99999999999999", 99_999_999_999_999),
        ("100000000000000", NOW),
        ("9" * 5_000, NOW),
        ("\u0663\u0664", NOW),
        ("-1", NOW),
        ("1 ", NOW),
        ("", NOW),
    ],
)
def test_a_time_of_the_first_sending_that_is_none_counts_as_absent(sent: str, first: int) -> None:
    assert parsed_event('{"entity_id": "shop-1"}', **{"fraudd.sent": sent}).sent_at == first


@pytest.mark.parametrize(
    ("timestamp", "sent_at"),
    [
        ("2026-11-24T08:00:00.000Z", 1_795_507_200_000),
        ("2026-11-24T08:00:00.000", 1_795_507_200_000),
        ("0001-01-01T00:00:00", NOW),
        ("9999-12-31T23:59:59-23:59", NOW),
        ("noon", NOW),
        (7, NOW),
    ],
)
def test_the_time_of_an_envelope_counts_if_it_is_one(timestamp: Any, sent_at: int) -> None:
    envelope = json.loads(enveloped('{"entity_id": "shop-1"}')) | {"Timestamp": timestamp}
    assert parsed_event(json.dumps(envelope)).sent_at == sent_at


def test_another_service_names_the_entity_alone_and_more_keys_do_no_harm() -> None:
    parsed = parsed_event('{"entity_id": "shop-1", "colour": {"red": 1}}')
    assert parsed == RequestEvent(entity_id="shop-1", sent_at=NOW)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a JSON object, but list"),
        ("{}", "entity_id is missing"),
        ('{"entity_id": 42}', "entity_id is 42, a number; must be a string"),
        ('{"entity_id": 4.5}', "entity_id is 4.5, a number"),
        ('{"entity_id": true}', "entity_id is true, a boolean"),
        ('{"entity_id": null}', "entity_id is null"),
        ('{"entity_id": ["a"]}', "entity_id is an array"),
        ('{"entity_id": {}}', "entity_id is an object"),
        ('{"entity_id": "a b"}', "entity_id is 'a b'"),
        (enveloped("nonsense"), "not JSON"),
        (enveloped("{}"), "entity_id is missing"),
    ],
)
def test_anything_else_is_malformed_and_says_why(body: str, says: str) -> None:
    with pytest.raises(MalformedEvent, match="^" + says):
        parsed_event(body)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        parsed_event(text)
    except MalformedEvent as error:
        assert len(error.detail) < 1_000


def test_a_completion_is_a_cloud_event_that_subscribers_can_filter() -> None:
    announced = completion(DONE, source="urn:fraudd:t")
    assert announced.attributes == {"type": "fraudd.prediction.done", "decision": "review"}
    assert announced.event["specversion"] == "1.0"
    assert (announced.event["id"], announced.event["subject"]) == (RUN, "e")
    assert announced.event["data"]["result"]["score"] == 0.5


def test_a_failure_is_announced_without_a_decision() -> None:
    announced = completion(replace(DONE, state="failed", error=ERROR), source="s")
    assert announced.attributes == {"type": "fraudd.prediction.failed"}
    data = announced.event["data"]
    assert data["error"]["type"] == "entity_unknown"
    # A subscriber's filter on the result must not match a failure.
    assert "result" not in data
    assert data["previous_result"]["score"] == 0.5


def test_a_trace_is_carried_beside_the_event_or_in_its_envelope() -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    event = replace(EVENT, traceparent=trace)
    assert parsed_event(event.to_json(), **event.attributes).traceparent == trace
    envelope = json.loads(enveloped(event.to_json()))
    envelope["MessageAttributes"] = {"traceparent": {"Type": "String", "Value": trace}}
    assert parsed_event(json.dumps(envelope)).traceparent == trace
    announced = completion(replace(DONE, traceparent=trace), source="s")
    assert announced.event["traceparent"] == trace
    assert "traceparent" not in completion(DONE, source="s").event


@pytest.mark.parametrize(
    "attributes", [None, 7, [], {"traceparent": 7}, {"traceparent": {"Value": "nonsense"}}]
)
def test_a_trace_that_is_none_is_ignored(attributes: Any) -> None:
    envelope = json.loads(enveloped(EVENT.to_json())) | {"MessageAttributes": attributes}
    assert parsed_event(json.dumps(envelope)).traceparent is None
    assert parsed_event(EVENT.to_json(), traceparent="nonsense").traceparent is None


def test_run_ids_of_the_future_are_read_too() -> None:
    later = replace(EVENT, run_id=new_ulid(2**48 - 1, 0))
    assert parsed_event(later.to_json(), **later.attributes).run_id == later.run_id
