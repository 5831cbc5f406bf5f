"""Provisioning waits for slow changes on AWS, but not forever."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from fraudd.aws.provisioning.apply import carry_out
from fraudd.aws.provisioning.plan import Change, Step
from fraudd.aws.provisioning.resources import Part, Place
from fraudd.aws.session import Clients
from fraudd.errors import Unavailable
from fraudd.telemetry.clock_skew import ClockSkew
from tests.simulation.loop import run_virtually

PLACE = Place(partition="aws", region="eu-central-1", account="123456789012")
QUEUE = Part(kind="queue", name="q", attributes={"VisibilityTimeout": 120})
TABLE = Part(
    kind="table",
    name="t",
    attributes={
        "KeySchema": ["entity_id S"],
        "Index by_state": {"KeySchema": ["listed S", "listed_at N"], "Projection": "KEYS_ONLY"},
    },
)
INDEX = Change(attribute="Index by_state", old=None, new=TABLE.attributes["Index by_state"])
BACKUPS = Change(attribute="PointInTimeRecovery", old=False, new=True)


class Service:
    """Answers each call with the next answer of a list, and repeats the last one."""

    def __init__(self, **answers: Iterable[Any]) -> None:
        self._answers: dict[str, Iterator[Any]] = {}
        self._last: dict[str, Any] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        for operation, told in answers.items():
            self._answers[operation] = iter(told)

    def __getattr__(self, operation: str) -> Any:
        async def call(**given: Any) -> Any:
            self.calls.append((operation, given))
            answer = self._last[operation] = next(
                self._answers.get(operation, iter(())), self._last.get(operation, {})
            )
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    def counted(self, operation: str) -> int:
        return sum(called == operation for called, _ in self.calls)


def clients(*, sqs: Any = None, dynamodb: Any = None) -> Clients:
    return Clients(
        dynamodb=dynamodb,
        sns=cast(Any, None),
        sqs=sqs,
        polls=cast(Any, None),
        where="here",
        endpoints={},
        read_timeout_seconds=5.0,
        skew=ClockSkew(),
        another=cast(Any, None),
    )


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "not now"}}, "CreateQueue")


def described(table: str, index: str | None) -> Any:
    indexes = [] if index is None else [{"IndexName": "by_state", "IndexStatus": index}]
    return {"Table": {"TableStatus": table, "GlobalSecondaryIndexes": indexes}}


def make(step: Step, **services: Any) -> None:
    run_virtually(carry_out(clients(**services), [step], PLACE, begin=lambda _: None))


@pytest.mark.parametrize(
    "code", ["QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently"]
)
def test_the_name_of_a_queue_that_was_just_deleted_is_waited_for(code: str) -> None:
    sqs = Service(create_queue=[*[refused(code)] * 30, {"QueueUrl": "url"}])
    make(Step(action="create", part=QUEUE), sqs=sqs)
    assert sqs.counted("create_queue") == 31
    assert sqs.calls[0][1] == {"QueueName": "q", "Attributes": {"VisibilityTimeout": "120"}}


def test_but_not_for_ever() -> None:
    sqs = Service(create_queue=[refused("QueueDeletedRecently")])
    with pytest.raises(Unavailable, match="queue q: CreateQueue: QueueDeletedRecently"):
        make(Step(action="create", part=QUEUE), sqs=sqs)


def test_any_other_refusal_is_told_at_once() -> None:
    sqs = Service(create_queue=[refused("AccessDenied")])
    with pytest.raises(Unavailable, match="queue q: CreateQueue: AccessDenied: not now"):
        make(Step(action="create", part=QUEUE), sqs=sqs)
    assert sqs.counted("create_queue") == 1


def test_only_what_differs_of_a_queue_is_set() -> None:
    sqs = Service(get_queue_url=[{"QueueUrl": "url"}])
    change = Change(attribute="Policy", old=None, new={"Statement": []})
    make(Step(action="update", part=QUEUE, changes=(change,)), sqs=sqs)
    assert sqs.calls[-1] == (
        "set_queue_attributes",
        {"QueueUrl": "url", "Attributes": {"Policy": json.dumps({"Statement": []})}},
    )


def test_what_is_kept_is_not_written() -> None:
    sqs = Service()
    make(Step(action="keep", part=QUEUE), sqs=sqs)
    assert sqs.calls == []


def test_a_table_is_changed_one_thing_at_a_time_each_once_the_one_before_is_done() -> None:
    dynamodb = Service(
        describe_table=[
            described("ACTIVE", None),
            described("UPDATING", "CREATING"),
            described("ACTIVE", "CREATING"),
            described("ACTIVE", "ACTIVE"),
        ]
    )
    make(Step(action="update", part=TABLE, changes=(INDEX, BACKUPS)), dynamodb=dynamodb)
    assert [operation for operation, _ in dynamodb.calls] == [
        "describe_table",
        "update_table",
        *["describe_table"] * 3,
        "update_continuous_backups",
        "describe_table",
    ]


def test_an_index_that_is_built_for_hours_is_left_to_a_later_run() -> None:
    dynamodb = Service(describe_table=[described("ACTIVE", None), described("ACTIVE", "CREATING")])
    with pytest.raises(
        Unavailable, match="index by_state is CREATING after 600 s: run this command again"
    ):
        make(Step(action="update", part=TABLE, changes=(INDEX,)), dynamodb=dynamodb)


def test_the_backups_of_a_new_table_are_waited_for() -> None:
    dynamodb = Service(
        describe_table=[described("ACTIVE", "ACTIVE")],
        update_continuous_backups=[*[refused("ContinuousBackupsUnavailableException")] * 3, {}],
    )
    make(Step(action="update", part=TABLE, changes=(BACKUPS,)), dynamodb=dynamodb)
    assert dynamodb.counted("update_continuous_backups") == 4


def test_a_new_table_that_dynamodb_does_not_tell_of_yet_is_waited_for() -> None:
    table = Part(
        kind="table",
        name="t",
        attributes={
            **TABLE.attributes,
            "BillingMode": "PAY_PER_REQUEST",
            "TimeToLive": "expires_at",
            "PointInTimeRecovery": True,
            "DeletionProtection": True,
        },
    )
    dynamodb = Service(
        describe_table=[
            *[refused("ResourceNotFoundException")] * 2,
            described("CREATING", "CREATING"),
            described("ACTIVE", "ACTIVE"),
        ]
    )
    make(Step(action="create", part=table), dynamodb=dynamodb)
    assert dynamodb.counted("update_time_to_live") == 1
    assert dynamodb.counted("update_continuous_backups") == 1
