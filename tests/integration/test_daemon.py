"""What callers, subscribers and operators see of a daemon on real components."""

import asyncio
import json
import logging
import time
from collections import Counter
from pathlib import Path

import pytest

from fraudd.aws.provisioning.apply import provision
from fraudd.clock import SystemClock
from fraudd.config import Config
from fraudd.prediction.formats import new_ulid
from fraudd.prediction.record import SKEW_MARGIN_MS
from fraudd.prediction.transitions import claimed, failed, opened, unpublished
from fraudd.web.openapi.problem_types import PROBLEMS_URL
from tests.stack.aws import Aws
from tests.stack.daemon import Fraudd, Start, changed
from tests.stack.features import FEATURES
from tests.stack.observer import Observer
from tests.stack.subscriber import Inbox, subscribed


async def send(aws: Aws, body: str, **attributes: str) -> None:
    await aws.clients.sqs.send_message(
        QueueUrl=aws.names.queue_url,
        MessageBody=body,
        MessageAttributes={
            f"fraudd.{name}": {"DataType": "String", "StringValue": value}
            for name, value in attributes.items()
        },
    )


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
        timing = result["timing_ms"]
        phases = {"waited", "claiming", "connecting", "database", "model", "total"}
        assert timing.keys() == {*phases, "files"}
        assert timing["total"] >= timing["database"] > 0
        assert timing["files"].keys() == {f"{name}.sql" for name in FEATURES}
        assert timing["database"] >= timing["files"]["gate.sql"]
        for phase in phases:
            assert fraudd.sample("fraudd_run_seconds_count", phase=phase) == 1
        assert fraudd.sample("fraudd_feature_file_seconds_count", file="known.sql") == 1
        values = {"known": 1.0, "gate": 1.0, "size": 6.0, "things": 0.0}
        for reason in result["reasons"]:
            assert reason["value"] == values.get(reason["feature"])
            assert reason["text"]
        assert await fraudd.ask("shop-1") == (200, done)
        [announced] = await completions.take(1)
    assert announced["type"] == "fraudd.prediction.done"
    assert announced["source"] == f"urn:fraudd:{config.results.table}"
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
        received = fraudd.sample("fraudd_receives_total")
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
        assert status["permits"] == {"max": 2, "limit": 2, "in_use": 2}
        assert {job["phase"] for job in status["runs"]} == {"database"}
        for shop in held:
            await observer.let_go(shop)
        for shop in held:
            assert (await fraudd.ended(shop))["attempts"] == 1


async def test_one_poll_brings_ten_messages_at_most_however_many_permits_there_are(
    start: Start, config: Config, observer: Observer
) -> None:
    held = [f"shop-{n}" for n in range(12)]
    for shop in held:
        await observer.hold_up(shop)
    async with start(changed(config, database={"max_connections": 12})) as fraudd:
        for shop in held:
            await fraudd.ask(shop)
        async with asyncio.timeout(10):
            while (await fraudd.status())["consumers"]["busy"] < 12:
                pass
        for shop in held:
            await observer.let_go(shop)
        for shop in held:
            assert (await fraudd.ended(shop))["status"] == "done"


async def test_each_claim_has_a_token_of_its_own(
    start: Start, config: Config, observer: Observer, aws: Aws
) -> None:
    held = ["shop-1", "shop-2"]
    for shop in held:
        await observer.hold_up(shop)
    async with start(config) as fraudd:
        for shop in held:
            await fraudd.ask(shop)
        async with asyncio.timeout(10):
            while len(await observer.at("User lock")) < 2:
                pass
        records = [await aws.store.get(shop) for shop in held]
        workers = {record.worker for record in records if record is not None}
        assert len(workers - {None}) == 2
        for shop in held:
            await observer.let_go(shop)


async def test_a_stored_result_has_all_features_and_a_time_to_live(
    start: Start, config: Config, aws: Aws
) -> None:
    async with start(config) as fraudd:
        await fraudd.ask("shop-1")
        await fraudd.ask("nobody-1")
        await fraudd.ended("shop-1")
        await fraudd.ended("nobody-1")
    done, failed = await aws.store.get("shop-1"), await aws.store.get("nobody-1")
    assert done is not None
    assert failed is not None
    assert done.result is not None
    assert done.result["features"] == {
        "known": 1.0,
        "gate": 1.0,
        "pace": None,
        "size": 6.0,
        "things": 0.0,
        "nothing": None,
    }
    day = 24 * 3600
    assert done.expires_at == (done.finished_at or 0) // 1000 + 90 * day
    assert failed.expires_at == (failed.finished_at or 0) // 1000 + 7 * day


async def test_a_run_over_its_deadline_is_cut_off(
    start: Start, config: Config, observer: Observer
) -> None:
    config = changed(config, consumers={"max_attempts": 1, "run_timeout_seconds": 0.2})
    await observer.slow_down("shop-1")
    async with start(config) as fraudd:
        await fraudd.ask("shop-1")
        failed = await fraudd.ended("shop-1")
    assert failed["error"]["type"] == "too_slow"
    assert failed["error"]["detail"].startswith("pace.sql: ")
    assert await observer.theirs() == []


async def test_an_entity_unknown_to_a_replica_is_looked_for_again_when_it_has_caught_up(
    start: Start, config: Config, observer: Observer
) -> None:
    replica = {"replica_lag_seconds": 0.5}
    config = changed(config, database=replica, consumers={"max_attempts": 1})
    async with start(config) as fraudd:
        # Named by no feature file as known until it is there.
        await fraudd.ask("late-1")
        await fraudd.jobs("retried")
        unknown = await fraudd.ended("late-1")
        await fraudd.jobs("failed")
        assert (unknown["error"]["type"], unknown["error"]["attempts"]) == ("entity_unknown", 1)
        received = fraudd.sample("fraudd_receives_total")
    assert received == 2


async def test_a_run_that_is_to_be_tried_again_waits_in_the_record_and_in_the_queue(
    start: Start, config: Config, observer: Observer, aws: Aws
) -> None:
    far = {"backoff_base_seconds": 40_000.0, "backoff_max_seconds": 40_000.0}
    config = changed(
        config,
        database={"query_timeout_seconds": 0.1},
        runs=far,
        sweeper={"requeue_after_seconds": 50_000},
    )
    await observer.slow_down("shop-1")
    async with start(config) as fraudd:
        await fraudd.ask("shop-1")
        await fraudd.jobs("retried")
        record = await aws.store.get("shop-1")
        assert record is not None
        assert (record.state, record.attempts) == ("queued", 1)
        assert record.not_before is not None
        waits = (record.not_before - _now()) / 1000
        assert waits <= 40_000
        if waits > 2:  # all but one in 20,000 draws
            depth = await aws.queue.depth()
            assert (depth.visible, depth.in_flight) == (0, 1)


async def test_the_configured_age_holds_where_none_is_asked_for(
    start: Start, config: Config
) -> None:
    async with start(changed(config, http={"default_max_age_seconds": 0})) as fraudd:
        await fraudd.ask("shop-1")
        first = await fraudd.ended("shop-1")
        assert (await fraudd.ask("shop-1", max_age_seconds=3600))[0] == 200
        status, again = await fraudd.ask("shop-1")
        assert (status, again["status"]) == (202, "started")
        assert again["run_id"] != first["run_id"]


async def test_the_estimate_follows_how_long_runs_take(start: Start, config: Config) -> None:
    async with start(changed(config, database={"max_connections": 1})) as fraudd:
        assert (await fraudd.status())["estimated_seconds"] > 1
        for n in range(10):
            await fraudd.ask(f"shop-{n}")
        await fraudd.jobs("done", 10)
        assert (await fraudd.status())["estimated_seconds"] == 1


async def test_after_a_failure_callers_are_told_how_long_it_is_until_a_new_run(
    start: Start, config: Config, aws: Aws
) -> None:
    run_id, then = new_ulid(1, 1), _now() - 30_000
    queued = (await aws.store.apply(opened("shop-1", None, run_id=run_id, now=then))).record
    assert queued is not None
    verdict = dict.fromkeys(("requested_at", "started_at", "finished_at"), then)
    told = {"type": "too_slow", "detail": "d", "attempts": 1}
    error = {**verdict, **told, "run_id": run_id, "expires_at": then // 1000 + 600}
    await aws.store.apply(failed(queued, error=error, now=then, next_run_id=new_ulid(1, 9)))
    body = {"entity_id": "shop-1"}
    async with start(config) as fraudd, fraudd.http.post("/v1/predictions", json=body) as answer:
        assert (await answer.json())["status"] == "failed"
        assert 1 <= int(answer.headers["Retry-After"]) <= 30


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
    await observer.slow_down("shop-1")
    async with start(changed(config, consumers={"max_attempts": 2})) as fraudd:
        _, asked = await fraudd.ask("shop-1")
        for outcome in ("retried", "failed"):
            await observer.rows(f"KILL QUERY {await observer.busy('User sleep')}")
            await fraudd.jobs(outcome)
        failed = await fraudd.ended("shop-1")
        assert failed["status"] == "failed"
        assert failed["error"]["type"] == "query_killed"
        assert failed["error"]["detail"].startswith("pace.sql: ")
        assert failed["error"]["attempts"] == 2
        assert (await aws.queue.depth()).in_flight == 0
    [(reason, body)] = await dead_letters(aws)
    assert reason == "query_killed"
    assert json.loads(body)["run_id"] == asked["run_id"]


async def test_a_run_past_its_deadline_for_the_second_time_is_too_slow_for_good(
    start: Start, config: Config, observer: Observer, aws: Aws
) -> None:
    await observer.slow_down("shop-1")
    async with start(changed(config, database={"query_timeout_seconds": 0.2})) as fraudd:
        await fraudd.ask("shop-1")
        failed = await fraudd.ended("shop-1")
        assert (failed["error"]["type"], failed["error"]["attempts"]) == ("too_slow", 2)
        assert failed["error"]["detail"].startswith("pace.sql: ")
        await fraudd.jobs("failed")
    assert await dead_letters(aws) == []


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
        await observer.rows("RENAME TABLE things TO gone")
        await fraudd.ask("shop-1")
        await fraudd.breaker("outage")
        # Requests do not need the database.
        await ready(fraudd, 200)
        for n in range(2, 6):
            await fraudd.ask(f"shop-{n}")
        record = await aws.store.get("shop-1")
        assert record is not None
        assert (record.state, record.attempts) == ("running", 1)
        # A poll that was out when the breaker opened may have brought another one.
        jobs = (await fraudd.status())["runs"]
        assert [job["phase"] for job in jobs if job["entity_id"] == "shop-1"] == ["database"]
        assert len(jobs) <= config.database.max_connections
        await observer.rows("RENAME TABLE gone TO things")
        for n in range(1, 6):
            done = await fraudd.ended(f"shop-{n}")
            assert (done["status"], done["attempts"]) == ("done", 1)
        await fraudd.jobs("done", 5)
        assert fraudd.sample("fraudd_receives_total") == 5


@pytest.mark.parametrize(("entity_id", "status"), [("shop-1", "done"), ("nobody-1", "failed")])
async def test_what_cannot_be_announced_is_stored_and_announced_once_it_can_be(
    start: Start, config: Config, aws: Aws, entity_id: str, status: str
) -> None:
    async with start(config) as fraudd:
        await aws.clients.sns.delete_topic(TopicArn=aws.names.completions_arn)
        await fraudd.ask(entity_id)
        await fraudd.breaker("outage")
        assert (await fraudd.look_up(entity_id))[1]["status"] == status
        assert (await aws.queue.depth()).in_flight == 1
        assert fraudd.sample("fraudd_messages_total", outcome=status) == 0
        await _provision_again(aws)
        await fraudd.jobs(status)
        depth = await aws.queue.depth()
        assert (depth.visible, depth.in_flight) == (0, 0)


async def test_what_could_not_be_announced_by_the_time_of_a_stop_is_visible_at_once(
    start: Start, config: Config, aws: Aws
) -> None:
    async with start(changed(config, consumers={"drain_seconds": 0})) as fraudd:
        await aws.clients.sns.delete_topic(TopicArn=aws.names.completions_arn)
        await fraudd.ask("shop-1")
        await fraudd.breaker("outage")
        fraudd.daemon.stop()
        await fraudd.task
    depth = await aws.queue.depth()
    assert (depth.visible, depth.in_flight) == (1, 0)


async def test_what_cannot_be_stored_is_not_announced_and_its_message_kept(
    start: Start, config: Config, aws: Aws, observer: Observer, completions: Inbox
) -> None:
    await observer.hold_up("shop-1")
    async with start(config) as fraudd:
        await fraudd.ask("shop-1")
        await observer.busy("User lock")
        await _drop_table(aws)
        await observer.let_go("shop-1")
        await fraudd.breaker("outage")
        depth = await aws.queue.depth()
        assert (depth.visible, depth.in_flight) == (0, 1)
    assert await completions.rest() == []


async def test_what_cannot_be_queued_again_in_the_record_stays_hidden_in_the_queue(
    start: Start, config: Config, aws: Aws, observer: Observer
) -> None:
    config = changed(config, database={"query_timeout_seconds": 1.0})
    await observer.slow_down("shop-1")
    async with start(config) as fraudd:
        await fraudd.ask("shop-1")
        await observer.busy("User sleep")
        await _drop_table(aws)
        await fraudd.breaker("outage")
        depth = await aws.queue.depth()
        assert (depth.visible, depth.in_flight) == (0, 1)


async def test_whoever_lost_the_claim_stores_announces_and_deletes_nothing(
    start: Start, config: Config, aws: Aws, observer: Observer, completions: Inbox
) -> None:
    await observer.hold_up("shop-1")
    async with start(config) as fraudd:
        await fraudd.ask("shop-1")
        await observer.busy("User lock")
        await _steal(aws)
        await observer.let_go("shop-1")
        await fraudd.jobs("superseded")
        after = await aws.store.get("shop-1")
        assert after is not None
        assert (after.state, after.worker, after.result) == ("running", "thief", None)
        assert (await aws.queue.depth()).in_flight == 1
    assert await completions.rest() == []


async def test_whoever_lost_the_claim_does_not_touch_its_message_when_it_fails_either(
    start: Start, config: Config, aws: Aws, observer: Observer
) -> None:
    config = changed(config, database={"query_timeout_seconds": 1.0})
    await observer.slow_down("shop-1")
    async with start(config) as fraudd:
        await fraudd.ask("shop-1")
        await observer.busy("User sleep")
        await _steal(aws)
        await fraudd.jobs("superseded")
        depth = await aws.queue.depth()
        assert (depth.visible, depth.in_flight) == (0, 1)


async def test_an_error_of_fraudds_own_costs_its_message_no_more_than_time(
    start: Start, config: Config, aws: Aws
) -> None:
    async with start(config) as fraudd:
        run_id = new_ulid(1, 1)
        await aws.store.apply(opened("shop-1", None, run_id=run_id, now=_now()))
        await aws.clients.dynamodb.update_item(
            TableName=aws.names.table,
            Key={"entity_id": {"S": "shop-1"}},
            UpdateExpression="SET #result = :nonsense",
            ExpressionAttributeNames={"#result": "result"},
            ExpressionAttributeValues={":nonsense": {"S": "{"}},
        )
        await send(aws, json.dumps({"entity_id": "shop-1", "run_id": run_id}))
        await fraudd.jobs("bug")
        assert (await aws.queue.depth()).in_flight == 1
        await fraudd.ask("shop-2")
        assert (await fraudd.ended("shop-2"))["status"] == "done"


async def test_a_queue_out_of_reach_stops_the_runs_and_leaves_the_daemon_ready(
    start: Start, config: Config, aws: Aws
) -> None:
    async with start(config) as fraudd:
        await aws.clients.sqs.delete_queue(QueueUrl=aws.names.queue_url)
        await fraudd.breaker("outage")
        assert (await fraudd.status())["blocked_by"].startswith("queue: ")
        assert fraudd.sample("fraudd_blocked") == 1
        await ready(fraudd, 200)
        await _provision_again(aws)
        await fraudd.breaker("closed")
        await fraudd.ask("shop-1")
        assert (await fraudd.ended("shop-1"))["status"] == "done"


async def test_a_password_that_is_gone_is_an_outage_and_no_fault_of_the_run(
    start: Start, config: Config, observer: Observer
) -> None:
    async with start(changed(config, database={"idle_seconds": 0.01})) as fraudd:
        password = Path(config.database.password_credential or "")
        hidden = password.rename(password.with_name("hidden"))
        async with asyncio.timeout(10):
            while (await fraudd.status())["database_connections"]:
                pass
        await fraudd.ask("shop-1")
        await fraudd.breaker("outage")
        hidden.rename(password)
        done = await fraudd.ended("shop-1")
        assert (done["status"], done["attempts"]) == ("done", 1)


async def test_a_malformed_message_goes_to_the_dead_letter_queue_at_its_first_receive(
    start: Start, config: Config, aws: Aws
) -> None:
    await send(aws, "nonsense")
    async with start(config) as fraudd:
        await fraudd.jobs("malformed")
        assert fraudd.sample("fraudd_receives_total") == 1
        assert fraudd.sample("fraudd_dead_lettered_total", reason="malformed") == 1
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
        # Drained, not cut off: a poll that is cut off may still take the next message.
        fraudd.daemon.stop()
        await fraudd.task
    await aws.store.apply(opened("shop-2", None, run_id=new_ulid(1, 1), now=1))
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
    start: Start, config: Config, aws: Aws, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fraudd")
    run_id = new_ulid(1, 1)
    await send(aws, json.dumps({"entity_id": "shop-1"}), run_id=run_id)
    async with start(config) as fraudd:
        await fraudd.jobs("superseded")
    depth = await aws.queue.depth()
    assert (depth.visible, depth.in_flight) == (0, 0)
    [line] = [one for one in caplog.records if one.getMessage() == "message.dropped"]
    told = line.__dict__["fields"]
    assert (told["entity_id"], told["run_id"], told["reason"]) == ("shop-1", run_id, "superseded")


async def test_a_run_id_of_another_service_is_no_reason_to_drop_its_request(
    start: Start, config: Config, aws: Aws
) -> None:
    theirs = {"shop-1": new_ulid(1, 1), "shop-2": "0c9a7e1e-7c6b-4f0e-9d52-5f7f3b7d2a11"}
    for entity_id, run_id in theirs.items():
        await send(aws, json.dumps({"entity_id": entity_id, "run_id": run_id}))
    async with start(config) as fraudd:
        await fraudd.jobs("opened", 2)
        for entity_id in theirs:
            assert (await fraudd.ended(entity_id))["status"] == "done"
    assert await dead_letters(aws) == []


async def test_a_run_whose_process_died_is_taken_over_once_its_lease_is_dead(
    start: Start, config: Config, aws: Aws
) -> None:
    run_id = new_ulid(1, 1)
    queued = (await aws.store.apply(opened("shop-1", None, run_id=run_id, now=1))).record
    assert queued is not None
    await aws.store.apply(claimed(queued, worker="dead", now=1, lease_until=1))
    await send(aws, json.dumps({"entity_id": "shop-1", "run_id": run_id}))
    async with start(config) as fraudd:
        done = await fraudd.ended("shop-1")
    assert (done["status"], done["run_id"], done["attempts"]) == ("done", run_id, 1)
    record = await aws.store.get("shop-1")
    assert record is not None
    assert record.deaths == 1


async def test_a_run_that_another_daemon_works_on_is_left_to_it_while_its_lease_lives(
    start: Start, config: Config, aws: Aws
) -> None:
    async with start(config) as fraudd:
        run_id, now = new_ulid(1, 1), _now()
        queued = (await aws.store.apply(opened("shop-1", None, run_id=run_id, now=now))).record
        assert queued is not None
        lease = now + 3_000 - SKEW_MARGIN_MS
        await aws.store.apply(claimed(queued, worker="busy", now=now, lease_until=lease))
        await send(aws, json.dumps({"entity_id": "shop-1", "run_id": run_id}))
        await fraudd.jobs("released_before_run")
        record = await aws.store.get("shop-1")
        assert record is not None
        assert record.worker == "busy"
        # Nobody renews the lease: once it is dead the run is taken over.
        assert (await fraudd.ended("shop-1"))["status"] == "done"
        record = await aws.store.get("shop-1")
        assert record is not None
        assert record.deaths == 1


async def test_a_run_that_nobody_could_end_is_given_up(
    start: Start, config: Config, aws: Aws
) -> None:
    run_id = new_ulid(1, 1)
    record = (await aws.store.apply(opened("shop-1", None, run_id=run_id, now=1))).record
    for claim in ("dead", "dead too", "dead alone"):
        assert record is not None
        died = claimed(record, worker=claim, now=1, lease_until=1)
        record = (await aws.store.apply(died)).record
    await send(aws, json.dumps({"entity_id": "shop-1", "run_id": run_id}))
    async with start(changed(config, consumers={"max_attempts": 1})) as fraudd:
        failed = await fraudd.ended("shop-1")
        await fraudd.jobs("failed")
    assert failed["error"]["type"] == "exhausted"
    assert [reason for reason, _ in await dead_letters(aws)] == ["exhausted"]


async def test_a_run_that_waited_too_long_expires_instead_of_costing_the_database(
    start: Start, config: Config, aws: Aws
) -> None:
    run_id = new_ulid(1, 1)
    await aws.store.apply(opened("shop-1", None, run_id=run_id, now=_now() - 61_000))
    await send(aws, json.dumps({"entity_id": "shop-1", "run_id": run_id}))
    async with start(changed(config, runs={"max_wait_seconds": 60})) as fraudd:
        failed = await fraudd.ended("shop-1")
    assert failed["error"]["type"] == "expired"
    assert await dead_letters(aws) == []


async def test_who_asks_while_a_run_may_have_read_already_is_served_by_the_next(
    start: Start, config: Config, aws: Aws, observer: Observer, completions: Inbox
) -> None:
    await observer.hold_up("shop-1")
    async with start(config) as fraudd:
        _, asked = await fraudd.ask("shop-1")
        await observer.busy("User lock")
        for _ in range(2):
            await send(aws, '{"entity_id": "shop-1"}')
        await fraudd.jobs("asked_again", 2)
        await observer.let_go("shop-1")
        await fraudd.jobs("done", 2)
        done = await fraudd.ended("shop-1")
        assert done["run_id"] != asked["run_id"]
        ends = [event["id"] for event in await completions.take(2)]
        assert ends == [asked["run_id"], done["run_id"]]
        assert fraudd.sample("fraudd_receives_total") == 4


SWEPT = {"interval_seconds": 0.05, "grace_seconds": 0.1, "requeue_after_seconds": 0.5}


async def test_a_run_whose_wake_up_is_lost_is_sent_again_and_computed(
    start: Start, config: Config, aws: Aws
) -> None:
    lost, never_sent = new_ulid(1, 1), new_ulid(1, 2)
    await aws.store.apply(opened("shop-1", None, run_id=lost, now=1))
    sent = await aws.store.apply(opened("shop-2", None, run_id=never_sent, now=_now() - 200))
    assert sent.record is not None
    await aws.store.apply(unpublished(sent.record))
    async with start(changed(config, sweeper=SWEPT)) as fraudd:
        assert (await fraudd.ended("shop-1"))["run_id"] == lost
        assert (await fraudd.ended("shop-2"))["run_id"] == never_sent
        await fraudd.jobs("done", 2)
        assert fraudd.sample("fraudd_wakeups_resent_total") >= 2
    assert await dead_letters(aws) == []


async def test_a_dead_process_is_found_by_its_lease_though_no_message_is_left(
    start: Start, config: Config, aws: Aws
) -> None:
    run_id = new_ulid(1, 1)
    queued = (await aws.store.apply(opened("shop-1", None, run_id=run_id, now=1))).record
    assert queued is not None
    await aws.store.apply(claimed(queued, worker="dead", now=1, lease_until=1))
    async with start(changed(config, sweeper=SWEPT)) as fraudd:
        assert (await fraudd.ended("shop-1"))["run_id"] == run_id


async def test_whoever_asks_to_be_forgotten_is_and_what_was_sent_before_brings_nothing_back(
    start: Start, config: Config, aws: Aws, observer: Observer, completions: Inbox
) -> None:
    await observer.hold_up("shop-1")
    async with start(config) as fraudd:
        await fraudd.ask("shop-1")
        await observer.busy("User lock")
        assert await forget(fraudd, "shop-1") == 204
        assert (await fraudd.look_up("shop-1"))[0] == 404
        await send(aws, '{"entity_id": "shop-1"}')
        await fraudd.jobs("entity_deleted")
        await observer.let_go("shop-1")
        await fraudd.jobs("superseded")
        record = await aws.store.get("shop-1")
        assert record is not None
        assert (record.state, record.result, record.listed) == ("deleted", None, None)
        assert record.expires_at is not None
        assert await forget(fraudd, "shop-nobody-knows") == 204
        status, asked = await fraudd.ask("shop-1")
        assert (status, asked["status"]) == (202, "started")
        assert (await fraudd.ended("shop-1"))["status"] == "done"
        assert [event["id"] for event in await completions.take(1)] == [asked["run_id"]]


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
        requests = await subscribed(aws, aws.names.requests_arn)
        async with asyncio.TaskGroup() as group:
            again = [group.create_task(fraudd.ask("shop-1")) for _ in range(10)]
        assert {task.result()[1]["run_id"] for task in again} == {asked["run_id"]}
        done = await fraudd.ended("shop-1")
        assert (done["status"], done["run_id"]) == ("done", asked["run_id"])
        assert len(await requests.take(1)) == 1
        assert await requests.rest() == []


async def test_where_the_store_is_out_asking_is_answered_503_and_told_to_come_again(
    start: Start, config: Config, aws: Aws
) -> None:
    async with start(config) as fraudd:
        await _drop_table(aws)
        body = {"entity_id": "shop-1"}
        async with fraudd.http.post("/v1/predictions", json=body) as answer:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) >= 1
            assert (await answer.json())["type"] == f"{PROBLEMS_URL}unavailable"


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


async def test_a_run_that_cannot_be_given_back_does_not_keep_the_daemon_from_stopping(
    start: Start, config: Config, observer: Observer, aws: Aws
) -> None:
    await observer.hold_up("shop-1")
    async with start(changed(config, consumers={"drain_seconds": 0.0})) as fraudd:
        await fraudd.ask("shop-1")
        await observer.busy("User lock")
        await _drop_table(aws)
        fraudd.daemon.stop()
        await fraudd.task
    depth = await aws.queue.depth()
    assert (depth.visible, depth.in_flight) == (0, 1)


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
        'fraudd_messages_total{outcome="done"} 1.0',
        "fraudd_receives_total 1.0",
        "fraudd_deletes_total 1.0",
        'fraudd_permits{kind="limit"} 2.0',
        "fraudd_database_connections 1.0",
        'fraudd_run_seconds_count{phase="database"} 1.0',
        "fraudd_score_count 1.0",
        'fraudd_http_request_seconds_count{method="POST",route="/v1/predictions",status="202"} 1.0',
        'fraudd_http_request_seconds_count{method="other",route="unknown",status="404"} 1.0',
        'fraudd_queue_messages{kind="visible",lane="interactive"}',
        "process_resident_memory_bytes",
    ):
        assert sample in text


async def forget(fraudd: Fraudd, entity_id: str) -> int:
    """DELETE; gives the status."""
    async with fraudd.http.delete(f"/v1/predictions/{entity_id}") as answer:
        return answer.status


async def ready(fraudd: Fraudd, status: int) -> None:
    """Wait until /readyz answers so."""
    async with asyncio.timeout(20):
        while True:
            async with fraudd.http.get("/readyz") as answer:
                if answer.status == status:
                    return


async def _steal(aws: Aws) -> None:
    """Claim the run of shop-1 as if its lease were dead."""
    record = await aws.store.get("shop-1")
    assert record is not None
    stolen = claimed(record, worker="thief", now=_now(), lease_until=_now() + 60_000)
    assert (await aws.store.apply(stolen)).done


async def _given_back(aws: Aws) -> None:
    record = await aws.store.get("shop-1")
    assert record is not None
    assert (record.state, record.attempts, record.worker) == ("queued", 0, None)
    depth = await aws.queue.depth()
    assert (depth.visible, depth.in_flight) == (1, 0)


async def _drop_table(aws: Aws) -> None:
    table = aws.names.table
    await aws.clients.dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
    await aws.clients.dynamodb.delete_table(TableName=table)


async def _provision_again(aws: Aws) -> None:
    await provision(aws.clients, aws.names.table, visibility_timeout_seconds=30)


def _now() -> int:
    return SystemClock().now()


async def test_a_loop_that_is_held_up_shows_in_the_metrics(
    start: Start, config: Config, observer: Observer
) -> None:
    await observer.hold_up("shop-1")
    async with start(config) as fraudd:
        await fraudd.ask("shop-1")
        async with asyncio.timeout(20):
            while fraudd.sample("fraudd_event_loop_lag_seconds") < 0.25:
                await fraudd.status()
                time.sleep(0.3)  # noqa: ASYNC251 - the daemon shares this loop
        assert b"\nfraudd_event_loop_lag_seconds 0." in fraudd.metrics.exposition()
        await observer.let_go("shop-1")
        await fraudd.ended("shop-1")
