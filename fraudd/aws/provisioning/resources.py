"""What an installation consists of on AWS, as data: its parts, their names and attributes.

``fraudd provision`` makes it so; the tests hold ``config/cloudformation.yaml`` to the same.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

#: What ten processes in a row died with is not worth an eleventh.
MAX_RECEIVE_COUNT = 10
_DAY_SECONDS = 24 * 3600
#: The longest that SQS keeps a message: an operator may be on holiday.
DEAD_LETTER_RETENTION_SECONDS = 14 * _DAY_SECONDS
#: The age of what SQS moves to the dead-letter queue goes on counting from its first sending: the
#: shorter this is, the more of the fortnight is left there. Shorter than a long weekend would be
#: too short: the record of a run outlives its message, but another service's event is all there is.
RETENTION_SECONDS = 4 * _DAY_SECONDS
#: The longest long poll, for receivers that do not say how long they wait: a short one asks some
#: of SQS's servers only. fraudd does say. Whoever looks through dead letters wants no wait.
WAIT_SECONDS = 20

#: Keys as DynamoDB orders them, hash before range, each with its type.
KEY = ("entity_id S",)
INDEX = "by_state"
INDEX_KEY = ("listed S", "listed_at N")
TTL_ATTRIBUTE = "expires_at"

#: What SQS takes as a queue's name, with room for the longest ending.
NAME_RULE = "3 to 72 letters, digits, - and _, the first a letter or digit"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,71}", re.ASCII)

Kind = Literal["topic", "queue", "subscription", "table"]
Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The account and region that all parts are in."""

    partition: str
    region: str
    account: str

    def arn(self, service: str, resource: str) -> str:
        """Name a resource as policies do."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


@dataclass(frozen=True, slots=True)
class Names:
    """The names of all parts, made of the installation's own."""

    #: That of the main queue and of the table, too.
    name: str

    @property
    def requests(self) -> str:
        """The topic by which runs are asked for."""
        return f"{self.name}-requests"

    @property
    def completions(self) -> str:
        """The topic that tells of their ends."""
        return f"{self.name}-completions"

    @property
    def bulk(self) -> str:
        """The queue of requests that can wait."""
        return f"{self.name}-bulk"

    @property
    def dead(self) -> str:
        """The dead-letter queue of both queues."""
        return f"{self.name}-dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing on AWS, and how it must be; an attribute that is None must not be set.

    Attributes that are not named are the operator's own affair.
    """

    kind: Kind
    name: str
    attributes: Attributes


def installation(name: str, place: Place, *, visibility_timeout_seconds: int) -> tuple[Part, ...]:
    """Describe all parts, in the order in which they can be made."""
    names = Names(name)
    waiting = {
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
        _queue(names.bulk, place, retention_seconds=RETENTION_SECONDS, more=waiting),
        _queue(
            names.name,
            place,
            retention_seconds=RETENTION_SECONDS,
            more=waiting,
            sender=place.arn("sns", names.requests),
        ),
        # No filter policy: one that asks for an attribute drops events without it, silently.
        Part(
            kind="subscription",
            name=f"{names.requests} to {names.name}",
            attributes={"RawMessageDelivery": True, "FilterPolicy": None},
        ),
        Part(
            kind="table",
            name=names.name,
            attributes={
                # In the order in which they are changed: a table that is not paid by request
                # would want capacities for its index.
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
    """Write a key of a table or an index, as DynamoDB tells it, in the way of ``KEY``."""
    typed = {one["AttributeName"]: one["AttributeType"] for one in types}
    ordered = sorted(schema, key=lambda one: one["KeyType"])  # HASH before RANGE
    return tuple(f"{one['AttributeName']} {typed[one['AttributeName']]}" for one in ordered)


def _queue(
    name: str,
    place: Place,
    *,
    retention_seconds: int,
    more: Attributes | None = None,
    sender: str | None = None,
) -> Part:
    return Part(
        kind="queue",
        name=name,
        attributes={
            "MessageRetentionPeriod": retention_seconds,
            "DelaySeconds": 0,
            "SqsManagedSseEnabled": True,
            **(more or {}),
            "Policy": _policy(place.arn("sqs", name), sender),
        },
    )


def _policy(queue: str, sender: str | None) -> Attributes:
    """Let one topic send, and nobody come without TLS; roles of the account have rights anyway."""
    encrypted = {
        "Sid": "NothingWithoutTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": queue,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    sending = {
        "Sid": "TheTopicSends",
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": {"ArnEquals": {"aws:SourceArn": sender}},
    }
    return {
        "Version": "2012-10-17",
        "Statement": [encrypted] if sender is None else [encrypted, sending],
    }
