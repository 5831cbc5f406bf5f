"""Creates and updates the resources of an installation. It never deletes any."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from fraudd.aws.provisioning.describe import current_attributes, own_queue_url, own_subscription_arn
from fraudd.aws.provisioning.plan import Change, Step, plan
from fraudd.aws.provisioning.resources import Names, Part, Place, installation
from fraudd.aws.session import Clients
from fraudd.aws.table_index import INDEX
from fraudd.aws.translation import code_of, translated
from fraudd.errors import Misconfigured, Unavailable

T = TypeVar("T")

#: The pause between two attempts, or two reads of a status.
_PAUSE_SECONDS = 2.0
#: AWS frees the name of a deleted queue after 60 seconds, and takes about as long to offer backups
#: of a new table:
#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
_REFUSED_SECONDS = 90.0
#: A new table takes seconds. The index of a large table takes longer than an operator waits.
_ACTIVE_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned:
    """The URLs, ARNs and the name that the configuration needs."""

    queue_url: str
    bulk_url: str
    dead_letter_url: str
    requests_arn: str
    completions_arn: str
    table: str


async def provision(clients: Clients, name: str, *, visibility_timeout_seconds: int) -> Provisioned:
    """Create all parts of an installation. A second call changes nothing.

    Raises ``Unavailable``, or ``Misconfigured`` with all problems.
    """
    place = await whereabouts(clients)
    parts = installation(name, place, visibility_timeout_seconds=visibility_timeout_seconds)
    steps = plan(parts, await current_attributes(clients, parts, place))
    if problems := [problem for step in steps for problem in step.problems]:
        raise Misconfigured(*problems)
    await carry_out(clients, steps, place, begin=lambda _: None)
    return await provisioned(clients, name, place)


async def whereabouts(clients: Clients) -> Place:
    """Read the account and the region of the credentials. Raises ``Unavailable``."""
    with translated("account"):
        async with clients.another("sts") as sts:
            identity = await sts.get_caller_identity()
    return Place(
        partition=identity["Arn"].split(":")[1],
        region=clients.sqs.meta.region_name,
        account=identity["Account"],
    )


async def provisioned(clients: Clients, name: str, place: Place) -> Provisioned:
    """Look up the URLs and ARNs of the parts. Raises ``Unavailable`` if a queue is missing."""
    names = Names(name)
    with translated("queue"):
        return Provisioned(
            queue_url=await own_queue_url(clients, names.name),
            bulk_url=await own_queue_url(clients, names.bulk),
            dead_letter_url=await own_queue_url(clients, names.dead),
            requests_arn=place.arn("sns", names.requests),
            completions_arn=place.arn("sns", names.completions),
            table=name,
        )


async def carry_out(
    clients: Clients, steps: Sequence[Step], place: Place, *, begin: Callable[[Step], None]
) -> None:
    """Carry out the steps in order. Raises ``Unavailable``.

    ``begin`` is called before each step that changes something, because some take minutes.
    """
    for step in steps:
        if step.action in ("create", "update"):
            begin(step)
        with translated(f"{step.part.kind} {step.part.name}"):
            if step.action == "create":
                await _create(clients, step.part, place)
            elif step.action == "update":
                await _update(clients, step, place)
            if step.part.kind == "table":
                await _until_active(clients, step.part.name)


async def _create(clients: Clients, part: Part, place: Place) -> None:
    match part.kind:
        case "topic":
            await clients.sns.create_topic(Name=part.name)
        case "queue":
            await _repeat_while(
                lambda: clients.sqs.create_queue(
                    QueueName=part.name, Attributes=_texts(part.attributes)
                ),
                code="QueueDeletedRecently",
            )
        case "subscription":
            topic, _, queue = part.name.partition(" to ")
            await clients.sns.subscribe(
                TopicArn=place.arn("sns", topic),
                Protocol="sqs",
                Endpoint=place.arn("sqs", queue),
                Attributes=_texts(
                    {name: value for name, value in part.attributes.items() if value is not None}
                ),
            )
        case "table":
            await _create_table(clients, part)


async def _update(clients: Clients, step: Step, place: Place) -> None:
    match step.part.kind:
        case "queue":
            url = await own_queue_url(clients, step.part.name)
            attributes: Any = _texts({change.attribute: change.new for change in step.changes})
            await clients.sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
        case "subscription":
            arn = await own_subscription_arn(clients, step.part, place)
            for change in step.changes:
                await clients.sns.set_subscription_attributes(
                    SubscriptionArn=arn or "",
                    AttributeName=change.attribute,
                    # An empty policy removes the filter.
                    AttributeValue=json.dumps({} if change.new is None else change.new),
                )
        case "table":
            for change in step.changes:
                await _change_table(clients, step.part, change)


def _texts(attributes: Any) -> Any:
    """Convert attributes to the form of SQS and SNS: numbers, booleans and policies as JSON."""
    return {name: json.dumps(value) for name, value in attributes.items()}


async def _create_table(clients: Clients, part: Part) -> None:
    keys: list[str] = [*part.attributes["KeySchema"], *_index(part)["KeySchema"]]
    await clients.dynamodb.create_table(
        TableName=part.name,
        BillingMode=part.attributes["BillingMode"],
        DeletionProtectionEnabled=part.attributes["DeletionProtection"],
        AttributeDefinitions=_types(keys),
        KeySchema=_schema(part.attributes["KeySchema"]),
        GlobalSecondaryIndexes=[_new_index(part)],
    )
    # DynamoDB is eventually consistent: the next call may not find a new table yet.
    await _repeat_while(lambda: _until_active(clients, part.name), code="ResourceNotFoundException")
    for attribute in ("TimeToLive", "PointInTimeRecovery"):
        change = Change(attribute=attribute, old=None, new=part.attributes[attribute])
        await _change_table(clients, part, change)


async def _change_table(clients: Clients, part: Part, change: Change) -> None:
    """Change one attribute: DynamoDB accepts one change at a time."""
    dynamodb = clients.dynamodb
    await _until_active(clients, part.name)
    match change.attribute:
        case "BillingMode":
            await dynamodb.update_table(TableName=part.name, BillingMode=change.new)
        case "DeletionProtection":
            await dynamodb.update_table(TableName=part.name, DeletionProtectionEnabled=change.new)
        case "TimeToLive":
            await dynamodb.update_time_to_live(
                TableName=part.name,
                TimeToLiveSpecification={"Enabled": True, "AttributeName": change.new},
            )
        case "PointInTimeRecovery":
            await _repeat_while(
                lambda: dynamodb.update_continuous_backups(
                    TableName=part.name,
                    PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": change.new},
                ),
                code="ContinuousBackupsUnavailableException",
            )
        case _:
            await dynamodb.update_table(
                TableName=part.name,
                AttributeDefinitions=_types(
                    [*part.attributes["KeySchema"], *_index(part)["KeySchema"]]
                ),
                GlobalSecondaryIndexUpdates=[{"Create": _new_index(part)}],
            )


def _index(part: Part) -> Any:
    return part.attributes[f"Index {INDEX}"]


def _new_index(part: Part) -> Any:
    return {
        "IndexName": INDEX,
        "KeySchema": _schema(_index(part)["KeySchema"]),
        "Projection": {"ProjectionType": _index(part)["Projection"]},
    }


def _types(keys: Sequence[str]) -> Any:
    split = (key.split() for key in keys)
    return [{"AttributeName": name, "AttributeType": type_} for name, type_ in split]


def _schema(keys: Sequence[str]) -> Any:
    names = (key.split()[0] for key in keys)
    return [
        {"AttributeName": name, "KeyType": type_}
        for name, type_ in zip(names, ("HASH", "RANGE"), strict=False)
    ]


async def _until_active(clients: Clients, table: str) -> None:
    """Wait until a table and its indexes are active, and can be changed."""
    states: dict[str, str] = {}
    for _ in range(int(_ACTIVE_SECONDS / _PAUSE_SECONDS)):
        described = (await clients.dynamodb.describe_table(TableName=table))["Table"]
        indexes = described.get("GlobalSecondaryIndexes", [])
        states = {f"index {index['IndexName']}": index["IndexStatus"] for index in indexes}
        states |= {f"table {table}": described["TableStatus"]}
        if set(states.values()) == {"ACTIVE"}:
            return
        await asyncio.sleep(_PAUSE_SECONDS)
    pending = ", ".join(f"{name} is {state}" for name, state in states.items() if state != "ACTIVE")
    raise Unavailable(
        "store", f"{pending} after {_ACTIVE_SECONDS:g} s: run this command again later"
    )


async def _repeat_while(call: Callable[[], Awaitable[T]], *, code: str) -> T:
    """Repeat a call while AWS answers with an error that is known to pass."""
    for _ in range(int(_REFUSED_SECONDS / _PAUSE_SECONDS)):
        try:
            return await call()
        except ClientError as error:
            if code_of(error) != code:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)
    return await call()
