"""The record in DynamoDB: transitions as conditional writes."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from fraudd.aws.dynamodb import DynamoDbStore
from fraudd.aws.session import Clients, open_clients
from fraudd.clock import SystemClock
from fraudd.errors import Unavailable
from fraudd.prediction.formats import new_ulid
from fraudd.prediction.record import Record
from fraudd.prediction.transitions import claimed, completed, failed, first_claim, opened, released
from fraudd.telemetry.metrics import Metrics
from tests.stack.aws import Aws, terms
from tests.stack.times import NOW

RUN = new_ulid(NOW, 1)
NEXT = new_ulid(NOW, 9)
RESULT: dict[str, Any] = {
    "run_id": RUN,
    "expires_at": NOW // 1000 + 9,
    "score": 0.123456789012,
    "features": {"f": None, "ü": 1.5},
}


async def put(store: DynamoDbStore, transition: Any) -> Record:
    applied = await store.apply(transition)
    assert applied.done
    assert applied.record is not None
    return applied.record


async def test_a_record_goes_through_its_life_and_reads_back_as_written(aws: Aws) -> None:
    assert await aws.store.get("shop-1") is None
    queued = await put(aws.store, opened("shop-1", None, run_id=RUN, now=NOW))
    running = await put(
        aws.store, claimed(queued, worker="w", now=NOW + 5, lease_until=NOW + 60_000)
    )
    done = await put(aws.store, completed(running, result=RESULT, now=NOW + 9, next_run_id=NEXT))
    assert done == await aws.store.get("shop-1")
    assert done.state == "done"
    assert done.result == RESULT
    assert (done.worker, done.lease_until, done.listed) == (None, None, None)
    assert (done.attempts, done.started_at, done.finished_at) == (1, NOW + 5, NOW + 9)
    assert done.expires_at == RESULT["expires_at"]


async def test_of_many_who_open_at_once_one_does_and_the_others_see_its_run(aws: Aws) -> None:
    attempts = [
        aws.store.apply(opened("shop-1", None, run_id=new_ulid(NOW, n), now=NOW)) for n in range(20)
    ]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(attempt) for attempt in attempts]
    outcomes = [task.result() for task in tasks]
    winners = [outcome for outcome in outcomes if outcome.done]
    assert len(winners) == 1
    assert all(outcome.record == winners[0].record for outcome in outcomes)


async def test_a_refused_write_brings_the_record_that_refused_it(aws: Aws) -> None:
    queued = await put(aws.store, opened("shop-1", None, run_id=RUN, now=NOW))
    running = await put(aws.store, claimed(queued, worker="w", now=NOW, lease_until=NOW + 9))
    late = await aws.store.apply(claimed(queued, worker="w2", now=NOW, lease_until=NOW + 9))
    assert (late.done, late.record) == (False, running)


async def test_a_write_to_a_record_that_is_not_there_is_refused_and_makes_none(aws: Aws) -> None:
    guess = first_claim("shop-1", RUN, worker="w", now=NOW, lease_until=NOW + 9)
    refused = await aws.store.apply(guess)
    assert (refused.done, refused.record) == (False, None)
    assert await aws.store.get("shop-1") is None


async def test_an_older_run_never_overwrites_a_newer_one(aws: Aws) -> None:
    queued = await put(aws.store, opened("shop-1", None, run_id=RUN, now=NOW))
    old = await put(aws.store, claimed(queued, worker="w", now=NOW, lease_until=NOW + 9))
    stolen = await put(aws.store, claimed(old, worker="w2", now=NOW, lease_until=NOW + 99))
    done = await put(aws.store, completed(stolen, result=RESULT, now=NOW, next_run_id=NEXT))
    newer = await put(aws.store, opened("shop-1", done, run_id=new_ulid(NOW + 1, 2), now=NOW + 1))
    error = {"run_id": RUN, "expires_at": 1, "type": "late", "detail": ""}
    assert not (await aws.store.apply(failed(old, error=error, now=NOW, next_run_id=NEXT))).done
    assert not (await aws.store.apply(released(old))).done
    assert await aws.store.get("shop-1") == newer


async def test_a_write_whose_answer_was_lost_is_taken_for_done_when_tried_again(aws: Aws) -> None:
    queued = await put(aws.store, opened("shop-1", None, run_id=RUN, now=NOW))
    claim = claimed(queued, worker="w", now=NOW, lease_until=NOW + 9)
    running = await put(aws.store, claim)
    again = await aws.store.apply(claim)
    assert (again.done, again.record) == (True, running)


async def test_twenty_who_look_up_at_once_cost_a_few_calls(aws_endpoint: str, aws: Aws) -> None:
    metrics = Metrics()
    async with open_clients(terms(aws_endpoint), metrics.aws_called, SystemClock()) as clients:
        store = DynamoDbStore(clients, aws.names.table)
        await put(store, opened("shop-7", None, run_id=RUN, now=NOW))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(store.get(f"shop-{number}")) for number in range(20)]
    assert [number for number, task in enumerate(tasks) if task.result()] == [7]
    calls = {
        operation: metrics.registry.get_sample_value(
            "fraudd_aws_calls_total", {"operation": operation}
        )
        or 0
        for operation in ("GetItem", "BatchGetItem")
    }
    assert sum(calls.values()) <= 3
    assert calls["BatchGetItem"] >= 1


async def test_what_another_version_added_to_the_record_does_no_harm(aws: Aws) -> None:
    queued = await put(aws.store, opened("shop-1", None, run_id=RUN, now=NOW))
    await aws.clients.dynamodb.update_item(
        TableName=aws.names.table,
        Key={"entity_id": {"S": "shop-1"}},
        UpdateExpression="SET colour = :red",
        ExpressionAttributeValues={":red": {"S": "red"}},
    )
    assert await aws.store.get("shop-1") == queued


async def test_pending_and_failed_records_are_listed_in_the_sparse_index(aws: Aws) -> None:
    queued = await put(aws.store, opened("shop-1", None, run_id=RUN, now=NOW))
    assert queued.listed is not None
    listed = await aws.clients.dynamodb.query(
        TableName=aws.names.table,
        IndexName="by_state",
        KeyConditionExpression="listed = :kind",
        ExpressionAttributeValues={":kind": {"S": queued.listed}},
    )
    assert [item["entity_id"]["S"] for item in listed["Items"]] == ["shop-1"]


async def test_a_table_that_is_not_there_is_told_with_where_and_what_to_do(
    aws_clients: Clients, aws: Aws
) -> None:
    await aws.store.check()
    with pytest.raises(Unavailable, match=r"no table nowhere at http://127.*see \[results\] table"):
        await DynamoDbStore(aws_clients, "nowhere").check()


async def test_a_table_of_another_make_is_refused(aws_clients: Clients) -> None:
    await aws_clients.dynamodb.create_table(
        TableName="other-make",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    with pytest.raises(Unavailable, match="not entity_id"):
        await DynamoDbStore(aws_clients, "other-make").check()


async def test_a_store_out_of_reach_is_unavailable(aws: Aws) -> None:
    closed = replace(aws.clients, where="nowhere")
    store = DynamoDbStore(closed, "deleted-table")
    with pytest.raises(Unavailable) as told:
        await store.get("shop-1")
    assert told.value.part == "store"
