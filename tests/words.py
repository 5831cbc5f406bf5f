"""A lint for English: findings in the texts of the code, the shipped files, and the documents.

`python -m tests.words [PATH…]` lists them. Code must have none. Documents have a budget, which
may only shrink (`tests/words_budget.json`; `python -m tests.words --budget` writes it).
"""

import ast
import io
import json
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUDGET = ROOT / "tests" / "words_budget.json"

#: In every text: the rule, what it looks for, and what to write instead.
RULES: Sequence[tuple[str, re.Pattern[str], str]] = (
    (
        "clause",
        re.compile(r"(?:^|[.;:(|] )(?:Who|What) [a-z]+(?![^.;:|]*\?)"),
        "a clause is the subject: name the actor and the thing",
    ),
    ("clause", re.compile(r"\b[Ww]hoever\b|\b[Ww]hatever\b"), "name the actor and the thing"),
    (
        "where",
        re.compile(r"\bWhere (?:there|the|a|an|no|not|only|it|this|that|these|somebody|nobody)\b"),
        "where is for places: write if or when",
    ),
    (
        "where",
        re.compile(r"\bwhere (?:there|no|not|only|somebody|nobody)\b"),
        "where is for places: write if or when",
    ),
    (
        "old",
        re.compile(
            r"\b(?:mend\w*|anew|owed|in hand|of late|hasten\w*|seldom|put off|speaks for"
            r"|comes? of it|out of reach|lets? go|holds? up|is told|are told)\b",
            re.IGNORECASE,
        ),
        "not a word of the field, or not of today",
    ),
    (
        "quantity",
        re.compile(r"\b[Ss]o (?:many|much|long)\b(?! as)|\b\d[\d,]* at most\b|\bthis many\b"),
        "write: at most N, up to N, the number of X",
    ),
)
_LONGEST = 28
_SENTENCE_END = re.compile(r"(?<=[.!?])[*)\"]*\s+(?=[A-Z(*`\"«x]|fraudd)|\s[-*] (?=[A-Z`])|\s\|\s")
#: Lines of feature files that fraudd reads.
_DIRECTIVE = re.compile(r"-- [a-z]+( [a-z_0-9]+)?(:|$)")


@dataclass(frozen=True, slots=True)
class Finding:
    """A place, the rule that it breaks, and the words."""

    path: str
    line: int
    rule: str
    words: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: «{self.words}»: {self.remedy}"


@dataclass(frozen=True, slots=True)
class Text:
    """A text and the line where it begins. Prose is held to the length of sentences, too."""

    line: int
    words: str
    prose: bool


def findings(path: Path) -> Iterator[Finding]:
    """Give the findings of a file."""
    name = str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
    for text in _texts(path):
        words = " ".join(text.words.split())
        for rule, pattern, remedy in RULES:
            for match in pattern.finditer(words):
                yield Finding(name, text.line, rule, _around(words, match), remedy)
        if text.prose:
            for rule, sentence, remedy in _long(words):
                yield Finding(name, text.line, rule, sentence[:70], remedy)


def _around(words: str, match: re.Match[str]) -> str:
    return words[match.start() : match.end() + 30].strip()


def _long(words: str) -> Iterator[tuple[str, str, str]]:
    plain = re.sub(r"``[^`]*``|`[^`]*`|https?://[^\s)]+", "x", words)
    for sentence in re.split(
        r"(?<=[.!?])[*)\"]*\s+(?=[A-Z(*`\"«x]|fraudd)|\s[-*] (?=[A-Z`])|\s\|\s", plain
    ):
        count = len(re.findall(r"[\w'-]+", sentence))
        if count > _LONGEST:
            yield "length", sentence, f"{count} words: at most {_LONGEST}"
        if ";" in sentence:
            yield "semicolon", sentence, "write two sentences"


def _texts(path: Path) -> Iterator[Text]:
    source = path.read_text("utf-8")
    match path.suffix:
        case ".py":
            yield from _of_python(source)
        case ".md":
            yield from _of_markdown(source)
        case ".json":
            yield from _of_json(source)
        case _:
            lines = source.splitlines()
            yield from _comments(["" if _DIRECTIVE.match(line) else line for line in lines])
            yield from (Text(n, s, prose=False) for n, s in enumerate(lines, 1) if "--" in s)
            if path.suffix in (".yaml", ".yml"):
                yield from (Text(n, s, prose=False) for n, s in _scalars(source))


def _of_python(source: str) -> Iterator[Text]:
    nodes = list(ast.walk(ast.parse(source)))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in nodes
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    parts = {
        id(value) for node in nodes if isinstance(node, ast.JoinedStr) for value in node.values
    }
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            words = "".join(
                str(v.value) if isinstance(v, ast.Constant) else "X" for v in node.values
            )
            yield Text(node.lineno, words, prose=False)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) in docstrings:
                yield from _paragraphs(node.lineno, node.value)
            elif " " in node.value and id(node) not in parts:
                yield Text(node.lineno, node.value, prose=False)
    if "#" not in source:
        return  # it has no comments
    numbered = [
        (token.start[0], token.string)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    yield from _joined(numbered)


def _paragraphs(line: int, text: str) -> Iterator[Text]:
    for paragraph in re.split(r"\n\s*\n", text):
        if not paragraph.lstrip("\n").startswith("        "):
            yield Text(line, paragraph, prose=True)
        line += paragraph.count("\n") + 2


def _of_markdown(source: str) -> Iterator[Text]:
    fenced = False
    block: list[str] = []
    first = 1
    for number, raw in enumerate([*source.splitlines(), ""], 1):
        fence = raw.lstrip().startswith("```")
        fenced = fenced != fence
        if fenced:
            continue
        line = "" if fence else raw
        starts = not line.strip() or re.match(r"\s*([-*#|>]|\d+\.)", line)
        if starts and block:
            yield Text(first, " ".join(block), prose=True)
            block = []
        if line.strip():
            if not block:
                first = number
            block.append(line.strip())


def _of_json(source: str) -> Iterator[Text]:
    def walk(value: object) -> Iterator[str]:
        match value:
            case dict():
                for name, child in value.items():
                    if name in ("title", "description", "content", "text", "legendFormat"):
                        yield from (child,) if isinstance(child, str) else walk(child)
                    else:
                        yield from walk(child) if not isinstance(child, str) else ()
            case list():
                for child in value:
                    yield from walk(child)

    for words in walk(json.loads(source)):
        line = source[: max(source.find(json.dumps(words)[1:20]), 0)].count("\n") + 1
        yield Text(line, words, prose=False)


def _scalars(source: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(source.splitlines(), 1):
        if not line.lstrip().startswith("#") and len(line.split()) > 3:
            yield number, line.strip()


def _comments(lines: Sequence[str]) -> Iterator[Text]:
    yield from _joined(
        [
            (number, line.strip())
            for number, line in enumerate(lines, 1)
            if re.match(r"\s*(#|--) ", line) and not re.match(r"\s*# \w+ = ", line)
        ]
    )


def _joined(numbered: Sequence[tuple[int, str]]) -> Iterator[Text]:
    """Join the comments of lines that follow each other into one text."""
    block: list[str] = []
    first = last = 0
    for number, line in [*numbered, (-1, "")]:
        if block and number != last + 1:
            yield Text(first, " ".join(block), prose=True)
            block = []
        if not block:
            first = number
        words = re.sub(r"^(#+:?|--)\s*", "", line)
        block += [] if re.match(r"noqa|type:|pragma", words) else [words]
        last = number


def code() -> list[Path]:
    """Give the files that may have no findings: sources and shipped files."""
    shipped = [
        *(ROOT / "config").rglob("*"),
        *(ROOT / "systemd").rglob("*"),
        ROOT / "Makefile",
        *(ROOT / "packaging").rglob("*"),
    ]
    return sorted([*(ROOT / "fraudd").rglob("*.py"), *(p for p in shipped if p.is_file())])


def documents() -> list[Path]:
    """Give the files that have a budget of findings."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def counts() -> dict[str, dict[str, int]]:
    """Count the findings of each document by rule."""
    found = {
        str(path.relative_to(ROOT)): Counter(finding.rule for finding in findings(path))
        for path in documents()
    }
    return {name: dict(sorted(rules.items())) for name, rules in found.items() if rules}


def main(arguments: Sequence[str]) -> int:
    """List the findings of the given paths (default: code), or write the documents' budget."""
    if arguments == ["--budget"]:
        BUDGET.write_text(json.dumps(counts(), indent=1) + "\n")
        return 0
    chosen: list[Path] = []
    for argument in arguments:
        path = Path(argument).resolve()
        chosen += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    total = 0
    for path in chosen or code():
        for finding in findings(path):
            print(finding)
            total += 1
    print(f"{total} findings")
    return min(total, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
