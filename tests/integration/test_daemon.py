"""What callers, subscribers and operators see of a daemon on real components."""

import asyncio
import json
from collections import Counter
from dataclasses import replace

from fraudd.aws.provision import provision
from fraudd.clock import SystemClock
from fraudd.config import Config
from fraudd.prediction import SKEW_MARGIN_MS, claimed, new_run_id, opened
from tests.conftest import Aws
from tests.integration.conftest import Inbox, Observer, Start, changed


async def send(aws: Aws, body: str) -> None:
    await aws.clients.sqs.send_message(QueueUrl=aws.names.queue_url, MessageBody=body)


async def dead_letters(aws: Aws) -> list[tuple[str, str]]:
    """Reason and body of what lies in the dead-letter queue."""
    url = (await aws.clients.sqs.get_queue_url(QueueName=f"{aws.names.table}-dead"))["QueueUrl"]
    answer = await aws.clients.sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )
    return [
        (message["MessageAttributes"]["fraudd.reason"]["StringValue"], message["Body"])
        for message in answer.get("Messages", [])
    ]


async def test_a_score_is_asked_for_calculated_and_found(
    start: Start, config: Config, completions: Inbox, observer: Observer
) -> None:
    await observer.hold_up("shop-1")
    async with start(config) as fraudd:
        status, first = await fraudd.ask("shop-1")
        assert (status, first["status"]) == (202, "started")
        status, second = await fraudd.ask("shop-1")
        assert (status, second["status"], second["run_id"]) == (202, "calculating", first["run_id"])
        assert "result" not in second
        await observer.let_go("shop-1")
        done = await fraudd.ended("shop-1")
        assert (done["status"], done["run_id"], done["attempts"]) == ("done", first["run_id"], 1)
        result = done["result"]
        assert 0 < result["score"] < 1
        assert result["decision"] in ("approve", "review", "block")
        assert len(result["reasons"]) >= 3
        assert result["timing_ms"].keys() == {"waited", "database", "model", "total"}
        values = {"known": 1.0, "gate": 1.0, "size": 6.0, "things": 0.0}
        for reason in result["reasons"]:
            assert reason["value"] == values.get(reason["feature"])
            assert reason["text"]
        assert await fraudd.ask("shop-1") == (200, done)
        [announced] = await completions.take(1)
    assert announced["type"] == "fraudd.prediction.done"
    assert (announced["id"], announced["subject"]) == (first["run_id"], "shop-1")
    assert announced["data"] == done


async def test_answers_carry_the_headers_that_tell_what_to_do_next(
    start: Start, config: Config
) -> None:
    async with start(config) as fraudd:
        body = {"entity_id": "shop-1"}
        async with fraudd.http.post("/v1/predictions", json=body) as answer:
            assert answer.headers["Location"] == "/v1/predictions/shop-1"
            assert int(answer.headers["Retry-After"]) >= 1
            assert (await answer.json())["estimated_seconds"] >= 1
            assert answer.headers["Content-Type"] == "application/json"
        given = {"X-Request-Id": "abc-1"}
        async with fraudd.http.get("/v1/predictions/shop-1", headers=given) as answer:
            assert answer.headers["X-Request-Id"] == "abc-1"
        forged = {"X-Request-Id": "a b"}
        async with fraudd.http.get("/healthz", headers=forged) as answer:
            assert answer.headers["X-Request-Id"] != "a b"


async def test_an_unknown_entity_fails_at_once_and_is_not_tried_again(
    start: Start, config: Config, completions: Inbox, aws: Aws
) -> None:
    async with start(config) as fraudd:
        await fraudd.ask("nobody-1")
        failed = await fraudd.ended("nobody-1")
        assert (failed["status"], failed["error"]["type"]) == ("failed", "entity_unknown")
        assert failed["error"]["attempts"] == 1
        assert "entity unknown" in failed["error"]["detail"]
        async with fraudd.http.post("/v1/predictions", json={"entity_id": "nobody-1"}) as answer:
            assert answer.status == 200
            assert 0 < int(answer.headers["Retry-After"]) <= 60
            assert await answer.json() == failed
        status, forced = await fraudd.ask("nobody-1", force=True)
        assert (status, forced["status"]) == (202, "started")
        again = await fraudd.ended("nobody-1")
        assert again["run_id"] == forced["run_id"]
        announced = await completions.take(2)
    assert {event["type"] for event in announced} == {"fraudd.prediction.failed"}
    assert await dead_letters(aws) == []


async def test_fifty_who_ask_at_once_at_two_daemons_start_one_run_and_one_event(
    start: Start, config: Config, requests: Inbox, observer: Observer
) -> None:
    await observer.hold_up("shop-1")
    async with start(config) as one, start(config) as other:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task((one if n % 2 else other).ask("shop-1")) for n in range(50)]
        answers = [task.result()[1] for task in asked]
        assert Counter(answer["status"] for answer in answers) == {"started": 1, "calculating": 49}
        assert len({answer["run_id"] for answer in answers}) == 1
        await observer.let_go("shop-1")
        assert (await one.ended("shop-1"))["status"] == "done"
        assert len(await requests.take(1)) == 1
        assert await requests.rest() == []


async def test_a_burst_is_worked_off_without_ever_exceeding_the_cap(
    start: Start, config: Config, observer: Observer, aws: Aws
) -> None:
    config = changed(config, database={"max_connections": 3})
    shops = [f"shop-{n}" for n in range(100)]
    most = 0
    async with start(config) as fraudd:
        async with asyncio.TaskGroup() as group:
            for shop in shops:
                group.create_task(fraudd.ask(shop))
            drained = group.create_task(fraudd.jobs("done", 100))
            while not drained.done():
                most = max(most, len(await observer.theirs()))
        assert {(await fraudd.ended(shop))["status"] for shop in shops} == {"done"}
        received = fraudd.metrics.registry.get_sample_value("fraudd_receives_total")
    assert most == 3
    assert received == 100
    assert await dead_letters(aws) == []


async def test_no_more_messages_are_in_hand_than_the_database_can_serve(
    start: Start, config: Config, observer: Observer, aws: Aws
) -> None:
    held = [f"shop-{n}" for n in range(5)]
    for shop in held:
        await observer.hold_up(shop)
    async with start(config) as fraudd:
        for shop in held:
            await fraudd.ask(shop)
        await observer.busy("User lock")
        async with asyncio.timeout(10):
            while (await fraudd.status())["consumers"]["busy"] < 2:
                pass
        depth = await aws.queue.depth()
        assert (depth.in_flight, depth.visible) == (2, 3)
        status = await fraudd.status()
        assert status["permits"] == {"limit": 2, "in_use": 2}
        assert {job["phase"] for job in status["jobs"]} == {"database"}
        for shop in held:
            await observer.let_go(shop)
        for shop in held:
            assert (await fraudd.ended(shop))["attempts"] == 1


async def test_force_and_age_start_a_new_run_and_the_old_result_stays_readable(
    start: Start, config: Config, observer: Observer
) -> None:
    async with start(config) as fraudd:
        await fraudd.ask("shop-1")
        old = await fraudd.ended("shop-1")
        assert (await fraudd.ask("shop-1", max_age_seconds=3600))[0] == 200
        await observer.hold_up("shop-1")
        status, forced = await fraudd.ask("shop-1", force=True)
        assert (status, forced["status"]) == (202, "started")
        assert forced["result"] == old["result"]
        status, pending = await fraudd.look_up("shop-1")
        assert (pending["status"], pending["result"]) == ("calculating", old["result"])
        assert (await fraudd.ask("shop-1", force=True))[1]["run_id"] == forced["run_id"]
        await observer.let_go("shop-1")
        new = await fraudd.ended("shop-1")
        assert new["run_id"] == forced["run_id"]
        status, stale = await fraudd.ask("shop-1", max_age_seconds=0)
        assert (status, stale["status"]) == (202, "started")


async def test_a_failed_recomputation_does_not_take_the_result_away(
    start: Start, config: Config, observer: Observer
) -> None:
    config = changed(config, consumers={"max_attempts": 1}, database={"query_timeout_seconds": 0.2})
    async with start(config) as fraudd:
        await fraudd.ask("shop-1")
        old = await fraudd.ended("shop-1")
        await observer.slow_down("shop-1")
        await fraudd.ask("shop-1", force=True)
        failed = await fraudd.ended("shop-1")
        assert (failed["status"], failed["result"]) == ("failed", old["result"])


async def test_a_passing_failure_is_tried_again_and_given_up_with_a_copy_for_the_operator(
    start: Start, config: Config, observer: Observer, aws: Aws
) -> None:
    config = changed(config, consumers={"max_attempts": 2}, database={"query_timeout_seconds": 0.2})
    await observer.slow_down("shop-1")
    async with start(config) as fraudd:
        _, asked = await fraudd.ask("shop-1")
        failed = await fraudd.ended("shop-1")
        assert failed["status"] == "failed"
        assert failed["error"]["type"] == "query_timeout"
        assert failed["error"]["detail"].startswith("pace.sql: ")
        assert failed["error"]["attempts"] == 2
        await fraudd.jobs("failed")
        assert (await aws.queue.depth()).in_flight == 0
    [(reason, body)] = await dead_letters(aws)
    assert reason == "query_timeout"
    assert json.loads(body)["run_id"] == asked["run_id"]


async def test_a_passing_failure_that_passes_costs_an_attempt_and_no_more(
    start: Start, config: Config, observer: Observer
) -> None:
    config = changed(config, database={"query_timeout_seconds": 0.2})
    await observer.slow_down("shop-1")
    async with start(config) as fraudd:
        await fraudd.ask("shop-1")
        await fraudd.jobs("retried")
        await observer.speed_up()
        done = await fraudd.ended("shop-1")
        assert done["status"] == "done"
        assert done["attempts"] >= 2


async def test_a_fault_of_the_database_costs_no_attempt_and_fails_no_run(
    start: Start, config: Config, observer: Observer, aws: Aws
) -> None:
    async with start(config) as fraudd:
        await observer.rows("RENAME TABLE plain.things TO plain.gone")
        await fraudd.ask("shop-1")
        await fraudd.jobs("unavailable", 2)
        record = await aws.store.get("shop-1")
        assert record is not None
        assert record.attempts <= 1
        await observer.rows("RENAME TABLE plain.gone TO plain.things")
        done = await fraudd.ended("shop-1")
        assert (done["status"], done["attempts"]) == ("done", 1)


async def test_a_malformed_message_goes_to_the_dead_letter_queue_at_its_first_receive(
    start: Start, config: Config, aws: Aws
) -> None:
    await send(aws, "nonsense")
    async with start(config) as fraudd:
        await fraudd.jobs("malformed")
        assert fraudd.metrics.registry.get_sample_value("fraudd_receives_total") == 1
    assert await dead_letters(aws) == [("malformed", "nonsense")]
    assert (await aws.queue.depth()).in_flight == 0


async def test_another_service_may_ask_by_event_and_an_owed_run_covers_it(
    start: Start, config: Config, aws: Aws
) -> None:
    async with start(config) as fraudd:
        await send(aws, '{"entity_id": "shop-1"}')
        await fraudd.jobs("opened")
        first = await fraudd.ended("shop-1")
        assert first["status"] == "done"
        await send(aws, '{"entity_id": "shop-1"}')
        await fraudd.jobs("opened", 2)
        assert (await fraudd.ended("shop-1"))["run_id"] != first["run_id"]
    await aws.store.apply(opened("shop-2", None, run_id=new_run_id(1, 1), now=1))
    await send(aws, '{"entity_id": "shop-2"}')
    async with start(config) as fraudd:
        await fraudd.jobs("covered")


async def test_a_duplicate_of_a_message_announces_again_and_computes_nothing(
    start: Start, config: Config, aws: Aws, completions: Inbox
) -> None:
    async with start(config) as fraudd:
        _, asked = await fraudd.ask("shop-1")
        done = await fraudd.ended("shop-1")
        await send(aws, json.dumps({"entity_id": "shop-1", "run_id": asked["run_id"]}))
        await fraudd.jobs("announced")
        first, again = await completions.take(2)
        assert first == again
        assert (await fraudd.look_up("shop-1"))[1] == done


async def test_a_message_of_a_run_that_is_not_owed_any_more_is_dropped(
    start: Start, config: Config, aws: Aws
) -> None:
    await send(aws, json.dumps({"entity_id": "shop-1", "run_id": new_run_id(1, 1)}))
    async with start(config) as fraudd:
        await fraudd.jobs("superseded")
    depth = await aws.queue.depth()
    assert (depth.visible, depth.in_flight) == (0, 0)


async def test_a_run_whose_process_died_is_taken_over_once_its_lease_is_dead(
    start: Start, config: Config, aws: Aws
) -> None:
    run_id = new_run_id(1, 1)
    queued = (await aws.store.apply(opened("shop-1", None, run_id=run_id, now=1))).record
    assert queued is not None
    await aws.store.apply(claimed(queued, worker="dead", now=1, lease_until=1))
    await send(aws, json.dumps({"entity_id": "shop-1", "run_id": run_id}))
    async with start(config) as fraudd:
        done = await fraudd.ended("shop-1")
    assert (done["status"], done["run_id"], done["attempts"]) == ("done", run_id, 2)
    record = await aws.store.get("shop-1")
    assert record is not None
    assert record.deaths == 1


async def test_a_run_that_another_daemon_works_on_is_left_to_it(
    start: Start, config: Config, aws: Aws
) -> None:
    run_id, now = new_run_id(1, 1), _now()
    queued = (await aws.store.apply(opened("shop-1", None, run_id=run_id, now=now))).record
    assert queued is not None
    alive = now + 60_000 + SKEW_MARGIN_MS
    await aws.store.apply(claimed(queued, worker="busy", now=now, lease_until=alive))
    await send(aws, json.dumps({"entity_id": "shop-1", "run_id": run_id}))
    async with start(config) as fraudd:
        await fraudd.jobs("given_back")
        assert (await fraudd.look_up("shop-1"))[1]["status"] == "calculating"
    record = await aws.store.get("shop-1")
    assert record is not None
    assert record.worker == "busy"


async def test_a_run_that_nobody_could_end_is_given_up(
    start: Start, config: Config, aws: Aws
) -> None:
    run_id = new_run_id(1, 1)
    queued = (await aws.store.apply(opened("shop-1", None, run_id=run_id, now=1))).record
    assert queued is not None
    worn = replace(queued, attempts=0)
    await aws.store.apply(claimed(worn, worker="dead", now=1, lease_until=1))
    await send(aws, json.dumps({"entity_id": "shop-1", "run_id": run_id}))
    async with start(changed(config, consumers={"max_attempts": 1})) as fraudd:
        failed = await fraudd.ended("shop-1")
        await fraudd.jobs("failed")
    assert failed["error"]["type"] == "exhausted"
    assert [reason for reason, _ in await dead_letters(aws)] == ["exhausted"]


async def test_a_run_that_waited_too_long_expires_instead_of_costing_the_database(
    start: Start, config: Config, aws: Aws
) -> None:
    run_id = new_run_id(1, 1)
    await aws.store.apply(opened("shop-1", None, run_id=run_id, now=_now() - 61_000))
    await send(aws, json.dumps({"entity_id": "shop-1", "run_id": run_id}))
    async with start(changed(config, jobs={"max_wait_seconds": 60})) as fraudd:
        failed = await fraudd.ended("shop-1")
    assert failed["error"]["type"] == "expired"
    assert await dead_letters(aws) == []


async def test_where_the_topic_is_out_the_run_stands_and_the_next_ask_publishes_it(
    start: Start, config: Config, aws: Aws
) -> None:
    async with start(config) as fraudd:
        await aws.clients.sns.delete_topic(TopicArn=aws.names.requests_arn)
        status, asked = await fraudd.ask("shop-1")
        assert (status, asked["status"]) == (202, "started")
        record = await aws.store.get("shop-1")
        assert record is not None
        assert record.published_at is None
        await _provision_again(aws)
        status, again = await fraudd.ask("shop-1")
        assert (status, again["status"]) == (202, "calculating")
        done = await fraudd.ended("shop-1")
        assert (done["status"], done["run_id"]) == ("done", asked["run_id"])


async def test_where_the_store_is_out_asking_is_answered_503_and_told_to_come_again(
    start: Start, config: Config, aws: Aws
) -> None:
    async with start(config) as fraudd:
        await aws.clients.dynamodb.delete_table(TableName=aws.names.table)
        body = {"entity_id": "shop-1"}
        async with fraudd.http.post("/v1/predictions", json=body) as answer:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) >= 1
            assert (await answer.json())["type"] == "urn:fraudd:problem:unavailable"


async def test_draining_finishes_what_is_in_hand_and_takes_nothing_more(
    start: Start, config: Config, observer: Observer, aws: Aws
) -> None:
    await observer.hold_up("shop-1")
    # With its only permit in use the daemon has no poll outstanding.
    async with start(changed(config, database={"max_connections": 1})) as fraudd:
        await fraudd.ask("shop-1")
        await observer.busy("User lock")
        fraudd.daemon.stop()
        async with fraudd.http.get("/readyz") as answer:
            assert answer.status == 503
        async with fraudd.http.get("/healthz") as answer:
            assert answer.status == 200
        assert (await fraudd.status())["state"] == "draining"
        status, late = await fraudd.ask("shop-2")
        assert (status, late["status"]) == (202, "started")
        await observer.let_go("shop-1")
        await fraudd.task
    first, second = await aws.store.get("shop-1"), await aws.store.get("shop-2")
    assert first is not None
    assert second is not None
    assert (first.state, second.state, second.attempts) == ("done", "queued", 0)
    depth = await aws.queue.depth()
    assert (depth.visible, depth.in_flight) == (1, 0)
    assert await observer.theirs() == []


async def test_what_the_outstanding_poll_brings_while_draining_is_worked_on(
    start: Start, config: Config, observer: Observer, aws: Aws
) -> None:
    async with start(changed(config, queue={"wait_seconds": 5})) as fraudd:
        while (await fraudd.status())["permits"]["in_use"] == 0:
            pass
        fraudd.daemon.stop()
        await send(aws, '{"entity_id": "shop-1"}')
        await fraudd.task
    record = await aws.store.get("shop-1")
    assert record is not None
    assert record.state == "queued"
    depth = await aws.queue.depth()
    assert (depth.visible, depth.in_flight) == (1, 0)


async def test_what_is_not_done_when_draining_ends_is_queued_again_without_an_attempt(
    start: Start, config: Config, observer: Observer, aws: Aws
) -> None:
    await observer.hold_up("shop-1")
    async with start(changed(config, consumers={"drain_seconds": 0.0})) as fraudd:
        await fraudd.ask("shop-1")
        await observer.busy("User lock")
        fraudd.daemon.stop()
        await fraudd.task
    await _given_back(aws)
    await observer.let_go("shop-1")
    async with start(config) as fraudd:
        assert (await fraudd.ended("shop-1"))["attempts"] == 1


async def test_a_second_signal_releases_at_once(
    start: Start, config: Config, observer: Observer, aws: Aws
) -> None:
    await observer.hold_up("shop-1")
    async with start(changed(config, consumers={"drain_seconds": 3600.0})) as fraudd:
        await fraudd.ask("shop-1")
        await observer.busy("User lock")
        fraudd.daemon.stop()
        fraudd.daemon.stop()
        await fraudd.task
    await _given_back(aws)
    await observer.let_go("shop-1")


async def test_the_metrics_tell_what_happened(start: Start, config: Config) -> None:
    async with start(config) as fraudd:
        await fraudd.ask("shop-1")
        await fraudd.jobs("done")
        async with fraudd.http.get("/v1/predictions/shop-1/nope") as answer:
            assert answer.status == 404
        async with fraudd.http.get("/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            text = await answer.text()
    for sample in (
        'fraudd_jobs_total{outcome="done"} 1.0',
        "fraudd_receives_total 1.0",
        "fraudd_deletes_total 1.0",
        'fraudd_permits{kind="limit"} 2.0',
        "fraudd_database_connections 1.0",
        'fraudd_run_seconds_count{phase="database"} 1.0',
        "fraudd_score_count 1.0",
        'fraudd_http_request_seconds_count{method="POST",route="/v1/predictions",status="202"} 1.0',
        'fraudd_http_request_seconds_count{method="other",route="unknown",status="404"} 1.0',
        'fraudd_queue_messages{kind="visible"}',
        "process_resident_memory_bytes",
    ):
        assert sample in text


async def _given_back(aws: Aws) -> None:
    record = await aws.store.get("shop-1")
    assert record is not None
    assert (record.state, record.attempts, record.worker) == ("queued", 0, None)
    depth = await aws.queue.depth()
    assert (depth.visible, depth.in_flight) == (1, 0)


async def _provision_again(aws: Aws) -> None:
    await provision(aws.clients, aws.names.table, visibility_timeout_seconds=30)


def _now() -> int:
    return SystemClock().now()
