"""``fraudd check`` as a process: clean where all is well, and a line for what is not."""

import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from fraudd.local.settings import DatabaseServer, Settings
from fraudd.scoring import files
from tests.acceptance.conftest import FRAUDD, PATIENCE_SECONDS
from tests.conftest import REGION, ROOT, Aws
from tests.database import PREFIX, run_sql

GUEST = f"{PREFIX}guest"

CONFIG = """\
[aws]
region = "{region}"
endpoint_url = "{endpoint}"
[queue]
url = "{aws.queue_url}"
[topics]
requests_arn = "{aws.requests_arn}"
completions_arn = "{aws.completions_arn}"
[results]
table = "{aws.table}"
[database]
host = "{database.host}"
port = {database.port}
user = "{guest}"
name = "{database.name}"
password_credential = "./password"
max_connections = 2
[consumers]
fleet = 2
[features]
directory = "features"
[model]
path = "model.ubj"
"""
#: What leads from a shop to no index: MariaDB reads all orders, and all of an index of theirs.
UNINDEXED = """\
-- feature dear_orders_1d: dear orders of everybody in one day | {value:.0f} dear orders
-- feature orders_of_all_1d: orders of everybody in one day | {value:.0f} orders of everybody
SELECT (SELECT COUNT(*) FROM orders AS o
         WHERE o.amount > 100 AND o.user_id <> LENGTH(%(entity_id)s)) AS dear_orders_1d,
       (SELECT COUNT(*) FROM orders WHERE created_at <= %(as_of)s) AS orders_of_all_1d
"""

Check = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
async def account(platform: Settings, database: DatabaseServer) -> AsyncIterator[Any]:
    """Run statements as the database's administrator; there is a guest, who may only read."""

    async def run(*statements: str) -> None:
        run_sql(database, *statements)

    await run(
        f"DROP USER IF EXISTS {GUEST}@HOST",
        f"CREATE USER {GUEST}@HOST IDENTIFIED BY 'open sesame' WITH MAX_USER_CONNECTIONS 6",
        f"GRANT SELECT ON {database.name}.* TO {GUEST}@HOST",
    )
    yield run
    await run(f"DROP USER {GUEST}@HOST")


@pytest.fixture
def config(
    tmp_path: Path, aws: Aws, aws_endpoint: str, database: DatabaseServer, account: Any
) -> Path:
    """An installation of two daemons that works, in a folder of its own."""
    shutil.copytree(ROOT / "config" / "features", tmp_path / "features")
    (tmp_path / "password").write_text("open sesame")
    save_model(tmp_path)
    path = tmp_path / "fraudd.toml"
    path.write_text(
        CONFIG.format(
            region=REGION, endpoint=aws_endpoint, aws=aws.names, database=database, guest=GUEST
        )
    )
    return path


def save_model(folder: Path) -> None:
    """Make a model that knows the features of a folder, and nothing about fraud."""
    feature_files = files.load(folder / "features")
    names = sorted(feature_files.features)
    matrix = np.random.default_rng(1).random((50, len(names)))
    booster = xgboost.train(
        {"objective": "binary:logistic", "base_score": 0.5},
        xgboost.DMatrix(matrix, label=matrix[:, 0] > 0.5, feature_names=names),
        num_boost_round=2,
    )
    booster.set_attr(review_threshold="0.5", block_threshold="0.9", trained_at="2026-11-24T")
    booster.set_attr(sql_digest=feature_files.digest)
    booster.save_model(folder / "model.ubj")


@pytest.fixture
def check(config: Path) -> Check:
    """Run the command to its end."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [FRAUDD, "check", "--config", config, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    return run


def marked(verdict: str, done: "subprocess.CompletedProcess[str]") -> list[str]:
    """The lines of a verdict, without it."""
    assert "Traceback" not in done.stderr
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    return [line for found, line in lines if found == verdict]


async def test_what_is_shipped_is_clean(check: Check) -> None:
    done = check()
    assert (done.returncode, done.stderr) == (0, "")
    told = marked("ok", done)
    assert len(told) == len(done.stdout.splitlines()), "no note and no problem"
    parts = ["configuration", "model", "store", "queue", "topics", "database"]
    parts += ["account", "account", "features", "plans"]
    assert [line.partition(":")[0] for line in told] == parts
    assert "plans: no file reads a whole table for shop-1, shop-" in done.stdout, "two samples"


async def test_a_token_file_that_would_not_be_read_is_told(check: Check, config: Path) -> None:
    config.write_text(f'[http]\ntokens_credential = "./tokens"\n{config.read_text()}')
    (config.parent / "tokens").write_text(f"analyst read {'0' * 64}\n")
    assert "tokens: 1" in marked("ok", check())
    (config.parent / "tokens").write_text(f"analyst write {'0' * 64}\n")
    done = check()
    [told] = marked("problem", done)
    assert done.returncode == 1
    assert "tokens:1: 'write' is not a scope" in told


async def test_a_feature_file_without_an_index_is_named_with_its_table(
    check: Check, config: Path
) -> None:
    (config.parent / "features" / "dear.sql").write_text(UNINDEXED)
    save_model(config.parent)
    done = check("--json", "--entity", "shop-7")
    assert (done.returncode, done.stderr) == (1, "")
    found = [entry for entry in json.loads(done.stdout) if entry["verdict"] != "ok"]
    assert [entry["verdict"] for entry in found] == ["problem", "problem"]
    start = "dear.sql: reads all of table orders, about "
    assert all(entry["detail"].startswith(start) for entry in found)
    assert all(" rows, for shop-7: " in entry["detail"] for entry in found)
    reasons = ("no index fits; add an index", "index shop is read as a whole; add an index")
    for reason in reasons:
        assert any(reason in entry["detail"] for entry in found)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("table = ", 'table = "elsewhere" # ', "store: no table elsewhere at http://127.0.0.1:"),
        ("url = ", 'url = "http://127.0.0.1:1/0/gone" #', "queue (http://127.0.0.1:1/0/gone at "),
        ("path = ", 'path = "gone.ubj" # ', "gone.ubj: No such file or directory; train one"),
        ("port = ", "port = 1 #", "database: Can't connect to MySQL server on"),
        ("password_credential = ", 'password_credential = "./gone" # ', "cannot read "),
        ("user = ", 'user = "stranger" # ', "Access denied for user 'stranger'"),
        ("max_connections = ", "max_connections = 3 # ", "MAX_USER_CONNECTIONS is 6, too few"),
        ("fleet = ", "fleet = 3 # ", "' WITH MAX_USER_CONNECTIONS 9"),
        ("completions_arn = ", 'completions_arn = "arn:aws:sns:x:0:gone" # ', "topics (arn:"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_told_in_one_line_and_the_rest_is_looked_at(
    check: Check, config: Path, old: str, new: str, says: str
) -> None:
    text = config.read_text()
    assert f"\n{old}" in text
    config.write_text(text.replace(f"\n{old}", f"\n{new}"))
    done = check()
    assert (done.returncode, done.stderr) == (1, "")
    [problem] = marked("problem", done)
    assert says in problem
    assert len(marked("ok", done)) >= 5


async def test_a_wrong_password_is_told_and_not_shown(check: Check, config: Path) -> None:
    (config.parent / "password").write_text("open barley")
    done = check()
    [problem] = marked("problem", done)
    assert problem.startswith(f"database: Access denied for user '{GUEST}'@'")
    assert problem.endswith("; see [database]")
    assert "open" not in done.stdout


async def test_what_an_account_may_beyond_need_is_noted_and_no_problem(
    check: Check, account: Any, database: DatabaseServer
) -> None:
    await account(
        f"ALTER USER {GUEST}@HOST WITH MAX_USER_CONNECTIONS 0",
        f"GRANT INSERT, DELETE ON {database.name}.orders TO {GUEST}@HOST",
    )
    done = check()
    assert done.returncode == 0
    unlimited, writing = marked("note", done)
    assert f"ALTER USER '{GUEST}'@'" in unlimited
    assert "' WITH MAX_USER_CONNECTIONS 6" in unlimited
    assert f"may write (INSERT, DELETE) in {database.name}; fraudd needs SELECT alone" in writing


async def test_each_feature_file_that_does_not_run_is_told_and_the_others_are_explained(
    check: Check, config: Path, database: DatabaseServer
) -> None:
    folder = config.parent / "features"
    for name, table in (("payouts.sql", "pay_outs"), ("reviews.sql", "opinions")):
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace(f"FROM {name[:-4]}", f"FROM {table}"))
    (folder / "dear.sql").write_text(UNINDEXED)
    save_model(config.parent)
    first, second, *plans = marked("problem", check("--entity", "shop-7"))
    assert first.startswith(
        f"database: payouts.sql: Table '{database.name}.pay_outs' doesn't exist"
    )
    assert second.startswith(
        f"database: reviews.sql: Table '{database.name}.opinions' doesn't exist"
    )
    assert [plan.partition(":")[0] for plan in plans] == ["dear.sql", "dear.sql"]


async def test_nothing_is_said_of_plans_where_nobody_can_be_told_from_anybody(
    check: Check, config: Path
) -> None:
    shop = config.parent / "features" / "shop.sql"
    shop.write_text(shop.read_text().replace("FROM shops AS shop", "FROM shoppes AS shop"))
    save_model(config.parent)
    done = check()
    [problem] = marked("problem", done)
    assert problem.startswith("database: shop.sql: Table '")
    assert marked("note", done) == ["plans: not looked at, as long as shop.sql does not run"]


async def test_without_anybody_to_look_at_plans_for_a_note_says_how(
    check: Check, config: Path
) -> None:
    shop = config.parent / "features" / "shop.sql"
    lines = shop.read_text().splitlines(keepends=True)
    shop.write_text("".join(line for line in lines if not line.startswith("-- sample:")))
    done = check()
    assert done.returncode == 0
    [note] = marked("note", done)
    assert note.startswith("plans: not looked at; name an entity with --entity, or add a line")
    nobody = "SELECT MAX(shop_id) FROM shops WHERE shop_id = 'shop-0'"
    shop.write_text(f"-- sample: {nobody}\n{shop.read_text()}")
    done = check()
    assert (done.returncode, marked("problem", done)) == (0, [])
    [note] = marked("note", done)
    assert note == f'shop.sql: sample "{nobody}": gave nobody to look at plans for'
    assert marked("problem", check("--entity", "shop-0")) == [
        "plans: shop-0 is not on the platform: name one that is"
    ]


async def test_a_sample_query_is_held_to_the_deadline_and_its_failure_names_it(
    check: Check, config: Path
) -> None:
    config.write_text(
        config.read_text().replace("[consumers]", "query_timeout_seconds = 0.2\n[consumers]")
    )
    shop = config.parent / "features" / "shop.sql"
    endless = "SELECT COUNT(*) FROM orders AS a, orders AS b, orders AS c WHERE a.id < b.id + c.id"
    shop.write_text(f"-- sample: {endless}\n-- sample: SELECT nope\n{shop.read_text()}")
    late, wrong = marked("problem", check())
    assert late.startswith(f"shop.sql: sample '{endless}': Query execution was interrupted")
    assert late.endswith("; change it, or name an entity with --entity")
    assert wrong.startswith("shop.sql: sample 'SELECT nope': database: Unknown column 'nope'")


async def test_a_plan_that_the_account_may_not_see_is_a_note(
    check: Check, config: Path, account: Any, database: DatabaseServer
) -> None:
    await account(
        f"CREATE OR REPLACE VIEW {database.name}.sales AS SELECT * FROM {database.name}.orders",
        f"REVOKE ALL ON {database.name}.* FROM {GUEST}@HOST",
        f"GRANT SELECT ON {database.name}.sales TO {GUEST}@HOST",
        f"GRANT SELECT ON {database.name}.shops TO {GUEST}@HOST",
    )
    try:
        folder = config.parent / "features"
        for path in folder.glob("*.sql"):
            if path.name not in ("shop.sql", "orders.sql"):
                path.unlink()
        orders = folder / "orders.sql"
        orders.write_text(orders.read_text().replace("FROM orders", "FROM sales"))
        save_model(config.parent)
        done = check("--entity", "shop-1")
        [note] = marked("note", done)
        assert note.startswith("orders.sql: its plan cannot be looked at: ")
        assert "lacking privileges for underlying table" in note
        assert note.endswith("; of a view, EXPLAIN takes SHOW VIEW and SELECT on its tables")
        assert not marked("problem", done)
        assert "no file reads a whole table" not in done.stdout
    finally:
        await account(f"DROP VIEW {database.name}.sales")


def test_a_wrong_configuration_is_status_78_and_nothing_is_looked_at(
    check: Check, config: Path
) -> None:
    config.write_text(config.read_text().replace("[queue]", "[queu]"))
    done = check("--json")
    assert (done.returncode, done.stdout) == (78, "")
    assert "[queu]: unknown section; did you mean queue?" in done.stderr
