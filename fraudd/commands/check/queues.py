"""The part of ``fraudd check`` that looks at the queues: main, bulk and dead-letter."""

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
#: A process that dies over and over is to have taken a message so often before SQS moves it:
#: deploys and killed instances count, too.
_FEWEST_RECEIVES = 5
#: A message with SNS's envelope, or with the reason of a dead letter on it, has 3 KiB at most.
_LARGEST_MESSAGE_BYTES = 8 * 1024
#: Its policy, which nobody can change, lets no other service use it:
#: https://docs.aws.amazon.com/sns/latest/dg/sns-enable-encryption-for-topic-sqs-queue-subscriptions.html
_AWS_KEY = "alias/aws/sqs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """The queues that were seen."""

    main: QueueState
    #: Those that no topic is to feed.
    others: list[QueueState]


async def see_queues(settings: Config, clients: Clients, findings: Findings) -> Queues | None:
    """Look at all queues; None where the main one cannot be seen."""
    queue = await _see(clients, "queue", settings.queue.url, "[queue] url", findings)
    if queue is None:
        return None
    findings.add(*judge_queue("queue", queue, fed_by_topic=True))
    findings.add(*judge_source("queue", queue, settings.queue))
    # fraudd sends both queues' dead letters to one, which it may know from the first alone.
    findings.add(judge_redrive("queue", queue, vital=settings.queue.dead_letter_url is None))
    sources = [queue]
    if (url := settings.queue.bulk_url) is not None:
        bulk = await _see(clients, "bulk queue", url, "[queue] bulk_url", findings)
        if bulk is not None and bulk.arn == queue.arn:
            findings.add(failed("bulk queue: is the queue itself: see [queue] bulk_url"))
        elif bulk is not None:
            findings.add(*judge_queue("bulk queue", bulk, fed_by_topic=False))
            findings.add(*judge_source("bulk queue", bulk, settings.queue))
            findings.add(judge_redrive("bulk queue", bulk, vital=False))
            sources.append(bulk)
    dead = await _dead_letter_queue(settings, clients, queue, findings)
    if dead is not None:
        findings.add(*judge_queue("dead-letter queue", dead, fed_by_topic=False))
        findings.add(*judge_dead_letters(dead, sources))
    others = [one for one in (*sources, dead) if one is not None and one.arn != queue.arn]
    return Queues(main=queue, others=others)


async def _see(
    clients: Clients, label: str, url: str, key: str, findings: Findings
) -> QueueState | None:
    seen = None
    with findings.caught(f"{label}: {url}: "):
        try:
            seen = await describe.queue(clients, url)
        except Absent:
            findings.add(failed(f"{label}: no {url} at {clients.where}: see {key}"))
        else:
            findings.add(ok(f"{label}: {url}"))
    return seen


async def _dead_letter_queue(
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
                        f"dead-letter queue: no {arn}, which the queue's redrive policy names:"
                        " create it; 'fraudd provision' does"
                    )
                )
    if url is None:
        return None  # which has been told
    return await _see(clients, "dead-letter queue", url, "[queue] dead_letter_url", findings)


def judge_queue(label: str, queue: QueueState, *, fed_by_topic: bool) -> Iterator[Finding]:
    """Judge what is the same for every queue: kind, encryption, delay, size."""
    if queue.fifo:
        yield failed(f"{label}: {queue.name} is FIFO; fraudd needs a standard queue: make one")
    yield _encryption(label, queue, fed_by_topic=fed_by_topic)
    if queue.delay_seconds:
        yield warning(
            f"{label}: holds every message back for {queue.delay_seconds} s: set DelaySeconds to 0"
        )
    if queue.largest_message_bytes < _LARGEST_MESSAGE_BYTES:
        yield failed(
            f"{label}: refuses messages over {queue.largest_message_bytes:,} bytes: set"
            f" MaximumMessageSize to {_LARGEST_MESSAGE_BYTES} at least"
        )


def judge_source(
    label: str, queue: QueueState, configured: schema.QueueSection
) -> Iterator[Finding]:
    """Judge what matters where messages are worked on: how long they are hidden, and kept."""
    own, asked = queue.visibility_timeout_seconds, configured.visibility_timeout_seconds
    if own == asked:
        yield ok(f"{label}: a received message is hidden for {own} s")
    else:
        yield warning(
            f"{label}: fraudd hides what it receives for {asked} s, but the queue's own visibility"
            f" timeout, which holds for others, is {own} s: set VisibilityTimeout to {asked}, or"
            " [queue] visibility_timeout_seconds"
        )
    if queue.retention_seconds < _DAY_SECONDS:
        yield warning(
            f"{label}: keeps messages {_days(queue.retention_seconds)} only: what other services"
            " ask for in a longer outage is lost: set MessageRetentionPeriod to"
            f" {RETENTION_SECONDS}"
        )


def judge_redrive(label: str, queue: QueueState, *, vital: bool) -> Finding:
    """Judge when SQS takes a message away; ``vital``: nothing else names a dead-letter queue."""
    most = queue.max_receive_count
    if most is None:
        return (failed if vital else warning)(
            f"{label}: no redrive policy: a message that kills each process that takes it comes"
            f" back again and again: give it one with maxReceiveCount {MAX_RECEIVE_COUNT};"
            " 'fraudd provision' does"
        )
    if most < _FEWEST_RECEIVES:
        return warning(
            f"{label}: SQS takes a message away after {most} receives, to which restarts alone may"
            f" lead: set maxReceiveCount to {MAX_RECEIVE_COUNT}, {_FEWEST_RECEIVES} at least"
        )
    return ok(f"{label}: SQS takes a message away after {most} receives")


def judge_dead_letters(dead: QueueState, sources: list[QueueState]) -> Iterator[Finding]:
    """Judge what only a dead-letter queue must be, for the queues that feed it."""
    for source in sources:
        if dead.arn == source.arn:
            yield failed(
                f"dead-letter queue: {dead.name} is itself a queue that fraudd receives from: name"
                " another one in [queue] dead_letter_url"
            )
            return
        if source.dead_letter_arn not in (None, dead.arn):
            yield warning(
                f"dead-letter queue: SQS moves messages of {source.name} to"
                f" {source.dead_letter_arn}, fraudd sends them to {dead.arn}, and 'fraudd dlq'"
                " shows the latter alone: remove [queue] dead_letter_url"
            )
    if dead.dead_letter_arn is not None:
        yield warning(
            "dead-letter queue: has a redrive policy itself: each look by 'fraudd dlq' counts as"
            " a receive, and some day a message is gone from there: remove the policy"
        )
    longest = max(sources, key=lambda source: source.retention_seconds)
    kept, before = _days(dead.retention_seconds), _days(longest.retention_seconds)
    if dead.retention_seconds <= longest.retention_seconds:
        yield failed(
            f"dead-letter queue: keeps messages {kept}, {longest.name} {before}; their age counts"
            " from the queue that they were first sent to, so that one which is moved may be gone"
            f" at once: set MessageRetentionPeriod to {DEAD_LETTER_RETENTION_SECONDS} there, and to"
            f" {RETENTION_SECONDS} in {longest.name}"
        )
    else:
        yield ok(f"dead-letter queue: keeps messages {kept}, {longest.name} {before}")


def _encryption(label: str, queue: QueueState, *, fed_by_topic: bool) -> Finding:
    key = queue.kms_key
    if fed_by_topic and key is not None and key.endswith(_AWS_KEY):
        return failed(
            f"{label}: encrypted by {_AWS_KEY}, a key that no topic may use, so nothing arrives:"
            " set SqsManagedSseEnabled, or take a key of your own whose policy lets"
            " sns.amazonaws.com kms:GenerateDataKey and kms:Decrypt"
        )
    if key is not None:
        lets = ", whose policy must let sns.amazonaws.com use it" if fed_by_topic else ""
        return ok(f"{label}: encrypted by {key}{lets}")
    if queue.managed_encryption:
        return ok(f"{label}: encrypted by SQS")
    return warning(f"{label}: not encrypted at rest: set SqsManagedSseEnabled to true")


def _days(seconds: int) -> str:
    if seconds % _DAY_SECONDS == 0:
        days = seconds // _DAY_SECONDS
        return f"{days} day{'s'[: days != 1]}"
    return f"{seconds / 3600:.3g} hours"
