"""The parts of an installation, and the steps if they differ."""

from collections.abc import Mapping
from typing import Any

import pytest

from fraudd.aws.provisioning.plan import Change, plan
from fraudd.aws.provisioning.resources import (
    DEAD_LETTER_RETENTION_SECONDS,
    NAME,
    RETENTION_SECONDS,
    Part,
    Place,
    installation,
)

PLACE = Place(partition="aws-cn", region="cn-north-1", account="123456789012")
PARTS = installation("fraudd-shop", PLACE, visibility_timeout_seconds=120)
QUEUES = {part.name: part.attributes for part in PARTS if part.kind == "queue"}
OURS = {"Sid": "NothingWithoutTls", "Effect": "Deny"}
THEIRS = {"Sid": "OnlyOurNetwork", "Effect": "Deny"}
POLICY = {"Version": "2012-10-17", "Statement": [OURS]}
QUEUE = Part(kind="queue", name="q", attributes={"VisibilityTimeout": 120, "Policy": POLICY})
TABLE = next(part for part in PARTS if part.kind == "table")


def test_each_part_comes_after_those_that_it_names() -> None:
    order = [(part.kind, part.name) for part in PARTS]
    assert order.index(("queue", "fraudd-shop-dead")) < order.index(("queue", "fraudd-shop"))
    assert order.index(("queue", "fraudd-shop-dead")) < order.index(("queue", "fraudd-shop-bulk"))
    subscribed = order.index(("subscription", "fraudd-shop-requests to fraudd-shop"))
    assert order.index(("queue", "fraudd-shop")) < subscribed
    assert order.index(("topic", "fraudd-shop-requests")) < subscribed


def test_both_queues_have_the_one_dead_letter_queue_and_it_keeps_longer() -> None:
    for name in ("fraudd-shop", "fraudd-shop-bulk"):
        redrive = QUEUES[name]["RedrivePolicy"]
        assert redrive["deadLetterTargetArn"].endswith(":123456789012:fraudd-shop-dead")
        assert QUEUES[name]["MessageRetentionPeriod"] == RETENTION_SECONDS
    # A message that SQS moves keeps its age.
    assert QUEUES["fraudd-shop-dead"]["MessageRetentionPeriod"] == DEAD_LETTER_RETENTION_SECONDS
    assert DEAD_LETTER_RETENTION_SECONDS - RETENTION_SECONDS >= 7 * 24 * 3600


@pytest.mark.parametrize(
    ("queue", "senders"),
    [
        ("fraudd-shop", ["arn:aws-cn:sns:cn-north-1:123456789012:fraudd-shop-requests"]),
        ("fraudd-shop-bulk", []),
        ("fraudd-shop-dead", []),
    ],
)
def test_by_its_policy_only_the_topic_sends_and_only_to_the_main_queue(
    queue: str, senders: list[str]
) -> None:
    statements = QUEUES[queue]["Policy"]["Statement"]
    allowed = [one for one in statements if one["Effect"] == "Allow"]
    assert [one["Condition"]["ArnEquals"]["aws:SourceArn"] for one in allowed] == senders
    assert {one["Resource"] for one in statements} == {PLACE.arn("sqs", queue)}
    [denied] = [one for one in statements if one["Effect"] == "Deny"]
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize("name", ["fraudd-shop", "a_1", "x" * 72])
def test_a_name_with_every_ending_is_one_that_sqs_takes(name: str) -> None:
    assert NAME.fullmatch(name)
    for part in installation(name, PLACE, visibility_timeout_seconds=30):
        if part.kind == "queue":
            assert len(part.name) <= 80


@pytest.mark.parametrize("name", ["", "ab", "-shop", "shop.eu", "x" * 73, "shöp", "shop\n"])
def test_no_other_name_is_taken(name: str) -> None:
    assert not NAME.fullmatch(name)


@pytest.mark.parametrize(
    ("found", "action", "changes"),
    [
        (None, "create", [("VisibilityTimeout", None, 120), ("Policy", None, POLICY)]),
        ({}, "update", [("VisibilityTimeout", None, 120), ("Policy", None, POLICY)]),
        ({"VisibilityTimeout": 120, "Policy": POLICY}, "keep", []),
        ({"VisibilityTimeout": 120, "Policy": POLICY, "DelaySeconds": 9}, "keep", []),
        (
            {"VisibilityTimeout": 30, "Policy": POLICY},
            "update",
            [("VisibilityTimeout", 30, 120)],
        ),
        (
            {"VisibilityTimeout": 120, "Policy": {"Statement": []}},
            "update",
            [("Policy", {"Statement": []}, POLICY)],
        ),
    ],
)
def test_what_differs_is_changed_and_what_is_not_described_is_left_alone(
    found: Mapping[str, Any] | None, action: str, changes: list[tuple[str, Any, Any]]
) -> None:
    [step] = plan([QUEUE], [found])
    assert step.action == action
    assert list(step.changes) == [
        Change(attribute=attribute, old=old, new=new) for attribute, old, new in changes
    ]


@pytest.mark.parametrize(
    ("found", "becomes"),
    [
        ({**POLICY, "Statement": [OURS, THEIRS]}, [OURS, THEIRS]),
        ({**POLICY, "Statement": [THEIRS]}, [OURS, THEIRS]),
        ({**POLICY, "Statement": THEIRS}, [OURS, THEIRS]),
        ({**POLICY, "Statement": [THEIRS, {**OURS, "Effect": "Allow"}]}, [OURS, THEIRS]),
        ({**POLICY, "Statement": [{"Effect": "Allow"}]}, [OURS, {"Effect": "Allow"}]),
    ],
)
def test_a_policy_keeps_what_others_say_in_it(
    found: Mapping[str, Any], becomes: list[Mapping[str, Any]]
) -> None:
    [step] = plan([QUEUE], [{"VisibilityTimeout": 120, "Policy": found}])
    policy = step.changes[0].new if step.changes else found
    assert policy == {**POLICY, "Statement": becomes}
    assert plan([QUEUE], [{"VisibilityTimeout": 120, "Policy": policy}])[0].action == "keep"


@pytest.mark.parametrize(("found", "action"), [(345_600, "refuse"), (3_600, "update")])
def test_messages_are_never_kept_for_a_shorter_time_than_somebody_set(
    found: int, action: str
) -> None:
    queue = Part(kind="queue", name="q", attributes={"MessageRetentionPeriod": 86_400})
    [step] = plan([queue], [{"MessageRetentionPeriod": found}])
    assert step.action == action
    assert [("SQS would delete older messages" in problem) for problem in step.problems] == (
        [True] if action == "refuse" else []
    )


def test_what_must_not_be_set_is_no_change_where_it_is_not() -> None:
    subscription = Part(kind="subscription", name="s", attributes={"FilterPolicy": None})
    for found in (None, {}, {"FilterPolicy": None}):
        assert plan([subscription], [found])[0].changes == ()
    [step] = plan([subscription], [{"FilterPolicy": {"lane": ["bulk"]}}])
    assert step.changes == (Change(attribute="FilterPolicy", old={"lane": ["bulk"]}, new=None),)


@pytest.mark.parametrize(
    ("differs", "problems"),
    [
        ({"KeySchema": ["id S"]}, ["use another name"]),
        ({"KeySchema": ["entity_id S", "at N"]}, ["use another name"]),
        (
            {"Index by_state": {"KeySchema": ["listed S"], "Projection": "ALL"}},
            ["an index cannot be changed: delete it"],
        ),
        ({"TimeToLive": "expires"}, ["switch it off"]),
        ({"KeySchema": ["id S"], "TimeToLive": "expires"}, ["use another name", "switch it off"]),
    ],
)
def test_what_aws_could_only_replace_is_refused_with_a_remedy(
    differs: Mapping[str, Any], problems: list[str]
) -> None:
    [step] = plan([TABLE], [{**TABLE.attributes, **differs}])
    assert step.action == "refuse"
    assert len(step.problems) == len(problems)
    for problem, says in zip(step.problems, problems, strict=True):
        assert says in problem


@pytest.mark.parametrize("lacking", ["Index by_state", "TimeToLive", "PointInTimeRecovery"])
def test_what_a_table_lacks_is_added(lacking: str) -> None:
    has = {name: value for name, value in TABLE.attributes.items() if name != lacking}
    [step] = plan([TABLE], [has])
    assert step.action == "update"
    assert [change.attribute for change in step.changes] == [lacking]


def test_a_table_with_capacities_is_paid_by_request_before_it_gets_an_index() -> None:
    has = {**TABLE.attributes, "BillingMode": "PROVISIONED", "Index by_state": None}
    [step] = plan([TABLE], [has])
    assert [change.attribute for change in step.changes] == ["BillingMode", "Index by_state"]
