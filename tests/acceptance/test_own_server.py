"""``fraudd demo`` on a database server of one's own, MariaDB or MySQL."""

import re
import signal
from pathlib import Path
from urllib.parse import quote

import pytest

from fraudd.local.settings import DatabaseServer
from tests.stack.database import PREFIX, run_sql
from tests.stack.http import ended, http
from tests.stack.paths import FRAUDD
from tests.stack.process import PATIENCE_SECONDS, command, nothing_left
from tests.stack.workers import free_port

RUN, OTHER, OWNER, TENANT = (f"{PREFIX}{name}" for name in ("run", "other", "owner", "tenant"))
#: With all that a URL may take for something else.
PASSWORD = "hunter2: /?#@%[]+"


@pytest.fixture
def ports() -> dict[str, str]:
    return {name: str(free_port()) for name in ("HTTP_PORT", "AWS_PORT")}


@pytest.fixture(scope="module")
def accounts(database: DatabaseServer) -> None:
    """One that may do all with the demo's database, accounts included, and one that may no more."""
    run_sql(
        database,
        f"DROP DATABASE IF EXISTS {RUN}",
        f"CREATE DATABASE {RUN}",
        f"DROP USER IF EXISTS {OWNER}@HOST, {TENANT}@HOST",
        f"CREATE USER {OWNER}@HOST IDENTIFIED BY '{PASSWORD}'",
        f"GRANT ALL ON {RUN}.* TO {OWNER}@HOST WITH GRANT OPTION",
        f"GRANT CREATE USER ON *.* TO {OWNER}@HOST",
        f"CREATE USER {TENANT}@HOST IDENTIFIED BY '{PASSWORD}'",
        f"GRANT ALL ON {RUN}.* TO {TENANT}@HOST",
        f"GRANT ALL ON {OTHER}.* TO {TENANT}@HOST",
    )


def url(server: DatabaseServer, account: str, database: str = RUN) -> str:
    return f"mysql://{account}:{quote(PASSWORD, safe='')}@{server.host}:{server.port}/{database}"


def test_it_comes_up_works_stops_and_starts_again_and_tells_nobody_the_password(
    accounts: None, checkout: Path, ports: dict[str, str], database: DatabaseServer
) -> None:
    base = f"http://127.0.0.1:{ports['HTTP_PORT']}"
    environment = {**ports, "FRAUDD_MYSQL": url(database, OWNER)}
    told = []
    for start in ("first", "second"):
        with command(checkout, FRAUDD, "demo", "--scale", "0.05", **environment) as demo:
            printed = demo.wait_for("Ctrl-C stops everything.")
            assert ("average precision" in printed) is (start == "first")
            http("POST", f"{base}/v1/predictions", {"entity_id": "shop-42", "force": True})
            assert ended(base, "shop-42")["status"] == "done"
            assert demo.end(signal.SIGINT) == 0
        told += [demo.printed(), (checkout / ".local" / "fraudd.log").read_text()]
    assert nothing_left(checkout)
    told.append((checkout / ".local" / "fraudd.toml").read_text())
    assert not any("hunter2" in text for text in told)
    assert f'user = "{RUN}_reader"' in told[-1]
    grants = run_sql(database, f"SHOW GRANTS FOR {RUN}_reader@HOST")
    allowed = [re.sub(r"[`']", "", grant).split(" TO ")[0] for (grant,) in grants]
    assert sorted(allowed) == [f"GRANT SELECT ON {RUN}.*", "GRANT USAGE ON *.*"]


def test_an_account_that_may_make_no_other_is_used_by_the_daemon_itself(
    accounts: None, checkout: Path, ports: dict[str, str], database: DatabaseServer
) -> None:
    environment = {**ports, "FRAUDD_MYSQL": url(database, TENANT)}
    with command(checkout, FRAUDD, "demo", "--scale", "0.05", **environment) as demo:
        printed = demo.wait_for("Ctrl-C stops everything.")
        assert f"the daemon uses the account {TENANT}, which may not create another" in printed
        assert demo.end(signal.SIGINT) == 0


def test_tables_of_others_are_left_alone(
    accounts: None, checkout: Path, ports: dict[str, str], database: DatabaseServer
) -> None:
    run_sql(
        database,
        f"DROP DATABASE IF EXISTS {OTHER}",
        f"CREATE DATABASE {OTHER}",
        f"CREATE TABLE {OTHER}.orders (precious INT)",
        f"INSERT INTO {OTHER}.orders VALUES (1)",
    )
    environment = {**ports, "FRAUDD_MYSQL": url(database, TENANT, OTHER)}
    with command(checkout, FRAUDD, "demo", **environment) as demo:
        assert demo.process.wait(PATIENCE_SECONDS) == 78
    assert "already contains other tables" in demo.printed()
    assert run_sql(database, f"SELECT precious FROM {OTHER}.orders") == [(1,)]


@pytest.mark.parametrize("account", [OWNER, "nobody"])
def test_a_wrong_password_is_told_without_it(
    accounts: None, checkout: Path, ports: dict[str, str], database: DatabaseServer, account: str
) -> None:
    wrong = url(database, account).replace("hunter2", "hunter3")
    with command(checkout, FRAUDD, "demo", FRAUDD_MYSQL=wrong, **ports) as demo:
        assert demo.process.wait(PATIENCE_SECONDS) == 78
    assert "Access denied for user" in demo.printed()
    assert "hunter" not in demo.printed()
    assert "Traceback" not in demo.printed()
