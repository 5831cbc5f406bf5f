"""The time of a snapshot in the hour that the end of summer time repeats."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fraudd.local import mariadb
from fraudd.local.process import running
from fraudd.local.settings import DatabaseServer
from tests.stack.database import READER, Pool, given, run_sql, server_of
from tests.stack.paths import ROOT
from tests.stack.workers import free_port


@pytest.fixture(scope="module")
def in_berlin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    """A MariaDB whose clock tests set: to the last Sunday of October, in Berlin."""
    port = free_port()
    command = mariadb.command(
        mariadb.find(ROOT / ".tools"), tmp_path_factory.mktemp("berlin"), port=port
    )
    with running(
        replace(command, environment={**(command.environment or {}), "TZ": "Europe/Berlin"})
    ):
        server = DatabaseServer(host="127.0.0.1", port=port, user="root", password="", name="test")
        run_sql(server, "CREATE DATABASE test", f"CREATE USER {READER}@HOST IDENTIFIED BY 'secret'")
        run_sql(server, f"GRANT SELECT ON test.* TO {READER}@HOST")
        yield server


@pytest.mark.parametrize("hour", [0, 1, 2])
async def test_as_of_is_right_in_each_hour_around_the_end_of_summer_time(
    in_berlin: DatabaseServer, hour: int
) -> None:
    moment = datetime(2026, 10, 25, hour, 30, tzinfo=UTC)
    set_clock = f"SET timestamp = {moment.timestamp():.0f}"
    run_sql(in_berlin, f"SET GLOBAL init_connect = '{set_clock}'")
    pool = Pool(
        replace(server_of(in_berlin), user=READER, password=given("secret"), time_zone="SYSTEM")
    )
    permit = await pool.permits.acquire()
    async with pool.connections.snapshot(permit) as snapshot:
        assert snapshot.as_of == datetime(2026, 10, 25, 2 if hour < 2 else 3, 30)
        assert snapshot.as_of_ms == moment.timestamp() * 1000
    permit.release()
    await pool.connections.close()
