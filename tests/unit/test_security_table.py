"""docs/security.md: every attack in its table names a test that there is."""

import ast
import re

from tests.stack.paths import ROOT

_ROW = re.compile(r"^\| (?P<attack>[^|]+) \| (?P<outcome>[^|]+) \| `(?P<test>[^`|]+)` \|$")


def rows() -> list[re.Match[str]]:
    _, _, table = (ROOT / "docs" / "security.md").read_text().partition("## Attacks")
    lines = [line for line in table.splitlines() if line.startswith("|")][2:]
    found = [_ROW.match(line) for line in lines]
    assert None not in found, lines[found.index(None)]
    return [row for row in found if row is not None]


def test_every_attack_has_a_test_that_there_is() -> None:
    for row in rows():
        path, _, name = row["test"].partition("::")
        tree = ast.parse((ROOT / path).read_text())
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        assert name in {node.name for node in tree.body if isinstance(node, kinds)}, row["test"]


def test_there_are_thirty_attacks_and_no_test_stands_for_two() -> None:
    tests = [row["test"] for row in rows()]
    assert len(tests) >= 30
    assert len(set(tests)) == len(tests)
