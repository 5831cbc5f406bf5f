"""Feature files: what is read from them, and what is refused with which words."""

from pathlib import Path

import pytest

from fraudd.errors import Misconfigured
from fraudd.scoring.feature_files import FeatureFiles, load
from tests.stack.paths import ROOT

SHOP = """\
-- The shop's own row.
-- exists
-- feature shop_age_days: days since it opened | shop is {value:.0f} days old
SELECT 1 AS shop_age_days FROM shops WHERE shop_id = %(entity_id)s
"""
ORDERS = """\
-- feature orders_1d: orders in one day | {value:.0f} orders in one day
-- feature share: share of something | {value:.0%} of something
SELECT COUNT(*) AS orders_1d, 0.5 AS share -- it's half, always
  FROM orders
 WHERE shop_id = %(entity_id)s AND created_at <= %(as_of)s AND note NOT LIKE '%%NOW()%%'
"""
RHYTHM = """\
-- Rows as they come: a comment like any other.
-- feature night: share of the orders at night | {value:.0%} at night
-- feature variation: how unevenly orders come | {value:.1f}
-- rows: night = night_share(created_at, 6.5)
-- rows: variation = gap_variation( created_at )
SELECT created_at FROM orders WHERE shop_id = %(entity_id)s ORDER BY created_at
"""


def files(folder: Path, **contents: str) -> FeatureFiles:
    for name, content in contents.items():
        (folder / f"{name}.sql").write_text(content)
    return load(folder)


def test_files_give_their_features_and_the_one_who_knows_who_exists_is_first(
    tmp_path: Path,
) -> None:
    loaded = files(tmp_path, aa_orders=ORDERS, shop=SHOP)
    assert [file.name for file in loaded.files] == ["shop.sql", "aa_orders.sql"]
    assert list(loaded.features) == ["shop_age_days", "orders_1d", "share"]
    assert loaded.features["share"].reason(0.251) == "25% of something"
    assert loaded.features["share"].reason(None) == "share of something: unknown"


def test_the_header_is_not_sent_to_the_server_but_whose_statement_it_is(tmp_path: Path) -> None:
    sql = files(tmp_path, shop=SHOP).files[0].sql
    assert sql.startswith("/* fraudd shop */ SELECT 1")
    assert "feature" not in sql


def test_the_digest_changes_with_the_sql_and_not_with_its_words(tmp_path: Path) -> None:
    before = files(tmp_path, shop=SHOP).digest
    assert files(tmp_path, shop=SHOP.replace("days old", "days young")).digest == before
    assert files(tmp_path, shop=SHOP.replace("SELECT 1", "SELECT 2")).digest != before


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("COUNT(*)", "NOW()", "uses NOW, which returns a different value each time"),
        ("COUNT(*)", "curdate ( )", "uses CURDATE"),
        ("COUNT(*)", "SYSDATE(3)", "uses SYSDATE"),
        ("COUNT(*)", "RAND()", "uses RAND"),
        ("COUNT(*)", "CURRENT_TIMESTAMP", "uses CURRENT_TIMESTAMP"),
        ("COUNT(*)", "UNIX_TIMESTAMP()", "uses UNIX_TIMESTAMP"),
        ("COUNT(*)", "/*!50000 NOW() */", "uses NOW"),
        ("%(as_of)s", "%(asof)s", r"%\(asof\)s is unknown"),
        ("%(entity_id)s", "'shop-1'", r"does not use %\(entity_id\)s"),
        ("%%NOW", "%NOW", "a literal percent sign must be written as %%"),
        ("SELECT COUNT", "UPDATE x; SELECT COUNT", "must be one SELECT"),
        ("SELECT COUNT", "DELETE FROM x", "must be one SELECT"),
        ("feature orders_1d:", "feature Orders:", "'Orders' must be lower_snake_case"),
        ("feature orders_1d:", "feature share:", "feature share is declared twice"),
        ("{value:.0f} orders", "{value:.0q} orders", "cannot format a value"),
        ("{value:.0f} orders", "{count} orders", "cannot format a value"),
        (" | {value:.0f} orders in one day", "", "orders.sql:1: must be '-- feature NAME"),
        (
            "feature share:",
            "feature shop_age_days:",
            "feature shop_age_days is already",
        ),
        ("-- feature share:", "-- exists\n-- feature share:", "exactly one file must have"),
    ],
)
def test_what_cannot_work_is_refused_at_load(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in ORDERS
    with pytest.raises(Misconfigured, match=says):
        files(tmp_path, shop=SHOP, orders=ORDERS.replace(old, new))


def test_a_file_of_rows_says_what_becomes_of_them(tmp_path: Path) -> None:
    _, rhythm = files(tmp_path, shop=SHOP, rhythm=RHYTHM).files
    assert [str(reduction) for reduction in rhythm.reductions] == [
        "night = night_share(created_at, 6.5)",
        "variation = gap_variation(created_at)",
    ]
    assert "night_share" not in rhythm.sql


def test_the_digest_changes_with_what_reduces_the_rows(tmp_path: Path) -> None:
    before = files(tmp_path, shop=SHOP, rhythm=RHYTHM).digest
    other = files(tmp_path, shop=SHOP, rhythm=RHYTHM.replace("6.5", "6.25")).digest
    assert other != before


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "night_share(",
            "nightly(",
            "rhythm.sql:4: reducer nightly is unknown: use one of benford",
        ),
        (", 6.5", "", "rhythm.sql:4: night_share takes (COLUMN, HOUR)"),
        (", 6.5", ", 25", "rhythm.sql:4: HOUR must be more than 0 and less than 24"),
        ("( created_at )", "(created_at, 1)", "rhythm.sql:5: gap_variation takes (COLUMN)"),
        (", 6.5", ", six", "rhythm.sql:4: must be '-- rows: FEATURE = REDUCER(COLUMN)' or"),
        (
            "rows: night =",
            "rows: night",
            "rhythm.sql:4: must be '-- rows: FEATURE = REDUCER(COLUMN)",
        ),
        (
            "-- rows: variation",
            "-- over: variation",
            "feature variation needs a line '-- rows:",
        ),
        (
            "-- feature variation",
            "-- variation",
            "a '-- rows:' line names variation, which",
        ),
        ("rows: variation", "rows: night", "rhythm.sql: feature night has two '-- rows:' lines"),
        ("-- Rows", "-- exists\n-- Rows", "rhythm.sql: has both '-- exists' and '-- rows:'"),
    ],
)
def test_rows_that_cannot_be_reduced_are_refused_at_load(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    assert old in RHYTHM
    with pytest.raises(Misconfigured) as refused:
        files(tmp_path, shop=SHOP, rhythm=RHYTHM.replace(old, new))
    assert any(says in problem for problem in refused.value.problems)


def test_samples_are_read_from_the_file_that_knows_who_exists_and_sent_with_no_run(
    tmp_path: Path,
) -> None:
    before = files(tmp_path, shop=SHOP).digest
    samples = "-- sample: SELECT 'shop-1'\n--sample:  SELECT id FROM x WHERE at <= %(as_of)s;\n"
    loaded = files(tmp_path, shop=samples + SHOP)
    assert loaded.digest == before
    assert loaded.files[0].samples == ["SELECT 'shop-1'", "SELECT id FROM x WHERE at <= %(as_of)s;"]
    assert "sample" not in loaded.files[0].sql


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        ("-- sample SELECT 1", "shop.sql:1: must be '-- sample: SELECT ...'"),
        ("-- sample: DELETE FROM x", "shop.sql:1: must be one SELECT"),
        ("-- sample: SELECT 1; SELECT 2", "shop.sql:1: must be one SELECT"),
        ("-- sample: SELECT %(entity_id)s", r"shop.sql:1: placeholder %\(entity_id\)s"),
        ("-- sample: SELECT id FROM x WHERE id LIKE 'a%'", "shop.sql:1: a literal percent sign"),
    ],
)
def test_a_sample_that_cannot_work_is_refused(tmp_path: Path, sample: str, says: str) -> None:
    with pytest.raises(Misconfigured, match=says):
        files(tmp_path, shop=f"{sample}\n{SHOP}")


def test_a_sample_in_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"orders.sql: move '-- sample:' into the file"):
        files(tmp_path, shop=SHOP, orders=f"-- sample: SELECT 1\n{ORDERS}")


def test_all_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as refused:
        files(tmp_path, shop=SHOP.replace("1 AS", "NOW() AS"), orders="-- nothing\nSELECT 1")
    told = " ".join(refused.value.problems)
    assert "shop.sql: uses NOW" in told
    assert "orders.sql: no line declares a feature" in told


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no feature files"):
        load(tmp_path)


def test_the_shipped_features_load() -> None:
    assert len(load(ROOT / "config" / "features").features) >= 25
