"""What ``fraudd check`` makes of what it saw, where no test can make a server show it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fraudd.aws.provisioning.describe import Denied
from fraudd.aws.provisioning.states import IndexState, QueueState, Subscription, TableState
from fraudd.commands.check.credentials import judge_mode
from fraudd.commands.check.database import (
    judge_deadline,
    judge_lag,
    judge_replica,
    judge_server,
)
from fraudd.commands.check.findings import Finding, Findings, Level
from fraudd.commands.check.queues import (
    judge_dead_letters,
    judge_queue,
    judge_redrive,
    judge_source,
)
from fraudd.commands.check.regions import judge_regions
from fraudd.commands.check.table import judge_table
from fraudd.commands.check.topics import judge_subscription
from fraudd.config import Config
from fraudd.database.inspection import ServerState

DAY = 24 * 3600
ARN = "arn:aws:sqs:eu-central-1:123456789012:"
QUEUE = QueueState(
    url="https://sqs.eu-central-1.amazonaws.com/123456789012/fraudd",
    arn=f"{ARN}fraudd",
    visibility_timeout_seconds=120,
    retention_seconds=4 * DAY,
    delay_seconds=0,
    wait_seconds=20,
    largest_message_bytes=262_144,
    managed_encryption=True,
    kms_key=None,
    fifo=False,
    dead_letter_arn=f"{ARN}fraudd-dead",
    max_receive_count=10,
    policy=None,
)
DEAD = replace(
    QUEUE,
    arn=f"{ARN}fraudd-dead",
    retention_seconds=14 * DAY,
    dead_letter_arn=None,
    max_receive_count=None,
)
VITALS = ServerState(
    version="10.11.19-MariaDB",
    tls="",
    cipher="",
    max_connections=100,
    connected=10,
    running=1,
    read_only=False,
    zone_seconds=0,
    own_zone_seconds=0,
    own_zone="SYSTEM",
)
TABLE = TableState(
    status="ACTIVE",
    key=("entity_id S",),
    indexes={
        "by_state": IndexState(
            status="ACTIVE", key=("listed S", "listed_at N"), projection="KEYS_ONLY"
        )
    },
    on_demand=True,
    deletion_protection=True,
)


def config(**sections: dict[str, Any]) -> Config:
    topic = "arn:aws:sns:eu-central-1:123456789012:fraudd"
    given: dict[str, dict[str, Any]] = {
        "aws": {"region": "eu-central-1"},
        "queue": {"url": QUEUE.url},
        "topics": {"requests_arn": f"{topic}-requests", "completions_arn": f"{topic}-completions"},
        "results": {"table": "fraudd"},
        "database": {"host": "127.0.0.1", "user": "fraudd", "name": "shop"},
        "features": {"directory": "features"},
        "model": {"path": "model.ubj"},
    }
    merged = {name: given.get(name, {}) | sections.get(name, {}) for name in given | sections}
    return Config.model_validate(merged)


def wrong(findings: Any) -> list[Finding]:
    return [finding for finding in findings if finding.level != "ok"]


def test_what_is_right_is_ok() -> None:
    assert not wrong(judge_queue("queue", QUEUE, fed_by_topic=True))
    assert not wrong(judge_source("queue", QUEUE, config().queue))
    assert not wrong(judge_dead_letters(DEAD, [QUEUE]))
    assert not wrong(judge_table("fraudd", TABLE))
    assert not wrong(judge_server(config(), VITALS))
    assert not wrong(judge_regions(config()))


def test_a_key_of_ones_own_is_told_with_what_its_policy_must_say() -> None:
    own = replace(QUEUE, managed_encryption=False, kms_key="alias/fraudd")
    [finding] = judge_queue("queue", own, fed_by_topic=True)
    assert finding.level == "ok"
    assert "alias/fraudd; its policy must allow sns.amazonaws.com to use it" in finding.detail


def test_the_key_of_aws_does_where_no_topic_sends() -> None:
    dead = replace(DEAD, managed_encryption=False, kms_key="alias/aws/sqs")
    assert not wrong(judge_queue("dead-letter queue", dead, fed_by_topic=False))


@pytest.mark.parametrize(("required", "level"), [(True, "failed"), (False, "warning")])
def test_a_redrive_policy_is_required_where_nothing_else_names_a_dead_letter_queue(
    required: bool, level: Level
) -> None:
    queue = replace(QUEUE, dead_letter_arn=None, max_receive_count=None)
    assert judge_redrive("queue", queue, required=required).level == level


@pytest.mark.parametrize("hours", [1, 4 * 24, 14 * 24])
def test_dead_letters_must_be_kept_longer_than_any_queue_keeps_them(hours: int) -> None:
    dead = replace(DEAD, retention_seconds=hours * 3600)
    found = wrong(judge_dead_letters(dead, [QUEUE, replace(QUEUE, retention_seconds=60)]))
    assert [finding.level for finding in found] == ["failed"][: hours <= 96]


@pytest.mark.parametrize(
    ("table", "level", "says"),
    [
        (replace(TABLE, status="CREATING"), "failed", "fraudd is CREATING"),
        (replace(TABLE, status="UPDATING"), None, ""),
        (replace(TABLE, key=("entity_id S", "run_id S")), "failed", "entity_id S, run_id S, not"),
        (replace(TABLE, key=("entity_id N",)), "failed", "is entity_id N, not entity_id S"),
        (
            replace(TABLE, indexes={"by_state": replace(TABLE.indexes["by_state"],
                                                        status="CREATING")}),
            "failed",
            "is still being filled",
        ),
    ],
)  # fmt: skip
def test_a_table_is_judged_by_its_state_and_key(
    table: TableState, level: Level | None, says: str
) -> None:
    found = wrong(judge_table("fraudd", table))
    assert [finding.level for finding in found] == ([level] if level else [])
    assert all(says in finding.detail for finding in found)


def test_a_subscription_that_is_not_confirmed_brings_nothing() -> None:
    pending = Subscription(arn="PendingConfirmation", queue_arn=QUEUE.arn)
    [finding] = judge_subscription([pending], QUEUE, "arn:aws:sns:eu-central-1:1:fraudd-requests")
    assert finding.level == "failed"
    assert "subscribe it from the account that owns the queue" in finding.fix


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://sqs.eu-west-1.amazonaws.com/1/fraudd", "[queue] url names the region eu-west-1"),
        (
            "https://eu-west-1.queue.amazonaws.com/1/fraudd",
            "[queue] url names the region eu-west-1",
        ),
        (
            "https://vpce-0a1b.sqs.eu-west-1.vpce.amazonaws.com/1/fraudd",
            "names the region eu-west-1",
        ),
        ("https://sqs.eu-central-1.amazonaws.com/1/fraudd", None),
        ("http://127.0.0.1:4566/000000000000/fraudd", None),
    ],
)
def test_a_queue_of_another_region_is_known_by_its_url(url: str, told: str | None) -> None:
    found = wrong(judge_regions(config(queue={"url": url})))
    assert [told in finding.detail for finding in found if told] == [True] * bool(told)
    assert bool(found) == bool(told)


def test_what_is_no_arn_is_of_no_region() -> None:
    [finding] = wrong(judge_regions(config(topics={"requests_arn": "fraudd-requests"})))
    assert "[topics] requests_arn names no region" in finding.detail


@pytest.mark.parametrize(
    ("vitals", "level", "says"),
    [
        (replace(VITALS, connected=99), "warning", "99 of 100 connections in use"),
        (replace(VITALS, max_connections=3), "failed", "too many for this server"),
        (replace(VITALS, running=51), "warning", "above [database] busy_threads (50)"),
        (replace(VITALS, own_zone_seconds=3600), "warning", "the server uses +01:00"),
    ],
)
def test_a_server_is_judged_by_its_room_load_and_zone(
    vitals: ServerState, level: Level, says: str
) -> None:
    [finding] = wrong(judge_server(config(), vitals))
    assert finding.level == level
    assert says in finding.detail


def test_a_zone_that_the_server_cannot_tell_is_not_judged() -> None:
    assert not wrong(judge_server(config(), replace(VITALS, own_zone_seconds=None)))


def test_tls_is_told_with_its_version() -> None:
    first = next(judge_server(config(), replace(VITALS, tls="TLSv1.3", cipher="AES")))
    assert first.detail.endswith("TLSv1.3 (AES), verified")


def test_a_replica_that_is_said_to_be_one_is_right() -> None:
    given = config(database={"replica_lag_seconds": 5})
    assert not list(judge_replica(given, replace(VITALS, read_only=True)))


@pytest.mark.parametrize(
    ("lag", "level"),
    [(0.0, "ok"), (5.0, "ok"), (6.0, "warning"), ("stopped", "failed"), ("not shown", "ok")],
)
def test_a_replica_is_judged_by_how_far_it_lags_behind(lag: Any, level: Level) -> None:
    assert judge_lag(lag, 5.0).level == level


def test_a_server_that_keeps_no_deadline_is_not_to_be_used() -> None:
    assert judge_deadline(0.25).level == "ok"
    assert judge_deadline(1.0).level == "failed"


@pytest.mark.parametrize(
    ("path", "mode", "levels"),
    [
        ("/etc/fraudd/shop/tokens", 0o100600, []),
        ("/etc/fraudd/shop/tokens", 0o100400, []),
        ("/etc/fraudd/shop/tokens", 0o100440, ["warning"]),
        ("/etc/fraudd/shop/tokens", 0o100620, ["warning"]),
        ("/etc/fraudd/shop/tokens", 0o100604, ["failed"]),
        ("/etc/fraudd/shop/tokens", 0o100666, ["failed"]),
        # systemd's access list for the service's user shows as rights of the group.
        ("/run/credentials/fraudd@shop.service/tokens", 0o100440, []),
    ],
)
def test_a_secret_is_for_its_owner_alone(path: str, mode: int, levels: list[Level]) -> None:
    assert [one.level for one in judge_mode("tokens", Path(path), mode)] == levels


@pytest.mark.parametrize(("needed", "level"), [(True, "failed"), (False, "warning")])
def test_what_may_not_be_seen_fails_only_where_the_daemon_must_see_it(
    needed: bool, level: Level
) -> None:
    def look() -> None:
        raise Denied("dynamodb:DescribeTable", "table fraudd", daemon_needs_it=needed)

    findings = Findings(lambda _: None)
    with findings.caught("table: "):
        look()
    [finding] = findings.all
    assert finding.level == level
    assert "access denied: allow dynamodb:DescribeTable on table fraudd" in finding.detail


def test_the_summary_counts_all_levels() -> None:
    findings = Findings(lambda _: None)
    findings.add(Finding(level="ok", detail="a"), Finding(level="failed", detail="b"))
    assert findings.summary == "1 ok, 0 warning, 1 failed"
    assert findings.any_failed
