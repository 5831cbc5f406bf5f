"""Query plans, as MariaDB and MySQL tell them: what reads a whole table, and the words for it."""

from dataclasses import replace
from typing import Any

import pytest

from fraudd.scoring import feature_files as files
from fraudd.scoring.query_plans import Scan, scans
from tests.stack.paths import ROOT


def of_mariadb(
    table: str | None,
    type_: str | None,
    rows: str | None,
    extra: str = "",
    *,
    possible_keys: str | None = None,
    key: str | None = None,
) -> dict[str, Any]:
    """A row of MariaDB 10.11, which writes the number of rows as text."""
    return {
        "id": 1,
        "select_type": "PRIMARY",
        "table": table,
        "type": type_,
        "possible_keys": possible_keys,
        "key": key,
        "key_len": None,
        "ref": None,
        "rows": rows,
        "Extra": extra,
    }


def of_mysql(
    table: str | None,
    type_: str | None,
    rows: int | None,
    extra: str | None = None,
    *,
    possible_keys: str | None = None,
    key: str | None = None,
) -> dict[str, Any]:
    """A row of MySQL 9.7."""
    row = of_mariadb(table, type_, None, possible_keys=possible_keys, key=key)
    filtered = None if rows is None else 10.0
    return row | {"partitions": None, "rows": rows, "filtered": filtered, "Extra": extra}


SHIPPED = files.load(ROOT / "config" / "features").files[0]
ORDERS = Scan(table="orders", index=None, unused_index=None, rows=0)
SHOP = "shop"


@pytest.mark.parametrize(
    ("row", "found"),
    [
        # No condition that an index fits.
        (of_mariadb("orders", "ALL", "585104", "Using where"), ORDERS),
        (of_mysql("orders", "ALL", 585756, "Using where"), ORDERS),
        # A condition on the second column of an index: MySQL skips through the whole of it.
        (
            of_mariadb("orders", "index", "585104", "Using where; Using index", key=SHOP),
            Scan(table="orders", index=SHOP, unused_index=None, rows=0),
        ),
        (
            of_mysql("orders", "index", 585756, "Using index", key=SHOP),
            Scan(table="orders", index=SHOP, unused_index=None, rows=0),
        ),
        (
            of_mysql(
                "orders",
                "range",
                195232,
                "Using where; Using index for skip scan",
                possible_keys=SHOP,
                key=SHOP,
            ),
            Scan(table="orders", index=SHOP, unused_index=SHOP, rows=0),
        ),
        # A number where the index has text, or a condition that most rows meet.
        (
            of_mariadb("orders", "ALL", "585104", "Using where", possible_keys=SHOP),
            Scan(table="orders", index=None, unused_index=SHOP, rows=0),
        ),
        (
            of_mysql("orders", "ALL", 585756, "Using where", possible_keys=SHOP),
            Scan(table="orders", index=None, unused_index=SHOP, rows=0),
        ),
        # What is as it should be.
        (of_mariadb("orders", "range", "39168", possible_keys=SHOP, key=SHOP), None),
        (of_mysql("orders", "ref", 40, "Using index", possible_keys=SHOP, key=SHOP), None),
        (of_mysql("shop", "const", 1, possible_keys="PRIMARY", key="PRIMARY"), None),
        (of_mariadb("orders", "ref|filter", "22 (5%)", key="shop|PRIMARY"), None),
        # Made by the statement itself.
        (of_mariadb("<derived2>", "ALL", "23598"), None),
        (of_mysql("<derived2>", "ALL", 23598), None),
        (of_mysql("<union1,2>", "ALL", None, "Using temporary"), None),
        (of_mysql("<subquery3>", "ALL", None), None),
        # No table at all.
        (of_mariadb(None, None, None, "No tables used"), None),
        (of_mysql(None, None, None, "no matching row in const table"), None),
        # Tiny.
        (of_mariadb("countries", "ALL", "1000"), None),
        (of_mysql("countries", "index", 1000, key="PRIMARY"), None),
        (of_mysql("orders", "ALL", 1001), ORDERS),
    ],
)  # fmt: skip
def test_what_reads_a_whole_table_that_is_not_tiny_is_found(
    row: dict[str, Any], found: Scan | None
) -> None:
    harmless = of_mysql("shop", "const", 1)
    assert scans([harmless, row]) == ([found] if found else [])
    assert scans([]) == []


def told(sql: str, row: dict[str, Any]) -> str:
    [scan] = scans([row])
    return scan.describe(replace(SHIPPED, name="odd.sql", sql=sql), ["shop-1", "shop-7"])


def test_the_sentence_names_file_table_rows_entities_and_remedy() -> None:
    assert told("SELECT 1 FROM orders", of_mariadb("orders", "ALL", "585104")) == (
        "odd.sql: reads all of table orders (about 585,104 rows) for shop-1, shop-7:"
        " no index fits. Add an index to orders that begins with the column that selects the"
        " entity."
    )
    assert "it reads all of index shop. Add an index to orders that begins" in told(
        "SELECT 1 FROM orders", of_mysql("orders", "index", 585756, key="shop")
    )
    unused = told("SELECT 1 FROM orders", of_mysql("orders", "ALL", 585756, possible_keys="shop"))
    assert "shop-7: the server does not use index shop. Either the SQL compares" in unused
    assert unused.endswith("ANALYZE TABLE orders.")


@pytest.mark.parametrize(
    ("index", "unused_index", "affected", "choice"),
    [
        (None, SHOP, ["shop-7"], True),
        (None, SHOP, ["shop-1", "shop-7"], False),
        (None, None, ["shop-7"], False),
        (SHOP, SHOP, ["shop-7"], False),
    ],
)
def test_what_a_server_does_for_those_alone_who_have_many_of_the_rows_is_its_choice(
    index: str | None, unused_index: str | None, affected: list[str], choice: bool
) -> None:
    scan = Scan(table="orders", index=index, unused_index=unused_index, rows=5000)
    assert scan.is_choice(affected, ["shop-1", "shop-7"]) is choice


@pytest.mark.parametrize(
    ("sql", "table"),
    [
        ("SELECT 1 FROM orders AS o WHERE o.id = 1", "orders"),
        ("SELECT 1 FROM shops s JOIN `orders` `o` ON 1", "orders"),
        ("SELECT 1 from shops s, shop.orders\n o where 1", "shop.orders"),
        ("SELECT 1 FROM orders AS other, oddities AS os", "o"),
        ("SELECT (SELECT 1 FROM orders o) FROM payments o", "o"),
        ("SELECT 1 FROM o", "o"),
    ],
)
def test_a_table_is_called_by_its_name_where_that_is_plain_to_see(sql: str, table: str) -> None:
    assert f"reads all of table {table} (" in told(sql, of_mysql("o", "ALL", 5000))
