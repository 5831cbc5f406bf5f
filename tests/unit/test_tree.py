"""The tree of fraudd: small modules, short functions, and a place for everything."""

from pathlib import Path

import pytest

from tests import tree


def test_nothing_is_over_its_limit() -> None:
    assert list(tree.oversized()) == []


def test_the_root_holds_few_files() -> None:
    files = [path.name for path in tree.PACKAGE.iterdir() if path.is_file()]
    assert len(files) <= tree.MAX_ROOT_FILES, files


@pytest.mark.parametrize("package", tree.packages(), ids=lambda path: path.name)
def test_a_package_says_in_one_line_what_belongs_there(package: Path) -> None:
    text = tree.docstring(package / "__init__.py")
    assert text.endswith(".")
    assert "\n" not in text


def test_contributing_shows_the_tree() -> None:
    assert f"```\n{tree.tree()}\n```" in tree.CONTRIBUTING.read_text("utf-8"), (
        "python -m tests.tree --write"
    )
