"""Three emulators of AWS and the simulated one keep the contracts: none of them is the truth."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from fraudd.aws.dynamodb import DynamoDbStore
from fraudd.aws.session import Clients
from tests.contracts.parts import Contract, Parts
from tests.contracts.queue import QUEUE_CONTRACTS
from tests.contracts.store import STORE_CONTRACTS, of_many_who_open_at_once_one_does
from tests.simulation.loop import VirtualLoop, cancel_all
from tests.simulation.plan import draw
from tests.simulation.process import Process
from tests.simulation.queue import Meaning, SimulatedQueue
from tests.simulation.store import SimulatedStore
from tests.simulation.topics import SimulatedTopics
from tests.simulation.world import World
from tests.stack.aws import Aws, provisioned

CONTRACTS = (*STORE_CONTRACTS, *QUEUE_CONTRACTS)
#: Moto's server answers in threads, and its conditional writes are not atomic between them.
SERIAL_CONTRACTS = tuple(one for one in CONTRACTS if one is not of_many_who_open_at_once_one_does)
each_contract = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda one: one.__name__)


@each_contract
async def test_the_emulated_aws_keeps(contract: Contract, aws: Aws) -> None:
    await contract(_emulated(aws))


@pytest.mark.slow
@pytest.mark.parametrize("contract", SERIAL_CONTRACTS, ids=lambda one: one.__name__)
async def test_the_other_emulated_aws_keeps(contract: Contract, moto: Clients) -> None:
    await contract(_emulated(await provisioned(moto)))


@pytest.mark.slow
@pytest.mark.parametrize("contract", STORE_CONTRACTS, ids=lambda one: one.__name__)
async def test_dynamodb_local_keeps(contract: Contract, aws: Aws, dynamodb_local: Clients) -> None:
    await _copy_table(aws.names.table, aws.clients, dynamodb_local)
    await contract(replace(_emulated(aws), store=DynamoDbStore(dynamodb_local, aws.names.table)))


async def _copy_table(name: str, source: Clients, target: Clients) -> None:
    """Create a table like that of another server, without its content."""
    table: Any = (await source.dynamodb.describe_table(TableName=name))["Table"]
    indexes: Any = [
        {key: index[key] for key in ("IndexName", "KeySchema", "Projection")}
        for index in table["GlobalSecondaryIndexes"]
    ]
    await target.dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=table["AttributeDefinitions"],
        KeySchema=table["KeySchema"],
        GlobalSecondaryIndexes=indexes,
    )


@each_contract
def test_the_simulated_aws_keeps(contract: Contract) -> None:
    loop = VirtualLoop()
    try:
        loop.run_until_complete(_on_simulated(contract, loop))
    finally:
        cancel_all(loop)
        loop.close()


def _emulated(aws: Aws) -> Parts:
    async def send(body: str) -> None:
        await aws.clients.sqs.send_message(QueueUrl=aws.names.queue_url, MessageBody=body)

    async def dead_letters() -> list[tuple[str, Mapping[str, str]]]:
        name = f"{aws.names.table}-dead"
        url = (await aws.clients.sqs.get_queue_url(QueueName=name))["QueueUrl"]
        answer = await aws.clients.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=0
        )
        return [
            (
                one["Body"],
                {
                    name: value["StringValue"]
                    for name, value in one.get("MessageAttributes", {}).items()
                },
            )
            for one in answer.get("Messages", [])
        ]

    return Parts(
        store=aws.store,
        queue=aws.queue,
        topics=aws.topics,
        send=send,
        dead_letters=dead_letters,
    )


async def _on_simulated(contract: Contract, loop: VirtualLoop) -> None:
    """A calm world with one process that runs nothing: the contract uses its ports."""
    plan = replace(draw(0), kinds=frozenset(), daemons=1, visibility=30, wait=1)
    world = World(plan, loop)
    process = Process(world, 0, 0, offset_ms=0)

    async def send(body: str) -> None:
        world.queue.send(body, {}, Meaning(kind="malformed"))

    async def dead_letters() -> list[tuple[str, Mapping[str, str]]]:
        return [(one.body, one.attributes) for one in world.queue.dead]

    await contract(
        Parts(
            store=SimulatedStore(world.table, process),
            queue=SimulatedQueue(world.queue, process),
            topics=SimulatedTopics(world.topics, process),
            send=send,
            dead_letters=dead_letters,
        )
    )
