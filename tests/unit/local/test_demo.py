"""The demo platform on a small scale: the same seed makes the same rows, and they fit together.

Its size and its statistics need the full scale: ``tests/integration/test_demo_platform.py``.
"""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from fraudd.local.platform.columns import Column
from fraudd.local.platform.load import write_tables
from fraudd.local.platform.platform import (
    Demo,
    Label,
    generate,
    labels,
    scenarios,
    write_labels,
)
from fraudd.local.platform.rhythm import rhythm_before
from tests.stack.demo import DAY, INVARIANTS, NOW, SCENARIOS, at, in_progress, orders_by_shop


@pytest.fixture(scope="module")
def small() -> Demo:
    return generate(seed=1, now=NOW, scale=0.05)


@pytest.mark.parametrize("holds", INVARIANTS)
def test_it_holds_on_a_small_scale(small: Demo, holds: Callable[[Demo], None]) -> None:
    holds(small)


def test_the_same_seed_makes_the_same_platform(small: Demo) -> None:
    again = generate(seed=1, now=NOW, scale=0.05)
    for table, columns in small.tables.items():
        for name, column in columns.items():
            assert column.tobytes() == again.tables[table][name].tobytes(), f"{table}.{name}"


def test_another_seed_makes_another_platform(small: Demo) -> None:
    other = generate(seed=2, now=NOW, scale=0.05)
    assert scenarios(other) != scenarios(small)


def test_the_zone_of_now_does_not_matter(small: Demo) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=9)))
    there = generate(seed=1, now=elsewhere, scale=0.05)
    assert np.array_equal(
        there.tables["orders"]["created_at"], small.tables["orders"]["created_at"]
    )


def test_scale_multiplies_shops_and_orders(small: Demo) -> None:
    count = orders_by_shop(small)
    assert count.size >= 150
    assert count.max() >= 2_500
    assert count.sum() >= 25_000


@pytest.mark.parametrize("scale", [0.001, 0.01])
def test_the_smallest_platforms_can_be_made(scale: float) -> None:
    tiny = generate(seed=3, now=NOW, scale=scale)
    assert tiny.tables["shops"]["shop_id"].size >= 1
    assert all(row.label in (0, 1) for row in labels(tiny))


@pytest.mark.parametrize("days", range(7))
def test_the_sale_is_a_weekend_well_before_now(days: int) -> None:
    now = at(NOW + timedelta(days=days))
    sale = rhythm_before(now).sale
    assert 200 - 19 < sale <= 200 - 12
    begins = now - 200 * DAY + np.timedelta64(round(sale * 86_400), "s")
    assert begins == begins.astype("datetime64[D]")
    assert (begins - np.datetime64("2026-11-28", "s")) % (7 * DAY) == np.timedelta64(0)  # Saturday


@pytest.mark.parametrize("seed", range(10, 16))
def test_all_scenarios_are_in_progress_on_a_small_platform_too(seed: int) -> None:
    found = in_progress(generate(seed=seed, now=NOW, scale=0.05))
    assert found.keys() == SCENARIOS
    assert min(found.values()) >= 2


def test_labels_are_written_as_csv(tmp_path: Path) -> None:
    moment = datetime(2026, 10, 30, 14, tzinfo=timezone(timedelta(hours=2)))
    rows = [Label(entity_id="shop-7", as_of=moment, label=1)]
    write_labels(tmp_path / "labels.csv", rows)
    text = (tmp_path / "labels.csv").read_text()
    assert text == "entity_id,as_of,label\nshop-7,2026-10-30T12:00:00.000Z,1\n"


def test_tables_are_written_as_the_database_reads_them(tmp_path: Path) -> None:
    columns: dict[str, Column] = {
        "id": np.array([1, 20, 100_305]),
        "order_id": np.array([-1, 0, 7]),
        "amount": np.array([0.5, 1_234.07, 20_000.0]),
        "card_hash": np.array([b"00ff", b"abcd", b"1234"]),
        "at": np.array(["NaT", "1969-12-31T23:59:59", "2026-11-24T08:00:09"], "datetime64[s]"),
    }
    demo = Demo(tables={"things": columns}, now=NOW, begins=NOW, ends=NOW)
    files = write_tables(demo, tmp_path)
    assert files["things"].read_text().splitlines() == [
        "1\t\\N\t0.50\t00ff\t\\N",
        "20\t0\t1234.07\tabcd\t1969-12-31 23:59:59",
        "100305\t7\t20000.00\t1234\t2026-11-24 08:00:09",
    ]


def test_a_file_has_a_line_for_each_row(small: Demo, tmp_path: Path) -> None:
    files = write_tables(small, tmp_path)
    assert files.keys() == small.tables.keys()
    for name, columns in small.tables.items():
        lines = files[name].read_bytes().splitlines()
        assert len(lines) == next(iter(columns.values())).size
        assert {line.count(b"\t") for line in lines} == {len(columns) - 1}


def test_a_now_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        generate(seed=1, now=NOW.replace(tzinfo=None))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_a_scale_that_is_not_positive_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="scale"):
        generate(seed=1, now=NOW, scale=scale)
