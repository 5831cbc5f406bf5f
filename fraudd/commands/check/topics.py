"""The part of ``fraudd check`` that looks at the topics, and at the way from them to the queue."""

from collections.abc import Iterator, Sequence

from fraudd.aws.provisioning import describe
from fraudd.aws.provisioning.describe import Absent
from fraudd.aws.provisioning.states import QueueState, Subscription
from fraudd.aws.session import Clients
from fraudd.commands.check.findings import Finding, Findings, failed, ok
from fraudd.commands.check.queue_policy import judge_policy
from fraudd.commands.check.queues import Queues
from fraudd.config import Config


async def see_topics(
    settings: Config, clients: Clients, queues: Queues | None, findings: Findings
) -> None:
    """Look at both topics, and at what they feed, where the queues were seen."""
    requests, completions = settings.topics.requests_arn, settings.topics.completions_arn
    if requests == completions:
        findings.add(
            failed(
                f"topics: requests_arn and completions_arn are both {requests}, so that each end of"
                " a run comes back as a request: make another topic; see [topics]"
            )
        )
        return
    if await _see_topic(clients, "requests", requests, findings) and queues is not None:
        main = queues.main
        findings.add(*judge_policy(main.policy, queue_arn=main.arn, topic_arn=requests))
        with findings.caught("subscription: "):
            feeds = await describe.subscriptions(clients, requests)
            findings.add(*judge_subscription(feeds, main, requests))
            findings.add(*judge_strays(feeds, queues.others, requests))
            await _see_filter(clients, feeds, main, findings)
    if await _see_topic(clients, "completions", completions, findings) and queues is not None:
        with findings.caught("subscription: "):
            feeds = await describe.subscriptions(clients, completions)
            findings.add(*judge_strays(feeds, [queues.main, *queues.others], completions))


async def _see_topic(clients: Clients, name: str, arn: str, findings: Findings) -> bool:
    with findings.caught(f"topic of {name}: {arn}: "):
        try:
            await describe.topic(clients, arn)
        except Absent:
            findings.add(
                failed(f"topic of {name}: no {arn} at {clients.where}: see [topics] {name}_arn")
            )
        else:
            findings.add(judge_topic(name, arn))
            return True
    return False


async def _see_filter(
    clients: Clients, feeds: Sequence[Subscription], queue: QueueState, findings: Findings
) -> None:
    for one in feeds:
        if one.queue_arn == queue.arn and one.confirmed:
            findings.add(judge_filter(await describe.filter_policy(clients, one.arn), one))


def judge_topic(name: str, arn: str) -> Finding:
    """Say whether a topic is of the kind that fraudd publishes to."""
    if arn.endswith(".fifo"):
        return failed(
            f"topic of {name}: {arn} is FIFO, and takes nothing without a group: make a standard"
            f" one; see [topics] {name}_arn"
        )
    return ok(f"topic of {name}: {arn}")


def judge_subscription(
    feeds: Sequence[Subscription], queue: QueueState, topic_arn: str
) -> Iterator[Finding]:
    """Say whether the topic of requests feeds the queue."""
    ours = [one for one in feeds if one.queue_arn == queue.arn]
    if not ours:
        yield failed(
            f"subscription: {topic_arn} does not feed {queue.name}, so no run begins: 'aws sns"
            f" subscribe --topic-arn {topic_arn} --protocol sqs --notification-endpoint"
            f" {queue.arn}', or 'fraudd provision'"
        )
    elif not ours[0].confirmed:
        yield failed(
            f"subscription: {queue.name} is not confirmed ({ours[0].arn}), so nothing arrives:"
            " subscribe it from the account that owns the queue"
        )
    else:
        yield ok(f"subscription: {queue.name} is fed by the topic of requests")


def judge_filter(policy: str | None, subscription: Subscription) -> Finding:
    """Say whether a subscription drops anything."""
    if policy is None:
        return ok("subscription: lets every event through")
    return failed(
        f"subscription: its filter policy {policy[:200]} drops events without a trace: remove it:"
        f" 'aws sns set-subscription-attributes --subscription-arn {subscription.arn}"
        " --attribute-name FilterPolicy --attribute-value {}'"
    )


def judge_strays(
    feeds: Sequence[Subscription], queues: Sequence[QueueState], topic_arn: str
) -> Iterator[Finding]:
    """Say which queues are fed by a topic that must not feed them."""
    for queue in queues:
        for one in feeds:
            if one.queue_arn == queue.arn:
                yield failed(
                    f"subscription: {queue.name} is fed by {topic_arn}, which is not for it: each"
                    " of its messages is worked on again, or becomes a dead letter: 'aws sns"
                    f" unsubscribe --subscription-arn {one.arn}'"
                )
