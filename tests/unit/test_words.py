"""The words of the documents: held to the rules of tests/words.py."""

import json
import re
from pathlib import Path

import pytest

from tests import words


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Who asks for a run is answered.", "clause"),
        ("What no handler saw is refused.", "clause"),
        ("The message goes to whoever waits.", "clause"),
        ("Where there is no queue, fraudd stops.", "where"),
        ("The run is owed.", "old"),
        ("So many runs may wait.", "quantity"),
        ("It takes 10 at most.", "quantity"),
        ("The run waits; the message stays.", "semicolon"),
        (" ".join(["word"] * 29) + ".", "length"),
    ],
)
def test_each_rule_finds_what_it_forbids(tmp_path: Path, text: str, rule: str) -> None:
    assert _rules(tmp_path, f'"""{text}"""\n') == [rule]
    assert _rules(tmp_path, f"# {text}\n") == [rule]


def test_plain_sentences_have_no_findings(tmp_path: Path) -> None:
    assert _rules(tmp_path, '"""Answer a request. If the queue is empty, wait for it."""\n') == []


def test_messages_may_name_two_things(tmp_path: Path) -> None:
    assert _rules(tmp_path, 'print(f"{name}: not found; run fraudd check")\n') == []


def test_documents_get_no_worse() -> None:
    budget = json.loads(words.BUDGET.read_text("utf-8"))
    worse = {
        f"{name}: {rule}": (budget.get(name, {}).get(rule, 0), count)
        for name, rules in words.counts().items()
        for rule, count in rules.items()
        if count > budget.get(name, {}).get(rule, 0)
    }
    assert not worse, "python -m tests.words FILE lists them"


def _rules(folder: Path, source: str) -> list[str]:
    path = folder / "module.py"
    path.write_text(source)
    return [finding.rule for finding in words.findings(path)]


def test_every_relative_link_of_a_document_leads_somewhere() -> None:
    broken = [
        f"{path.relative_to(words.ROOT)}: {target}"
        for path in words.documents()
        for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", path.read_text("utf-8"))
        if not (path.parent / target).exists()
    ]
    assert not broken


def test_the_code_and_the_shipped_files_have_no_findings() -> None:
    found = [str(finding) for path in words.code() for finding in words.findings(path)]
    assert not found
