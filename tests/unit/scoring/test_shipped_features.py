"""The shipped feature SQL, by its text: names, reasons, windows, and what it must not read."""

import re

import pytest

from tests.stack.paths import ROOT


def feature_files() -> dict[str, tuple[str, str]]:
    """Header and statement of each feature file."""
    files = {}
    for file in sorted((ROOT / "config" / "features").glob("*.sql")):
        header, select, statement = file.read_text().partition("\nSELECT")
        files[file.name] = (header, select + statement)
    return files


def test_features_have_names_of_their_own_and_reasons() -> None:
    names = []
    for header, statement in feature_files().values():
        for name, reason in re.findall(r"^-- feature (\w+): .+? \| (.+)$", header, re.M):
            assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
            assert reason.format(value=1.5) != reason
            assert re.search(rf"AS {name}\b", statement) or f"-- rows: {name} = " in header, name
            names.append(name)
        assert len(re.findall(r"^-- feature ", header, re.M)) > 0
    assert len(names) == len(set(names))
    assert 25 <= len(names) <= 40


def test_one_feature_file_says_whether_the_shop_exists() -> None:
    marked = [name for name, (header, _) in feature_files().items() if "-- exists\n" in header]
    assert marked == ["shop.sql"]


@pytest.mark.parametrize("name", feature_files())
def test_features_read_nothing_that_changes_in_place_or_knows_the_answer(name: str) -> None:
    _, statement = feature_files()[name]
    words = set(re.findall(r"\w+", re.sub(r"--.*", "", statement).lower()))
    assert not words & {"fraud_scenarios", "status", "closed_at", "users"}
    assert not words & {"now", "curdate", "current_timestamp", "sysdate", "rand", "uuid"}
    bound = statement.replace("%(entity_id)s", "").replace("%(as_of)s", "")
    assert "%" not in bound.replace("%%", "")


@pytest.mark.parametrize("name", feature_files())
def test_windows_of_features_are_half_open_and_sixty_days_at_most(name: str) -> None:
    _, statement = feature_files()[name]
    assert ">= %(as_of)s" not in statement
    assert "< %(as_of)s" not in statement
    assert all(int(days) <= 60 for days in re.findall(r"INTERVAL (\d+) DAY", statement))
