"""Checks of the topics and their subscriptions."""

from collections.abc import Iterator, Sequence

from fraudd.aws.provisioning import describe
from fraudd.aws.provisioning.describe import Absent
from fraudd.aws.provisioning.states import QueueState, Subscription
from fraudd.aws.session import Clients
from fraudd.commands.check.findings import Finding, Findings, failed, ok
from fraudd.commands.check.queue_policy import judge_policy
from fraudd.commands.check.queues import Queues
from fraudd.config import Config


async def check_topics(
    settings: Config, clients: Clients, queues: Queues | None, findings: Findings
) -> None:
    """Check both topics and, if the queues are known, their subscriptions."""
    requests, completions = settings.topics.requests_arn, settings.topics.completions_arn
    if requests == completions:
        findings.add(
            failed(
                f"topics: requests_arn and completions_arn are both {requests}, so every completion"
                " event comes back as a request",
                fix="create another topic, and correct [topics]",
            )
        )
        return
    if await _check_topic(clients, "requests", requests, findings) and queues is not None:
        main = queues.main
        findings.add(*judge_policy(main.policy, queue_arn=main.arn, topic_arn=requests))
        with findings.caught("subscription: "):
            subscriptions = await describe.subscriptions(clients, requests)
            findings.add(*judge_subscription(subscriptions, main, requests))
            findings.add(*judge_strays(subscriptions, queues.others, requests))
            await _check_filter(clients, subscriptions, main, findings)
    if await _check_topic(clients, "completions", completions, findings) and queues is not None:
        with findings.caught("subscription: "):
            subscriptions = await describe.subscriptions(clients, completions)
            own_queues = [queues.main, *queues.others]
            findings.add(*judge_strays(subscriptions, own_queues, completions))


async def _check_topic(clients: Clients, name: str, arn: str, findings: Findings) -> bool:
    """Check one topic, and return whether it exists."""
    with findings.caught(f"topic of {name}: {arn}: "):
        try:
            await describe.topic(clients, arn)
        except Absent:
            findings.add(
                failed(
                    f"topic of {name}: {arn} does not exist at {clients.where}",
                    fix=f"run 'fraudd provision', or correct [topics] {name}_arn",
                )
            )
        else:
            findings.add(judge_topic(name, arn))
            return True
    return False


async def _check_filter(
    clients: Clients, subscriptions: Sequence[Subscription], queue: QueueState, findings: Findings
) -> None:
    for subscription in subscriptions:
        if subscription.queue_arn == queue.arn and subscription.confirmed:
            policy = await describe.filter_policy(clients, subscription.arn)
            findings.add(judge_filter(policy, subscription))


def judge_topic(name: str, arn: str) -> Finding:
    """Judge whether fraudd can publish to this type of topic."""
    if arn.endswith(".fifo"):
        return failed(
            f"topic of {name}: {arn} is a FIFO topic; fraudd needs a standard topic",
            fix=f"create a standard topic, and correct [topics] {name}_arn",
        )
    return ok(f"topic of {name}: {arn}")


def judge_subscription(
    subscriptions: Sequence[Subscription], queue: QueueState, topic_arn: str
) -> Iterator[Finding]:
    """Judge whether the queue receives the messages of the topic of requests."""
    own = [subscription for subscription in subscriptions if subscription.queue_arn == queue.arn]
    if not own:
        yield failed(
            f"subscription: {queue.name} is not subscribed to {topic_arn}, so no run starts",
            fix=f"run 'fraudd provision', or: aws sns subscribe --topic-arn {topic_arn}"
            f" --protocol sqs --notification-endpoint {queue.arn}",
        )
    elif not own[0].confirmed:
        yield failed(
            f"subscription: {queue.name} has not confirmed its subscription ({own[0].arn}), so"
            " nothing arrives",
            fix="subscribe it from the account that owns the queue",
        )
    else:
        yield ok(f"subscription: {queue.name} is subscribed to the topic of requests")


def judge_filter(policy: str | None, subscription: Subscription) -> Finding:
    """Judge whether a subscription drops events."""
    if policy is None:
        return ok("subscription: delivers every event")
    return failed(
        f"subscription: its filter policy {policy[:200]} silently drops events",
        fix=f"aws sns set-subscription-attributes --subscription-arn {subscription.arn}"
        " --attribute-name FilterPolicy --attribute-value {}",
    )


def judge_strays(
    subscriptions: Sequence[Subscription], queues: Sequence[QueueState], topic_arn: str
) -> Iterator[Finding]:
    """Report each queue that is subscribed to the wrong topic."""
    for queue in queues:
        for subscription in subscriptions:
            if subscription.queue_arn == queue.arn:
                yield failed(
                    f"subscription: queue {queue.name} is subscribed to the wrong topic"
                    f" {topic_arn}; its messages would be scored twice or dead-lettered",
                    fix=f"aws sns unsubscribe --subscription-arn {subscription.arn}",
                )
