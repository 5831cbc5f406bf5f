"""What the sources and the documents say, side by side."""

import ast
import re
from collections.abc import Iterator

from tests.stack.paths import ROOT

REFERENCE = ROOT / "docs" / "reference.md"


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Give every call in fraudd's sources, and where it is."""
    for path in sorted((ROOT / "fraudd").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def table(heading: str) -> list[list[str]]:
    """Give the cells of the first table below a heading of the reference, row by row."""
    _, _, section = REFERENCE.read_text("utf-8").partition(f"\n## {heading}\n")
    section, _, _ = section.partition("\n## ")
    first, _, _ = section[section.index("\n|") + 1 :].partition("\n\n")
    lines = first.splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def quoted(cell: str) -> list[str]:
    """Give what stands in `backticks` in a cell."""
    return re.findall(r"`([^`]+)`", cell)
