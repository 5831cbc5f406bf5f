"""The blocks of ``docs/operations.md``: what they are, and what they need."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from tests.stack.paths import ROOT

RUNBOOK = ROOT / "docs" / "operations.md"
#: Marks of blocks that need more than a daemon, a database and an emulator of AWS on this machine.
NEEDS = {
    "systemd": "a machine with the service on it: tests/systemd has one",
    "aws": "an account on AWS: what the emulator does not have, or a second region",
}
_FENCE = re.compile(r"^( *)```(\w+)(?: (\w+))?\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of commands, and the line it stands on; ``needs`` is one of ``NEEDS`` or None."""

    line: int
    language: str
    needs: str | None
    code: str


def blocks() -> Sequence[Block]:
    """Every block of the runbook, in order."""
    text = RUNBOOK.read_text("utf-8")
    return [
        Block(
            line=text.count("\n", 0, found.start()) + 1,
            language=found[2],
            needs=found[3],
            code=textwrap.dedent(found[4]),
        )
        for found in _FENCE.finditer(text)
    ]


def section(heading: str) -> str:
    """The text below a heading, up to the next."""
    _, _, after = RUNBOOK.read_text("utf-8").partition(f"\n## {heading}\n")
    return after.partition("\n## ")[0]
