"""What a test here acts on: daemons between servers, and what has come of the runs asked for."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.chaos.daemon import PATIENCE_SECONDS, Daemon, serving
from tests.chaos.proxy import FaultProxy, proxied
from tests.chaos.receipts import Receipts
from tests.chaos.servers import Database
from tests.stack.aws import Aws
from tests.stack.configuration import as_toml, sections
from tests.stack.servers import Server
from tests.stack.subscriber import Inbox
from tests.stack.workers import free_port

#: The shortest there is: a message of a killed daemon comes back after it.
VISIBILITY_SECONDS = 10
PERMITS = 2
#: The timeout of a connection to the database.
CONNECT_SECONDS = 1.0


class Took(NamedTuple):
    """What a run took: claims that count, and claims whose process died."""

    attempts: int
    deaths: int


#: Runs by entity, those apart that ended at their first claim.
Odd = dict[str, Took]


@dataclass(kw_only=True)
class Stage:
    """A queue, topics and a table of one's own, the servers, and daemons to be started."""

    aws: Aws
    aws_server: Server
    database: Database
    emulator_port: int
    features: Path
    folder: Path
    announced: "Announced"
    #: The most connections that each account had at a time.
    connections: dict[str, int] = field(default_factory=dict)
    receipts: Receipts = field(default_factory=Receipts)

    @asynccontextmanager
    async def daemon(
        self,
        name: str,
        *,
        to_aws: FaultProxy | None = None,
        to_database: FaultProxy | None = None,
        wait_seconds: int = 1,
        drain_seconds: float = 5,
        max_attempts: int = 5,
        visibility_seconds: int = VISIBILITY_SECONDS,
        bulk_url: str | None = None,
        permits: int = PERMITS,
        query_seconds: float = 60.0,
        run_seconds: float = 120.0,
    ) -> AsyncIterator[Daemon]:
        """Run a daemon, with an account of its own; through proxies where there are any."""
        await self.database.add_account(name)
        port = free_port()
        config = self.folder / f"{name}.toml"
        aws_port = to_aws.port if to_aws else self.emulator_port
        lanes = {} if bulk_url is None else {"bulk_url": bulk_url}
        values = sections(
            self.aws.names,
            http={"listen": f"127.0.0.1:{port}"},
            aws={
                "endpoint_url": f"http://127.0.0.1:{aws_port}",
                "connect_timeout_seconds": 1.0,
                "read_timeout_seconds": 1.0,
            },
            queue=lanes
            | {"wait_seconds": wait_seconds, "visibility_timeout_seconds": visibility_seconds},
            database={
                "host": "127.0.0.1",
                "port": to_database.port if to_database else self.database.port,
                "user": name,
                "name": "plain",
                "max_connections": permits,
                "connect_timeout_seconds": CONNECT_SECONDS,
                "query_timeout_seconds": query_seconds,
            },
            consumers={
                "drain_seconds": drain_seconds,
                "max_attempts": max_attempts,
                "run_timeout_seconds": run_seconds,
            },
            runs={"backoff_base_seconds": 0.2, "backoff_max_seconds": 1.0},
            sweeper={"interval_seconds": 1.0, "grace_seconds": 2.0},
            features={"directory": self.features},
            model={"path": self.features / "model.ubj"},
        )
        config.write_text(as_toml(values))
        async with serving(config, port) as daemon:
            yield daemon

    @asynccontextmanager
    async def two_daemons(
        self, to_aws: tuple[FaultProxy | None, FaultProxy | None] = (None, None)
    ) -> AsyncIterator[tuple[Daemon, Daemon]]:
        """Run the daemons ``one`` and ``other``."""
        async with (
            self.daemon("one", to_aws=to_aws[0]) as one,
            self.daemon("other", to_aws=to_aws[1]) as other,
        ):
            await one.ready()
            await other.ready()
            yield one, other

    @asynccontextmanager
    async def proxy_to_aws(self) -> AsyncIterator[FaultProxy]:
        """A proxy in front of the AWS API; what the queue hands out through it is noted."""
        async with proxied(self.emulator_port, self.receipts.tap) as proxy:
            yield proxy

    @asynccontextmanager
    async def proxy_to_database(self) -> AsyncIterator[FaultProxy]:
        """A proxy in front of the database."""
        async with proxied(self.database.port) as proxy:
            yield proxy

    async def all_done(
        self, runs: dict[str, str], at: Daemon, within_seconds: float = PATIENCE_SECONDS
    ) -> Odd:
        """See every run asked for end well, be announced, and leave nothing behind.

        Gives those that did not end at their first claim.
        """
        await self.announced.all_of(runs.values(), within_seconds)
        odd: Odd = {}
        for entity_id, run_id in runs.items():
            body = await at.look_up(entity_id)
            assert (body["status"], body["run_id"]) == ("done", run_id), body
            record = await self.aws.store.get(entity_id)
            assert record is not None
            if (took := Took(record.attempts, record.deaths)) != Took(1, 0):
                odd[entity_id] = took
        assert self.announced.runs == dict.fromkeys(runs.values(), "fraudd.prediction.done")
        await self.nothing_queued()
        return odd

    async def ended_before(self, at: float) -> set[str]:
        """Give the entities whose newest run ended before a time (epoch seconds)."""
        pages = self.aws.clients.dynamodb.get_paginator("scan").paginate(
            TableName=self.aws.names.table
        )
        return {
            item["entity_id"]["S"]
            async for page in pages
            for item in page["Items"]
            if int(item.get("finished_at", {"N": "0"})["N"]) in range(1, int(at * 1000))
        }

    async def waiting(self) -> list[str]:
        """Receive all messages that there are, and give them back; gives their entities.

        None may be hidden when this is called.
        """
        sqs, url = self.aws.clients.sqs, self.aws.names.queue_url
        depth = await self.aws.queue.depth()
        assert (depth.in_flight, depth.delayed, depth.dead_lettered) == (0, 0, 0)
        messages: list[Any] = []
        while len(messages) < depth.visible:
            # SQS hides what it hands out: asked again, it has others.
            answer = await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
            messages += answer.get("Messages", [])
        for message in messages:
            receipt = message["ReceiptHandle"]
            await sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=0
            )
        return sorted(json.loads(message["Body"])["entity_id"] for message in messages)

    async def nothing_queued(self) -> None:
        """Wait until no message is left; none may be in the dead-letter queue."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                depth = await self.aws.queue.depth()
                assert depth.dead_lettered == 0
                if depth.visible + depth.in_flight + depth.delayed == 0:
                    return
                await asyncio.sleep(0.1)


class Announced:
    """The queue of a subscriber: which runs were announced, and as what."""

    def __init__(self, inbox: Inbox) -> None:
        self.runs: dict[str, str] = {}
        self._inbox = inbox

    async def all_of(self, run_ids: Iterable[str], within_seconds: float = 60) -> None:
        """Wait until all of these runs were announced."""
        missing = set(run_ids) - self.runs.keys()
        try:
            async with asyncio.timeout(within_seconds):
                while missing:
                    missing -= await self._take()
        except TimeoutError:
            raise AssertionError(f"{len(missing)} runs never ended: {sorted(missing)}") from None

    async def at_least(self, count: int, within_seconds: float = 60) -> None:
        """Wait until this many runs were announced."""
        async with asyncio.timeout(within_seconds):
            while len(self.runs) < count:
                await self._take()

    async def _take(self) -> set[str]:
        events = await self._inbox.rest(wait_seconds=1)
        self.runs |= {event["id"]: event["type"] for event in events}
        return {event["id"] for event in events}
