"""The tree of packages: what belongs where, and the limits of size that keep it readable.

`python -m tests.tree` prints the tree from the packages' docstrings, and what is over a limit.
With `--write`, it updates the tree that CONTRIBUTING.md shows.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fraudd"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"

#: A module is read in one sitting.
MAX_MODULE_LINES = 300
#: A function is read without scrolling.
MAX_FUNCTION_LINES = 60
#: More parameters are several things: they become values with names.
MAX_PARAMETERS = 8
#: Files of the root that are not in a package: what every package may use, and what joins them.
MAX_ROOT_FILES = 8

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> Sequence[Path]:
    """Give every module of fraudd."""
    return sorted(PACKAGE.rglob("*.py"))


def packages() -> Sequence[Path]:
    """Give the folder of every package below fraudd."""
    return [
        path.parent for path in modules() if path.name == "__init__.py" and path.parent != PACKAGE
    ]


def docstring(path: Path) -> str:
    """Give a module's docstring, empty if it has none."""
    return ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""


def tree() -> str:
    """Describe every package by its docstring."""
    lines = ["fraudd/"]
    for folder in packages():
        depth = len(folder.relative_to(PACKAGE).parts)
        name = "  " * depth + f"{folder.name}/"
        lines.append(f"{name:<18}{docstring(folder / '__init__.py')}")
    return "\n".join(lines)


def oversized() -> Iterator[str]:
    """Name every module, function, and list of parameters that is over its limit."""
    for path in modules():
        text, name = path.read_text("utf-8"), str(path.relative_to(ROOT))
        if (lines := text.count("\n")) > MAX_MODULE_LINES:
            yield f"{name}: {lines} lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, Function):
                yield from _oversized(name, node)


def _oversized(module: str, function: Function) -> Iterator[str]:
    place = f"{module}: {function.name}"
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if lines > MAX_FUNCTION_LINES:
        yield f"{place}: {lines} lines"
    if (parameters := len(_parameters(function))) > MAX_PARAMETERS:
        yield f"{place}: {parameters} parameters"


def _parameters(function: Function) -> Sequence[str]:
    arguments = function.args
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def write() -> None:
    """Put the tree into CONTRIBUTING.md."""
    text = CONTRIBUTING.read_text("utf-8")
    before, fence, rest = text.partition("```\nfraudd/\n")
    assert fence, "CONTRIBUTING.md has a block that begins with fraudd/"
    CONTRIBUTING.write_text(f"{before}```\n{tree()}\n```{rest.partition('```')[2]}", "utf-8")


if __name__ == "__main__":
    if "--write" in sys.argv:
        write()
    print(tree(), *oversized(), sep="\n")
