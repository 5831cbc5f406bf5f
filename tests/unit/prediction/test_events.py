"""Request events as they may come, completion events as they go out."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudd.prediction.events import MalformedEvent, RequestEvent, completion, parse_request
from fraudd.prediction.formats import new_ulid
from tests.stack.times import NOW
from tests.unit.prediction.test_body import DONE, ERROR, RUN

EVENT = RequestEvent(entity_id="shop-1", run_id=RUN, requested_at=NOW)


def parsed_event(body: str, **attributes: str) -> RequestEvent:
    """What fraudd makes of a message that was sent now."""
    return parse_request(body, attributes=attributes, sent_at=NOW)


def enveloped(message: str) -> str:
    """The body as SNS delivers it where raw delivery is off."""
    return json.dumps({"Type": "Notification", "MessageId": "m", "Message": message})


@pytest.mark.parametrize("wrap", [str, enveloped])
def test_fraudds_own_event_is_read_with_raw_delivery_on_or_off(wrap: Any) -> None:
    parsed = parsed_event(wrap(EVENT.to_json()))
    assert (parsed.entity_id, parsed.run_id) == ("shop-1", RUN)


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
        ('{"entity_id": 42}', "entity_id is '42'"),
        ('{"entity_id": "a b"}', "entity_id is 'a b'"),
        ('{"entity_id": "a", "run_id": "42"}', "run_id is '42'"),
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
    assert announced.event["data"]["error"]["type"] == "entity_unknown"


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
    assert parsed_event(json.dumps({"entity_id": "e", "run_id": new_ulid(2**48 - 1, 0)})).run_id
