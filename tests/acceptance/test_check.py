"""``fraudd check`` as a process, and what it says where more than one line is to be said."""

import subprocess
from pathlib import Path

from tests.acceptance.installation import GUEST, Installation, checked, save_model
from tests.stack.paths import FRAUDD
from tests.stack.process import PATIENCE_SECONDS

#: What leads from a shop to no index: MariaDB reads all orders, and all of an index of theirs.
UNINDEXED = """\
-- feature dear_orders_1d: dear orders of everybody in one day | {value:.0f} dear orders
-- feature orders_of_all_1d: orders of everybody in one day | {value:.0f} orders of everybody
SELECT (SELECT COUNT(*) FROM orders AS o
         WHERE o.amount > 100 AND o.user_id <> LENGTH(%(entity_id)s)) AS dear_orders_1d,
       (SELECT COUNT(*) FROM orders WHERE created_at <= %(as_of)s) AS orders_of_all_1d
"""


def check(config: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    return subprocess.run(
        [FRAUDD, "check", "--config", config, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def test_each_line_says_how_it_is_and_the_last_one_counts(installation: Installation) -> None:
    done = check(installation.config)
    assert (done.returncode, done.stderr) == (0, "")
    *lines, summary = done.stdout.splitlines()
    assert summary == f"{len(lines)} ok, 0 warning, 0 failed"
    assert {line[:9] for line in lines} == {"ok       "}
    assert lines[-1].startswith("ok       score: computed for shop-")


def test_what_failed_is_status_1(installation: Installation) -> None:
    installation.change("table", 'table = "elsewhere"')
    done = check(installation.config)
    assert (done.returncode, done.stderr) == (1, "")
    [line] = [line for line in done.stdout.splitlines() if line.startswith("failed   ")]
    assert line.startswith("failed   table: elsewhere does not exist at http://127.0.0.1:")
    assert done.stdout.endswith(" ok, 0 warning, 1 failed\n")


def test_a_wrong_configuration_is_status_78_and_nothing_is_looked_at(
    installation: Installation,
) -> None:
    text = installation.config.read_text().replace("[queue]", "[queu]")
    installation.config.write_text(text.replace("fleet_size = 2", "fleet_size = 0"))
    done = check(installation.config, "--json")
    assert (done.returncode, done.stdout) == (78, "")
    assert "[queu]: unknown section; did you mean queue?" in done.stderr
    assert "[consumers] fleet_size = '0': " in done.stderr
    assert all(line.startswith("fraudd: ") for line in done.stderr.splitlines())


async def test_where_aws_is_out_of_reach_each_part_says_so(installation: Installation) -> None:
    installation.change("endpoint_url", 'endpoint_url = "http://127.0.0.1:1"')
    report = await checked(installation)
    failures = [line for line in report.lines if line.level != "ok"]
    assert [line.part for line in failures] == [
        "table",
        "queue",
        "topic of requests",
        "topic of completions",
    ]
    assert all("127.0.0.1:1" in line.detail for line in failures)
    assert not any(line.part == "clock" for line in report.lines)


async def test_a_wrong_password_is_told_and_not_shown(installation: Installation) -> None:
    (installation.folder / "password").write_text("tangerine barley")
    report = await checked(installation)
    [failure] = report.marked("failed")
    assert failure.startswith(f"database: Access denied for user '{GUEST}'@'")
    assert report.fixes("failed") == ["correct [database]"]
    assert not any("tangerine" in line.detail for line in report.lines)


async def test_a_whole_table_and_a_whole_index_are_named_with_what_would_help(
    installation: Installation,
) -> None:
    (installation.folder / "features" / "dear.sql").write_text(UNINDEXED)
    save_model(installation.folder)
    report = await checked(installation, "--json", "--entity", "shop-7")
    assert report.status == 1
    assert report.marked("warning") == []
    found = report.marked("failed")
    assert len(found) == 2
    start = "plans: dear.sql: reads all of table orders (about "
    assert all(detail.startswith(start) and " rows) for shop-7: " in detail for detail in found)
    reasons = ("no index fits. Add an index", "it reads all of index shop. Add an index")
    for reason in reasons:
        assert any(reason in detail for detail in found)


async def test_each_feature_file_that_does_not_run_is_told_and_the_others_are_explained(
    installation: Installation,
) -> None:
    folder = installation.folder / "features"
    for name, table in (("payouts.sql", "pay_outs"), ("reviews.sql", "opinions")):
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace(f"FROM {name[:-4]}", f"FROM {table}"))
    (folder / "dear.sql").write_text(UNINDEXED)
    save_model(installation.folder)
    report = await checked(installation, "--entity", "shop-7")
    first, second, *plans = report.marked("failed")
    missing = f"Table '{installation.database.name}."
    assert first.startswith(f"features: payouts.sql: {missing}pay_outs' doesn't exist")
    assert second.startswith(f"features: reviews.sql: {missing}opinions' doesn't exist")
    assert [plan.split(":")[1] for plan in plans] == [" dear.sql", " dear.sql"]
    assert "features: 10 of 12 files run" in report.marked("ok")


async def test_nothing_is_said_of_plans_where_nobody_can_be_told_from_anybody(
    installation: Installation,
) -> None:
    shop = installation.folder / "features" / "shop.sql"
    shop.write_text(shop.read_text().replace("FROM shops AS shop", "FROM shoppes AS shop"))
    save_model(installation.folder)
    report = await checked(installation)
    [failure] = report.marked("failed")
    assert failure.startswith("features: shop.sql: Table '")
    assert report.marked("warning") == [
        "plans: query plans not checked: shop.sql fails (see above)"
    ]


async def test_a_sample_of_nobody_and_an_entity_that_is_not_there_are_told(
    installation: Installation,
) -> None:
    shop = installation.folder / "features" / "shop.sql"
    lines = shop.read_text().splitlines(keepends=True)
    nobody = "SELECT MAX(shop_id) FROM shops WHERE shop_id = 'shop-0'"
    others = [line for line in lines if not line.startswith("-- sample:")]
    shop.write_text("".join([f"-- sample: {nobody}\n", *others]))
    report = await checked(installation)
    assert report.status == 0
    [told] = report.marked("warning")
    assert told == f'plans: shop.sql: sample "{nobody}": returned no ID'
    report = await checked(installation, "--entity", "shop-0")
    assert report.marked("failed") == ["plans: shop-0 does not exist on the platform"]


async def test_a_sample_query_is_held_to_the_deadline_and_its_failure_names_it(
    installation: Installation,
) -> None:
    installation.add("database", "query_timeout_seconds = 0.2")
    shop = installation.folder / "features" / "shop.sql"
    endless = "SELECT COUNT(*) FROM orders AS a, orders AS b, orders AS c WHERE a.id < b.id + c.id"
    shop.write_text(f"-- sample: {endless}\n-- sample: SELECT nope\n{shop.read_text()}")
    report = await checked(installation)
    late, wrong = report.marked("failed")
    assert late.startswith(f"plans: shop.sql: sample '{endless}': Query execution was interrupted")
    assert set(report.fixes("failed")) == {"correct it, or name an entity with --entity"}
    assert wrong.startswith("plans: shop.sql: sample 'SELECT nope': Unknown column 'nope'")


async def test_a_plan_that_the_account_may_not_see_is_a_warning(
    installation: Installation,
) -> None:
    name = installation.database.name
    installation.sql(
        f"CREATE OR REPLACE VIEW {name}.sales AS SELECT * FROM {name}.orders",
        f"REVOKE ALL ON {name}.* FROM {GUEST}@HOST",
        f"GRANT SELECT ON {name}.sales TO {GUEST}@HOST",
        f"GRANT SELECT ON {name}.shops TO {GUEST}@HOST",
    )
    try:
        folder = installation.folder / "features"
        for path in folder.glob("*.sql"):
            if path.name not in ("shop.sql", "orders.sql"):
                path.unlink()
        orders = folder / "orders.sql"
        orders.write_text(orders.read_text().replace("FROM orders", "FROM sales"))
        save_model(installation.folder)
        report = await checked(installation, "--entity", "shop-1")
        [told] = report.marked("warning")
        assert told.startswith("plans: orders.sql: query plan not checked: ")
        assert "lacking privileges for underlying table" in told
        assert report.fixes("warning") == [
            "if it reads a view, EXPLAIN needs SHOW VIEW, and SELECT on the view's tables"
        ]
        assert report.marked("failed") == []
        assert not any("no file reads a whole table" in line.detail for line in report.lines)
    finally:
        installation.sql(f"DROP VIEW {name}.sales")


async def test_the_lag_of_a_replica_that_may_not_be_seen_is_a_warning(
    installation: Installation,
) -> None:
    installation.add("database", "replica_lag_seconds = 5")
    installation.sql("SET GLOBAL read_only = 1")
    try:
        report = await checked(installation)
    finally:
        installation.sql("SET GLOBAL read_only = 0")
    [told] = report.marked("warning", "failed")
    assert told.startswith("replica: lag not checked: Access denied; you need")
    assert report.fixes("warning") == [
        f"GRANT one of these to {GUEST}; only 'fraudd check' needs it"
    ]
