"""The AWS resources of an installation, as data: their names and attributes.

``fraudd provision`` creates them. Tests compare ``config/cloudformation.yaml`` with them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fraudd.aws.table_index import INDEX

#: A message that crashed ten processes in a row is poison.
MAX_RECEIVE_COUNT = 10
_DAY_SECONDS = 24 * 3600
#: The maximum of SQS, because an operator may be on holiday.
DEAD_LETTER_RETENTION_SECONDS = 14 * _DAY_SECONDS
#: In the dead-letter queue, the age of a message still counts from its first sending. So a short
#: retention here leaves more time there. But it must exceed a long weekend: a lost wake-up message
#: is sent again from its record, and a lost event of another service is not.
RETENTION_SECONDS = 4 * _DAY_SECONDS
#: The longest long poll, for receivers that set no wait themselves. A short poll asks only some
#: of SQS's servers. fraudd sets its own wait, and people who browse dead letters need none.
WAIT_SECONDS = 20

#: Keys: the hash key before the range key, each with its type.
KEY = ("entity_id S",)
INDEX_KEY = ("listed S", "listed_at N")
TTL_ATTRIBUTE = "expires_at"

#: The rule of SQS for queue names, with room for the longest suffix.
NAME_RULE = "3 to 72 letters, digits, - and _, the first a letter or digit"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,71}", re.ASCII)

Kind = Literal["topic", "queue", "subscription", "table"]
Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The account and region of all parts."""

    partition: str
    region: str
    account: str

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


@dataclass(frozen=True, slots=True)
class Names:
    """The names of all parts, derived from the name of the installation."""

    #: Also the name of the main queue and of the table.
    name: str

    @property
    def requests(self) -> str:
        """The topic of request events."""
        return f"{self.name}-requests"

    @property
    def completions(self) -> str:
        """The topic of completion events."""
        return f"{self.name}-completions"

    @property
    def bulk(self) -> str:
        """The queue of the bulk lane."""
        return f"{self.name}-bulk"

    @property
    def dead(self) -> str:
        """The dead-letter queue of both queues."""
        return f"{self.name}-dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A resource on AWS, and the attributes that it must have. None: must not be set.

    fraudd leaves other attributes to the operator.
    """

    kind: Kind
    name: str
    attributes: Attributes


def installation(name: str, place: Place, *, visibility_timeout_seconds: int) -> tuple[Part, ...]:
    """Describe all parts, in the order of their creation."""
    names = Names(name)
    polled = {
        "VisibilityTimeout": visibility_timeout_seconds,
        "ReceiveMessageWaitTimeSeconds": WAIT_SECONDS,
        "RedrivePolicy": {
            "deadLetterTargetArn": place.arn("sqs", names.dead),
            "maxReceiveCount": MAX_RECEIVE_COUNT,
        },
    }
    return (
        Part(kind="topic", name=names.requests, attributes={}),
        Part(kind="topic", name=names.completions, attributes={}),
        _queue(names.dead, place, retention_seconds=DEAD_LETTER_RETENTION_SECONDS),
        _queue(names.bulk, place, retention_seconds=RETENTION_SECONDS, extra=polled),
        _queue(
            names.name,
            place,
            retention_seconds=RETENTION_SECONDS,
            extra=polled,
            sender=place.arn("sns", names.requests),
        ),
        # A filter policy would drop events without its attributes, and nobody would notice.
        Part(
            kind="subscription",
            name=f"{names.requests} to {names.name}",
            attributes={"RawMessageDelivery": True, "FilterPolicy": None},
        ),
        Part(
            kind="table",
            name=names.name,
            attributes={
                # In the order of the changes: an index needs capacities, unless the table is
                # paid per request already.
                "KeySchema": [*KEY],
                "BillingMode": "PAY_PER_REQUEST",
                f"Index {INDEX}": {"KeySchema": [*INDEX_KEY], "Projection": "KEYS_ONLY"},
                "TimeToLive": TTL_ATTRIBUTE,
                "PointInTimeRecovery": True,
                "DeletionProtection": True,
            },
        ),
    )


def key_of(schema: Sequence[Any], types: Sequence[Any]) -> tuple[str, ...]:
    """Convert the key of a table or an index from DynamoDB's description to the form of ``KEY``."""
    type_of = {attribute["AttributeName"]: attribute["AttributeType"] for attribute in types}
    ordered = sorted(schema, key=lambda element: element["KeyType"])  # HASH before RANGE
    names = (element["AttributeName"] for element in ordered)
    return tuple(f"{name} {type_of[name]}" for name in names)


def _queue(
    name: str,
    place: Place,
    *,
    retention_seconds: int,
    extra: Attributes | None = None,
    sender: str | None = None,
) -> Part:
    return Part(
        kind="queue",
        name=name,
        attributes={
            "MessageRetentionPeriod": retention_seconds,
            "DelaySeconds": 0,
            "SqsManagedSseEnabled": True,
            **(extra or {}),
            "Policy": _policy(place.arn("sqs", name), sender),
        },
    )


def _policy(queue: str, sender: str | None) -> Attributes:
    """Allow one topic to send, and deny access without TLS. Roles need no statement here."""
    only_with_tls = {
        "Sid": "NothingWithoutTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": queue,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    topic_may_send = {
        "Sid": "TheTopicSends",
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": {"ArnEquals": {"aws:SourceArn": sender}},
    }
    return {
        "Version": "2012-10-17",
        "Statement": [only_with_tls] if sender is None else [only_with_tls, topic_may_send],
    }
