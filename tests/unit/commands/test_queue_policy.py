"""Whether a queue's policy lets the topic send, and whom besides."""

import json
from typing import Any

import pytest

from fraudd.commands.check.queue_policy import judge_policy

QUEUE = "arn:aws:sqs:eu-central-1:123456789012:fraudd"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:fraudd-requests"
OURS: dict[str, Any] = {
    "Effect": "Allow",
    "Principal": {"Service": "sns.amazonaws.com"},
    "Action": "sqs:SendMessage",
    "Resource": QUEUE,
    "Condition": {"ArnEquals": {"aws:SourceArn": TOPIC}},
}
#: As many write it: nobody without TLS.
TLS = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "sqs:*",
    "Resource": QUEUE,
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
#: Roles of the account, which are no topic.
ROLE = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
        "Action": "sqs:*", "Resource": "*"}  # fmt: skip


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in OURS.items() if key != name}


@pytest.mark.parametrize(
    ("statements", "level"),
    [
        (OURS, "ok"),
        ([ROLE, OURS, TLS], "ok"),
        ([OURS | {"Action": ["SQS:Send*", "sqs:ReceiveMessage"]}], "ok"),
        ([OURS | {"Resource": "arn:aws:sqs:*:123456789012:fraud?"}], "ok"),
        ([OURS | {"Principal": {"Service": ["events.amazonaws.com", "sns.amazonaws.com"]}}], "ok"),
        ([OURS | {"Principal": {"AWS": "*"}}], "ok"),
        ([OURS | {"Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:sns:*:*:fraudd-*"}}}], "ok"),
        ([OURS | {"Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}}}], "ok"),
        ([OURS | {"Condition": {"ArnEquals": {"aws:SourceArn": ["arn:x", TOPIC]}}}], "ok"),
        ([OURS, OURS | {"Effect": "Deny", "Condition":
                        {"ArnNotEquals": {"aws:SourceArn": TOPIC}}}], "ok"),
        ([OURS, OURS | {"Effect": "Deny", "NotAction": "sqs:SendMessage", "Action": None}], "ok"),
        ([OURS, without("Condition") | {"Action": "sqs:ReceiveMessage"}], "ok"),
        ([], "failed"),
        ([ROLE], "failed"),
        ([TLS], "failed"),
        ([OURS | {"Effect": "Deny"}], "failed"),
        ([OURS, OURS | {"Effect": "Deny", "Condition": {}}], "failed"),
        ([OURS | {"Action": "sqs:ReceiveMessage"}], "failed"),
        ([OURS | {"Resource": QUEUE + "-bulk"}], "failed"),
        ([OURS | {"Principal": {"Service": "events.amazonaws.com"}}], "failed"),
        ([OURS | {"Condition": {"ArnEquals": {"aws:SourceArn": TOPIC + "x"}}}], "failed"),
        ([OURS | {"Condition": {"ArnEquals": {"aws:SourceArn": TOPIC.upper()}}}], "failed"),
        ([OURS | {"Condition": {"StringEquals": {"aws:SourceArn": "arn:aws:sns:*"}}}], "failed"),
        ([OURS | {"Condition": {"StringEquals": {"aws:SourceAccount": "210987654321"}}}], "failed"),
        ([OURS | {"Condition": {"Bool": {"aws:SecureTransport": False}}}], "failed"),
        ([without("Condition")], "warning"),
        ([without("Condition") | {"Principal": "*"}], "warning"),
        ([OURS, without("Condition") | {"Principal": "*", "Action": "*"}], "warning"),
        ([OURS | {"Condition": {"Bool": {"aws:SecureTransport": "true"}}}], "warning"),
        ([OURS | {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}], "warning"),
        ([OURS | {"Condition": {"DateGreaterThan": {"aws:CurrentTime": "2026"}}}], "warning"),
        ([OURS, OURS | {"Effect": "Deny", "NotPrincipal": "*", "Principal": None}], "warning"),
    ],
)  # fmt: skip
def test_a_policy_is_read_as_iam_reads_it(statements: Any, level: str) -> None:
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    [finding] = judge_policy(text, queue_arn=QUEUE, topic_arn=TOPIC)
    assert finding.level == level, finding.detail


def test_without_a_policy_no_topic_sends() -> None:
    [finding] = judge_policy(None, queue_arn=QUEUE, topic_arn=TOPIC)
    assert finding.level == "failed"
    assert "queue policy: none" in finding.detail
