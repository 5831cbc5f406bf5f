"""The bulk lane: what it costs, and that nobody waits for it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fraudd.client import Client
from fraudd.config import Config
from fraudd.errors import Misconfigured
from fraudd.web.openapi.problem_types import PROBLEMS_URL
from tests.stack.aws import Aws
from tests.stack.daemon import Fraudd, Start, changed
from tests.stack.observer import Observer
from tests.stack.subscriber import Inbox


@pytest.fixture
async def bulky(config: Config, aws: Aws) -> Config:
    """The configuration of a daemon with a bulk lane."""
    return changed(config, queue={"bulk_url": aws.names.bulk_url})


@pytest.fixture
async def fraudd(start: Start, bulky: Config) -> AsyncIterator[Fraudd]:
    async with start(bulky) as fraudd:
        yield fraudd


async def batch(fraudd: Fraudd, entity_ids: list[str], **more: Any) -> tuple[int, Any]:
    """POST a batch; gives status and body."""
    asked = {"predictions": [{"entity_id": one} for one in entity_ids], **more}
    async with fraudd.http.post("/v1/batches", json=asked) as answer:
        return answer.status, await answer.json(content_type=None)


def calls(fraudd: Fraudd, operation: str) -> float:
    return fraudd.sample("fraudd_aws_calls_total", operation=operation)


async def test_a_bulk_batch_passes_the_topic_by_in_few_calls(
    fraudd: Fraudd, requests: Inbox
) -> None:
    ids = [f"shop-{number}" for number in range(100)]
    before = {one: calls(fraudd, one) for one in ("SendMessageBatch", "Publish")}
    async with Client(fraudd.url) as client:
        answers = await client.batch(ids, lane="bulk")
    assert [(one.entity_id, one.status) for one in answers] == [(one, "started") for one in ids]  # type: ignore[union-attr]
    sent = calls(fraudd, "SendMessageBatch") - before["SendMessageBatch"]
    await fraudd.jobs("done", 20)
    assert sent <= 30
    assert await requests.rest() == []
    # Once each: nobody sent a wake-up again.
    assert fraudd.sample("fraudd_wakeups_resent_total") == 0
    assert {(await fraudd.look_up(one))[1]["attempts"] for one in ids[:10]} == {1}


async def test_without_a_bulk_queue_there_is_no_bulk_lane(start: Start, config: Config) -> None:
    async with start(config) as fraudd:
        status, problem = await batch(fraudd, ["shop-1"], lane="bulk")
        assert (status, problem["type"]) == (422, f"{PROBLEMS_URL}no-bulk-lane")
        assert "[queue] bulk_url" in problem["detail"]
        assert (await fraudd.look_up("shop-1"))[0] == 404
        assert "bulk_queue" not in await fraudd.status()
        status, problem = await batch(fraudd, ["shop-1"], lane="fast")
        assert (status, problem["errors"][0]["pointer"]) == (422, "/lane")


async def test_an_interactive_run_starts_though_bulk_runs_hold_all_they_may(
    fraudd: Fraudd, observer: Observer
) -> None:
    for number in range(20):
        await observer.hold_up(f"shop-{number}")
    await batch(fraudd, [f"shop-{number}" for number in range(20)], lane="bulk")
    await observer.busy("User lock")
    # Of two permits one is left.
    async with asyncio.timeout(20):
        while (await fraudd.status())["permits"]["in_use"] < 2:
            pass
    assert [one["lane"] for one in (await fraudd.status())["runs"]] == ["bulk"]
    await fraudd.ask("shop-100")
    assert (await fraudd.ended("shop-100"))["status"] == "done"
    status = await fraudd.status()
    assert status["queue"]["visible"] == 0
    for number in range(20):
        await observer.let_go(f"shop-{number}")
    await fraudd.jobs("done", 21)


async def test_who_asks_for_a_run_of_the_bulk_lane_does_not_wait_in_it(
    fraudd: Fraudd, observer: Observer, aws: Aws
) -> None:
    for number in range(20):
        await observer.hold_up(f"shop-{number}")
    ids = [f"shop-{number}" for number in range(20)]
    _, body = await batch(fraudd, [*ids, "shop-100"], lane="bulk")
    runs = {one["entity_id"]: one["run_id"] for one in body["predictions"]}
    await observer.busy("User lock")
    [busy] = [one["entity_id"] for one in (await fraudd.status())["runs"]]
    others = [one for one in ("shop-100", *ids) if one != busy]
    # Whatever came first out of the queue: of the rest one is asked for, another by event.
    asked, told = others[0], others[1]
    await observer.let_go(asked)
    await observer.let_go(told)
    status, body = await fraudd.ask(asked)
    assert (status, body["status"], body["run_id"]) == (202, "calculating", runs[asked])
    await aws.clients.sns.publish(
        TopicArn=aws.names.requests_arn, Message=f'{{"entity_id": "{told}"}}'
    )
    assert (await fraudd.ended(asked))["run_id"] == runs[asked]
    assert (await fraudd.ended(told))["run_id"] == runs[told]
    assert (await fraudd.look_up(busy))[1]["status"] == "calculating"
    for one in ids:
        await observer.let_go(one)
    await fraudd.jobs("done", 21)


async def test_each_lane_has_its_own_room(start: Start, bulky: Config, observer: Observer) -> None:
    for number in range(5):
        await observer.hold_up(f"shop-{number}")
    async with start(changed(bulky, http={"max_pending": 3})) as fraudd:
        ids = [f"shop-{number}" for number in range(5)]
        _, body = await batch(fraudd, ids, lane="bulk")
        refused = [one["problem"] for one in body["predictions"] if "problem" in one]
        assert {(one["status"], one["type"]) for one in refused} == {
            (429, f"{PROBLEMS_URL}too-many-pending")
        }
        assert len(refused) == 2
        assert all(one["retry_after_seconds"] >= 1 for one in refused)
        # Nobody else is refused for it.
        status, _ = await fraudd.ask("shop-100")
        assert status == 202
        assert (await fraudd.ended("shop-100"))["status"] == "done"
        for one in ids:
            await observer.let_go(one)


async def test_with_one_permit_the_lanes_take_turns(start: Start, bulky: Config) -> None:
    async with start(changed(bulky, database={"max_connections": 1})) as fraudd:
        await batch(fraudd, [f"shop-{number}" for number in range(30)], lane="bulk")
        await fraudd.ask("shop-100")
        assert (await fraudd.ended("shop-100"))["status"] == "done"
        assert fraudd.sample("fraudd_messages_total", outcome="done") < 31
        await fraudd.jobs("done", 31)


async def test_a_drain_waits_for_both_polls(start: Start, bulky: Config) -> None:
    async with start(bulky) as fraudd:
        await batch(fraudd, ["shop-1"], lane="bulk")
        fraudd.daemon.stop()
        await fraudd.task
        # What the polls brought was worked on, what they did not is in the queue.
        depth = await fraudd.daemon.adapters.queues["bulk"].depth()
        assert depth.in_flight == 0
        assert depth.visible == 1 - fraudd.sample("fraudd_messages_total", outcome="done")


async def test_dead_letters_of_both_lanes_lie_in_one_queue(
    start: Start, bulky: Config, aws: Aws
) -> None:
    url = (await aws.clients.sqs.create_queue(QueueName=f"{aws.names.table}-odd"))["QueueUrl"]
    with pytest.raises(
        Misconfigured, match=r"\[queue\] url and bulk_url name .* set the same queue in both"
    ):
        odd = {"bulk_url": url, "dead_letter_url": None}
        arn = await aws.clients.sqs.get_queue_attributes(
            QueueUrl=aws.names.queue_url, AttributeNames=["QueueArn"]
        )
        policy = (
            f'{{"deadLetterTargetArn": "{arn["Attributes"]["QueueArn"]}", "maxReceiveCount": 9}}'
        )
        await aws.clients.sqs.set_queue_attributes(
            QueueUrl=url, Attributes={"RedrivePolicy": policy}
        )
        async with start(changed(bulky, queue=odd)):
            pass


async def test_one_queue_is_no_two_lanes(start: Start, config: Config) -> None:
    with pytest.raises(
        Misconfigured, match="bulk_url and url name the same queue: set bulk_url to another queue"
    ):
        async with start(changed(config, queue={"bulk_url": config.queue.url})):
            pass
