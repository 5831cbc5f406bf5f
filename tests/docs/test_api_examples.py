"""``docs/api.md`` is executed as written, block after block, against one daemon."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from fraudd.config import Config
from tests.stack.daemon import Start
from tests.stack.paths import ROOT

DOCUMENT = ROOT / "docs" / "api.md"
WRITTEN_FOR = "http://127.0.0.1:8080"
ANYTHING = "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A block to execute, and the one after it that says what comes of it."""

    line: int
    language: str
    code: str
    kind: str
    expected: str


def examples(text: str) -> Iterator[Example]:
    """The blocks to execute, in order."""
    fences = re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    blocks = [(text.count("\n", 0, at.start()) + 1, at[1], at[2]) for at in fences]
    for (line, language, code), (_, kind, expected) in pairwise([*blocks, (0, "", "")]):
        if language in ("sh", "python"):
            told = kind if kind in ("json", "http") else ""
            yield Example(line=line, language=language, code=code, kind=told, expected=expected)


async def executed(example: Example, url: str) -> str:
    """Execute a block; gives what it printed. It must not fail."""
    code = example.code.replace(WRITTEN_FOR, url)
    if "fraudd " in code and example.language == "sh" and "curl" not in code:
        code = re.sub(r"^(fraudd .*)$", rf"\1 --url {url}", code, flags=re.MULTILINE)
    program = ["bash", "-euc"] if example.language == "sh" else [sys.executable, "-c"]
    process = await asyncio.create_subprocess_exec(
        *program,
        code,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, f"line {example.line}: {err.decode()}"
    return out.decode()


def holds(expected: Any, told: Any) -> bool:
    """Whether an answer has all that is expected of it."""
    match expected:
        case str() if expected == ANYTHING:
            return told is not None
        case dict():
            return isinstance(told, dict) and all(
                name in told and holds(part, told[name]) for name, part in expected.items()
            )
        case list():
            return (
                isinstance(told, list)
                and len(told) == len(expected)
                and all(map(holds, expected, told))
            )
        case _:
            return bool(expected == told)


def has_lines(expected: str, printed: str) -> bool:
    """Whether the head of an answer has each of the lines that are expected."""
    lines = [line.strip() for line in printed.splitlines()]
    return all(
        any(
            re.fullmatch(re.escape(wanted).replace(ANYTHING, ".+"), line, re.IGNORECASE)
            for line in lines
        )
        for wanted in expected.splitlines()
    )


async def test_every_example_does_what_the_document_says(start: Start, config: Config) -> None:
    told = list(examples(DOCUMENT.read_text("utf-8")))
    assert len(told) > 12
    async with start(config) as fraudd:
        for example in told:
            printed = await executed(example, fraudd.url)
            match example.kind:
                case "json":
                    expected = json.loads(example.expected)
                    assert holds(expected, json.loads(printed)), f"line {example.line}: {printed}"
                case "http":
                    assert has_lines(example.expected, printed), f"line {example.line}: {printed}"
                case _:
                    assert printed, f"line {example.line} printed nothing"


def test_an_answer_that_is_not_as_written_is_noticed() -> None:
    assert holds({"a": ANYTHING}, {"a": 1, "b": 2})
    assert not holds({"a": ANYTHING}, {"b": 2})
    assert not holds({"a": 1}, {"a": 2})
    assert not holds([{"a": 1}], [])
    assert has_lines("HTTP/1.1 200 OK\nETag: …", "HTTP/1.1 200 OK\r\netag: x\r\n")
    assert not has_lines("ETag: …", "HTTP/1.1 200 OK\r\n")
