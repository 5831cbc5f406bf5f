"""Checks of the queues: main, bulk and dead-letter."""

from collections.abc import Iterator
from dataclasses import dataclass

from fraudd.aws.provisioning import describe
from fraudd.aws.provisioning.describe import Absent
from fraudd.aws.provisioning.resources import (
    DEAD_LETTER_RETENTION_SECONDS,
    MAX_RECEIVE_COUNT,
    RETENTION_SECONDS,
)
from fraudd.aws.provisioning.states import QueueState
from fraudd.aws.session import Clients
from fraudd.commands.check.findings import Finding, Findings, failed, ok, warning
from fraudd.config import Config, schema

_DAY_SECONDS = 24 * 3600
#: Deploys and killed instances count as receives. A lower maximum would dead-letter messages that
#: crashed no process.
_MIN_RECEIVES = 5
#: Above the size of any message with SNS's envelope, or with the attributes of a dead letter.
_LARGEST_MESSAGE_BYTES = 8 * 1024
#: Its policy, which nobody can change, allows no other service to use it:
#: https://docs.aws.amazon.com/sns/latest/dg/sns-enable-encryption-for-topic-sqs-queue-subscriptions.html
_AWS_KEY = "alias/aws/sqs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """The queues of the installation."""

    main: QueueState
    #: No topic may send to these.
    others: list[QueueState]


async def check_queues(settings: Config, clients: Clients, findings: Findings) -> Queues | None:
    """Check all queues, and return them, or None if the main queue is not visible."""
    queue = await _check_exists(clients, "queue", settings.queue.url, "[queue] url", findings)
    if queue is None:
        return None
    findings.add(*judge_queue("queue", queue, fed_by_topic=True))
    findings.add(*judge_source("queue", queue, settings.queue))
    # The redrive policy of the main queue may be the only place that names a dead-letter queue.
    findings.add(judge_redrive("queue", queue, required=settings.queue.dead_letter_url is None))
    sources = [queue]
    bulk = await _check_bulk_queue(settings, clients, queue, findings)
    if bulk is not None:
        sources.append(bulk)
    dead = await _find_dead_letter_queue(settings, clients, queue, findings)
    if dead is not None:
        findings.add(*judge_queue("dead-letter queue", dead, fed_by_topic=False))
        findings.add(*judge_dead_letters(dead, sources))
    candidates = [*sources, *([] if dead is None else [dead])]
    others = [candidate for candidate in candidates if candidate.arn != queue.arn]
    return Queues(main=queue, others=others)


async def _check_bulk_queue(
    settings: Config, clients: Clients, queue: QueueState, findings: Findings
) -> QueueState | None:
    if (url := settings.queue.bulk_url) is None:
        return None
    bulk = await _check_exists(clients, "bulk queue", url, "[queue] bulk_url", findings)
    if bulk is None:
        return None
    if bulk.arn == queue.arn:
        findings.add(
            failed(
                "bulk queue: is the same queue as [queue] url",
                fix="name another queue in [queue] bulk_url",
            )
        )
        return None
    findings.add(*judge_queue("bulk queue", bulk, fed_by_topic=False))
    findings.add(*judge_source("bulk queue", bulk, settings.queue))
    findings.add(judge_redrive("bulk queue", bulk, required=False))
    return bulk


async def _check_exists(
    clients: Clients, label: str, url: str, key: str, findings: Findings
) -> QueueState | None:
    queue = None
    with findings.caught(f"{label}: {url}: "):
        try:
            queue = await describe.queue(clients, url)
        except Absent:
            findings.add(
                failed(
                    f"{label}: {url} does not exist at {clients.where}",
                    fix=f"run 'fraudd provision', or correct {key}",
                )
            )
        else:
            findings.add(ok(f"{label}: {url}"))
    return queue


async def _find_dead_letter_queue(
    settings: Config, clients: Clients, queue: QueueState, findings: Findings
) -> QueueState | None:
    url = settings.queue.dead_letter_url
    if url is None and (arn := queue.dead_letter_arn) is not None:
        with findings.caught("dead-letter queue: "):
            try:
                url = await describe.queue_url(clients, arn)
            except Absent:
                findings.add(
                    failed(
                        f"dead-letter queue: the queue's redrive policy names {arn}, which does"
                        " not exist",
                        fix="run 'fraudd provision'",
                    )
                )
    if url is None:
        return None  # judge_redrive() or the lines above reported it
    key = "[queue] dead_letter_url"
    return await _check_exists(clients, "dead-letter queue", url, key, findings)


def judge_queue(label: str, queue: QueueState, *, fed_by_topic: bool) -> Iterator[Finding]:
    """Judge the attributes that every queue needs: type, encryption, delay, message size."""
    if queue.fifo:
        yield failed(
            f"{label}: {queue.name} is a FIFO queue; fraudd needs a standard queue",
            fix="create a standard queue, and correct [queue]",
        )
    yield _judge_encryption(label, queue, fed_by_topic=fed_by_topic)
    if queue.delay_seconds:
        yield warning(
            f"{label}: delays every message by {queue.delay_seconds} s",
            fix="set DelaySeconds to 0",
        )
    if queue.largest_message_bytes < _LARGEST_MESSAGE_BYTES:
        yield failed(
            f"{label}: rejects messages over {queue.largest_message_bytes:,} bytes",
            fix=f"set MaximumMessageSize to {_LARGEST_MESSAGE_BYTES} or more",
        )


def judge_source(
    label: str, queue: QueueState, configured: schema.QueueSection
) -> Iterator[Finding]:
    """Judge the visibility timeout and the retention of a queue that fraudd polls."""
    actual, expected = queue.visibility_timeout_seconds, configured.visibility_timeout_seconds
    if actual == expected:
        yield ok(f"{label}: visibility timeout {actual} s")
    else:
        yield warning(
            f"{label}: its visibility timeout is {actual} s, but fraudd uses {expected} s for the"
            " messages that it receives",
            fix=f"set VisibilityTimeout to {expected}, or change [queue]"
            " visibility_timeout_seconds",
        )
    if queue.retention_seconds < _DAY_SECONDS:
        yield warning(
            f"{label}: keeps messages for only {_days(queue.retention_seconds)}; a longer outage"
            " loses requests of other services",
            fix=f"set MessageRetentionPeriod to {RETENTION_SECONDS}",
        )


def judge_redrive(label: str, queue: QueueState, *, required: bool) -> Finding:
    """Judge the redrive policy. It is ``required`` if the configuration names no other queue."""
    receives = queue.max_receive_count
    if receives is None:
        return (failed if required else warning)(
            f"{label}: no redrive policy, so a poison message would be redelivered forever",
            fix=f"set maxReceiveCount to {MAX_RECEIVE_COUNT}, or run 'fraudd provision'",
        )
    if receives < _MIN_RECEIVES:
        return warning(
            f"{label}: SQS dead-letters a message after {receives} receives; restarts alone can"
            " cause that many",
            fix=f"set maxReceiveCount to {MAX_RECEIVE_COUNT}, or at least {_MIN_RECEIVES}",
        )
    return ok(f"{label}: SQS dead-letters a message after {receives} receives")


def judge_dead_letters(dead: QueueState, sources: list[QueueState]) -> Iterator[Finding]:
    """Judge the attributes that only a dead-letter queue needs, for its source queues."""
    for source in sources:
        if dead.arn == source.arn:
            yield failed(
                f"dead-letter queue: {dead.name} is a queue that fraudd polls",
                fix="name another queue in [queue] dead_letter_url",
            )
            return
        if source.dead_letter_arn not in (None, dead.arn):
            yield warning(
                f"dead-letter queue: SQS moves messages of {source.name} to"
                f" {source.dead_letter_arn}, but fraudd sends dead letters to {dead.arn}, the only"
                " one that 'fraudd dlq' reads",
                fix="remove [queue] dead_letter_url",
            )
    if dead.dead_letter_arn is not None:
        yield warning(
            "dead-letter queue: has a redrive policy itself; every 'fraudd dlq' counts as a"
            " receive, until SQS moves the message away",
            fix="remove its redrive policy",
        )
    yield _judge_retention(dead, max(sources, key=lambda source: source.retention_seconds))


def _judge_retention(dead: QueueState, source: QueueState) -> Finding:
    periods = (
        f"keeps messages for {_days(dead.retention_seconds)}, {source.name} for"
        f" {_days(source.retention_seconds)}"
    )
    if dead.retention_seconds > source.retention_seconds:
        return ok(f"dead-letter queue: {periods}")
    return failed(
        f"dead-letter queue: {periods}; a message keeps its age when SQS moves it, so it may"
        " expire at once",
        fix=f"set MessageRetentionPeriod to {DEAD_LETTER_RETENTION_SECONDS} here, and to"
        f" {RETENTION_SECONDS} in {source.name}",
    )


def _judge_encryption(label: str, queue: QueueState, *, fed_by_topic: bool) -> Finding:
    key = queue.kms_key
    if fed_by_topic and key is not None and key.endswith(_AWS_KEY):
        return failed(
            f"{label}: encrypted by {_AWS_KEY}, a key that no topic may use, so nothing arrives",
            fix="set SqsManagedSseEnabled, or use your own key whose policy allows"
            " sns.amazonaws.com kms:GenerateDataKey and kms:Decrypt",
        )
    if key is not None:
        condition = "; its policy must allow sns.amazonaws.com to use it" if fed_by_topic else ""
        return ok(f"{label}: encrypted by {key}{condition}")
    if queue.managed_encryption:
        return ok(f"{label}: encrypted by SQS")
    return warning(f"{label}: not encrypted at rest", fix="set SqsManagedSseEnabled to true")


def _days(seconds: int) -> str:
    if seconds % _DAY_SECONDS == 0:
        days = seconds // _DAY_SECONDS
        return f"{days} day{'s'[: days != 1]}"
    return f"{seconds / 3600:.3g} hours"
