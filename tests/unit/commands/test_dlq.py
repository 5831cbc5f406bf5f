"""Which dead letters are meant, and how they are shown."""

import json
from dataclasses import replace

import pytest

from fraudd.aws.dead_letters import DeadLetter, returned_attributes
from fraudd.commands.dlq.rows import entity_of, reason_of, row_of, table
from fraudd.commands.dlq.scan import Selection, is_kept
from tests.stack.times import NOW


def letter(body: str = '{"entity_id": "shop-1"}', **attributes: str) -> DeadLetter:
    """A dead letter that was enqueued an hour ago."""
    return DeadLetter(
        message_id="m-1",
        receipt_handle="r-1",
        body=body,
        attributes={
            f"fraudd.{name}" if name in ("reason", "detail", "sent") else name: {
                "DataType": "String",
                "StringValue": value,
            }
            for name, value in attributes.items()
        },
        receive_count=3,
        enqueued_at=NOW - 3_600_000,
    )


ENVELOPE = json.dumps({"Type": "Notification", "Message": '{"entity_id": "shop-1"}'})


@pytest.mark.parametrize(
    ("body", "entity"),
    [
        ('{"entity_id": "shop-1"}', "shop-1"),
        (ENVELOPE, "shop-1"),
        ("nonsense", None),
        ('{"entity_id": "no such name"}', None),
        ("[]", None),
    ],
)
def test_the_entity_is_read_from_the_body_raw_or_in_an_envelope(
    body: str, entity: str | None
) -> None:
    assert entity_of(letter(body)) == entity


def test_what_says_no_reason_was_moved_by_sqs() -> None:
    assert reason_of(letter()) == "moved by SQS"
    assert reason_of(letter(reason="deadlock")) == "deadlock"


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        (Selection(), True),
        (Selection(entity="shop-1"), True),
        (Selection(entity="shop-11"), False),
        (Selection(reason="deadlock"), True),
        (Selection(reason="moved by SQS"), False),
        (Selection(entity="shop-1", reason="deadlock"), True),
        (Selection(entity="shop-2", reason="deadlock"), False),
        (Selection(entity="shop-1", reason="malformed"), False),
    ],
)
def test_a_message_is_meant_where_entity_and_reason_both_fit(
    wanted: Selection, meant: bool
) -> None:
    assert wanted.matches(letter(reason="deadlock")) is meant


def test_malformed_ones_are_spared_unless_named() -> None:
    malformed = letter("nonsense", reason="malformed")
    assert is_kept(malformed, Selection())
    assert not is_kept(malformed, Selection(reason="malformed"))
    assert not is_kept(letter(reason="deadlock"), Selection())


def test_the_age_counts_from_the_first_sending() -> None:
    assert row_of(letter(), now=NOW).age_seconds == 3600
    assert row_of(letter(sent=str(NOW - 90_000)), now=NOW).age_seconds == 90
    assert row_of(letter(sent="nonsense"), now=NOW).age_seconds == 3600
    assert row_of(letter(sent=str(NOW + 5_000)), now=NOW).age_seconds == 0, "clocks differ"


def test_the_table_is_aligned_and_the_oldest_comes_first() -> None:
    young = row_of(letter(reason="deadlock", detail="1213", sent=str(NOW - 5_000)), now=NOW)
    old = replace(row_of(letter("nonsense"), now=NOW), message_id="m-22")
    assert table([young, old], width=None).splitlines() == [
        "AGE        REASON        ENTITY  RECEIVES  MESSAGE ID  DETAIL",
        "1 h 0 min  moved by SQS  -       3         m-22        -",
        "5 s        deadlock      shop-1  3         m-1         1213",
    ]


def test_a_line_is_no_wider_than_the_terminal() -> None:
    shown = table([row_of(letter(detail="x" * 500), now=NOW)], width=80)
    assert max(map(len, shown.splitlines())) == 80


def test_no_control_sequence_of_others_reaches_the_terminal() -> None:
    shown = table([row_of(letter(reason="\x1b[2J", detail="a\nb\rc"), now=NOW)], width=None)
    assert len(shown.splitlines()) == 2
    assert "\x1b" not in shown
    assert "a?b?c" in shown


def test_a_message_goes_back_with_all_it_has_and_the_time_of_its_first_sending() -> None:
    back = returned_attributes(letter(reason="deadlock", detail="1213", traceparent="00-1"))
    assert {name: value["StringValue"] for name, value in back.items()} == {
        "fraudd.sent": str(NOW - 3_600_000),
        "fraudd.reason": "deadlock",
        "fraudd.detail": "1213",
        "traceparent": "00-1",
    }
    kept = returned_attributes(letter(sent="17"))
    assert kept == {"fraudd.sent": {"DataType": "String", "StringValue": "17"}}


def test_no_message_goes_back_with_more_attributes_than_sqs_takes() -> None:
    foreign = {f"theirs-{n}": "x" for n in range(8)}
    back = returned_attributes(letter(**foreign, reason="deadlock", detail="1213"))
    assert len(back) == 10
    assert {"fraudd.sent", "fraudd.reason", "fraudd.detail"} <= back.keys()


def test_a_binary_attribute_goes_back_as_it_is() -> None:
    binary = replace(
        letter(), attributes={"theirs": {"DataType": "Binary", "BinaryValue": b"\x00"}}
    )
    assert returned_attributes(binary)["theirs"] == {"DataType": "Binary", "BinaryValue": b"\x00"}
    assert reason_of(binary) == "moved by SQS"
