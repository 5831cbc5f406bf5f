"""A start while a part is away: stored results are served, and runs begin when all has answered."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fraudd.config import Config
from fraudd.errors import Misconfigured
from fraudd.local.settings import DatabaseServer
from tests.integration.test_daemon import ready
from tests.stack.aws import Aws
from tests.stack.daemon import Fraudd, Start, changed
from tests.stack.workers import free_port


class Way:
    """Leads to the database. While it is silent, it accepts connections and says nothing."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.open = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.open.wait()
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, there_writer))
                group.create_task(_pump(there_reader, writer))
        finally:
            writer.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
    sink.close()


@asynccontextmanager
async def way_to(port: int, there: int) -> AsyncIterator[Way]:
    way = Way(there)
    server = await asyncio.start_server(way.serve, "127.0.0.1", port)
    try:
        yield way
    finally:
        server.close()


async def blocked_by(fraudd: Fraudd, text: str) -> None:
    async with asyncio.timeout(20):
        while text not in ((await fraudd.status())["blocked_by"] or ""):
            await asyncio.sleep(0.01)


async def test_look_ups_do_not_wait_for_a_silent_database(
    start: Start, config: Config, database: DatabaseServer
) -> None:
    port = free_port()
    async with way_to(port, database.port) as way:
        away = changed(config, database={"port": port, "connect_timeout_seconds": 2.5})
        began = time.monotonic()
        async with start(away) as fraudd:
            assert (await fraudd.look_up("shop-1"))[0] == 404
            assert time.monotonic() - began < 2
            await ready(fraudd, 200)
            assert "not checked since the start: database" in (await fraudd.status())["blocked_by"]
            assert (await fraudd.ask("shop-1"))[0] == 202
            assert fraudd.sample("fraudd_aws_calls_total", operation="ReceiveMessage") == 0
            way.open.set()
            assert (await fraudd.ended("shop-1"))["status"] == "done"
            assert (await fraudd.status())["blocked_by"] is None
            fraudd.daemon.stop()
            fraudd.daemon.stop()
            await fraudd.task


async def test_runs_begin_by_themselves_when_the_database_answers(
    start: Start, config: Config, database: DatabaseServer
) -> None:
    port = free_port()
    async with start(changed(config, database={"port": port})) as fraudd:
        assert (await fraudd.ask("shop-1"))[0] == 202
        await fraudd.breaker("outage")
        assert fraudd.sample("fraudd_blocked") == 1
        async with way_to(port, database.port) as way:
            way.open.set()
            done = await fraudd.ended("shop-1")
            assert (done["status"], done["attempts"]) == ("done", 1)
            fraudd.daemon.stop()
            fraudd.daemon.stop()
            await fraudd.task


@pytest.fixture
def wrong(config: Config, tmp_path: Path) -> Config:
    """A configuration with a feature file whose column has the wrong name."""
    folder = shutil.copytree(config.features.directory, tmp_path / "files")
    file = folder / "size.sql"
    file.write_text(file.read_text().replace("AS size", "AS length"))
    model = folder / config.model.path.name
    return changed(config, features={"directory": folder}, model={"path": model})


async def test_a_wrong_file_is_refused_at_the_start_if_the_database_answers(
    start: Start, wrong: Config
) -> None:
    with pytest.raises(Misconfigured) as refused:
        async with start(wrong):
            pass
    error = refused.value
    assert "size.sql" in str(error)


async def test_a_wrong_file_that_is_found_later_ends_nothing_and_a_reload_replaces_it(
    start: Start, wrong: Config, database: DatabaseServer
) -> None:
    port = free_port()
    async with (
        way_to(port, database.port) as way,
        start(changed(wrong, database={"port": port})) as fraudd,
    ):
        way.open.set()
        await blocked_by(fraudd, "size.sql")
        assert fraudd.sample("fraudd_blocked") == 1
        assert (await fraudd.status())["breaker"] == "closed"
        assert (await fraudd.ask("shop-1"))[0] == 202
        file = wrong.features.directory / "size.sql"
        file.write_text(file.read_text().replace("AS length", "AS size"))
        fraudd.daemon.reload()
        assert (await fraudd.ended("shop-1"))["status"] == "done"
        fraudd.daemon.stop()
        fraudd.daemon.stop()
        await fraudd.task


async def test_a_wrong_queue_is_still_refused_at_the_start(start: Start, config: Config) -> None:
    wrong = changed(config, queue={"bulk_url": config.queue.url})
    with pytest.raises(Misconfigured) as refused:
        async with start(wrong):
            pass
    error = refused.value
    assert "name the same queue" in str(error)


async def test_topics_that_are_away_hold_up_no_look_up(
    start: Start, config: Config, aws: Aws
) -> None:
    await aws.clients.sns.delete_topic(TopicArn=aws.names.completions_arn)
    async with start(config) as fraudd:
        assert (await fraudd.look_up("shop-1"))[0] == 404
        await ready(fraudd, 200)
        await blocked_by(fraudd, "topics")


async def test_an_index_that_is_deleted_ends_nothing_and_is_named(
    start: Start, config: Config, aws: Aws, caplog: pytest.LogCaptureFixture
) -> None:
    async with start(changed(config, sweeper={"interval_seconds": 0.2})) as fraudd:
        await _delete_index(aws)
        await _works(fraudd, "shop-1", caplog)


async def test_a_start_without_the_index_ends_nothing_and_is_named(
    start: Start, config: Config, aws: Aws, caplog: pytest.LogCaptureFixture
) -> None:
    await _delete_index(aws)
    async with start(changed(config, sweeper={"interval_seconds": 0.2})) as fraudd:
        assert "index.unavailable" in {record.getMessage() for record in caplog.records}
        assert "run 'fraudd provision'" in (await fraudd.status())["index_problem"]
        async with fraudd.http.get("/v1/predictions?status=failed") as answer:
            assert answer.status == 503
        await ready(fraudd, 200)
        await _works(fraudd, "shop-2", caplog)


async def _delete_index(aws: Aws) -> None:
    await aws.clients.dynamodb.update_table(
        TableName=aws.names.table,
        GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by_state"}}],
    )


async def _works(fraudd: Fraudd, entity_id: str, caplog: pytest.LogCaptureFixture) -> None:
    """See that a run ends although the sweeper finds no index, and that the log says so."""
    caplog.clear()
    async with asyncio.timeout(20):
        while not any(
            "index by_state" in str(record.__dict__.get("fields")) for record in caplog.records
        ):
            await asyncio.sleep(0.01)
    assert (await fraudd.ask(entity_id))[0] == 202
    assert (await fraudd.ended(entity_id))["status"] == "done"
    assert not fraudd.task.done()
