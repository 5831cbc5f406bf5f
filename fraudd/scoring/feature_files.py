"""Feature files: each one SELECT, whose header says what its columns mean.

::

    -- Chargebacks, counted from the day they were reported.
    -- feature chargebacks_30d: chargebacks in 30 days | {value:.0f} chargebacks in 30 days
    SELECT COUNT(*) AS chargebacks_30d FROM ...

``-- feature NAME: DESCRIPTION | REASON`` declares a column; REASON is a Python format string
that an analyst reads. ``-- exists`` marks the file that gives no row for an unknown entity; in it
``-- sample: SELECT ...`` gives ids of entities whose query plans ``fraudd check`` looks at.

``-- rows: NAME = REDUCER(COLUMN)`` or ``REDUCER(COLUMN, NUMBER)``, one for each feature of the
file, says that it gives any number of rows, and what becomes of them.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from fraudd.errors import Misconfigured
from fraudd.scoring.reducers import series as reducers
from fraudd.scoring.reducers.base import Reducer

_FEATURE = re.compile(
    r"--\s*feature\s+(?P<name>\S+?)\s*:\s*(?P<description>.+?)\s*\|\s*(?P<text>.+)"
)
_ROWS = re.compile(
    r"--\s*rows\s*:\s*(?P<feature>\w+)\s*=\s*(?P<reducer>\w+)"
    r"\s*\(\s*(?P<column>\w+)\s*(?:,\s*(?P<number>\d+(?:\.\d+)?)\s*)?\)"
)
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_EXISTS = re.compile(r"--\s*exists\s*")
_SAMPLE = re.compile(r"--\s*sample\s*:\s*(.+)")
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_QUOTED_OR_COMMENT = re.compile(
    r"""'(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | `[^`]*` | (?:--\s|\#)[^\n]* | /\*(?!M?!).*?\*/""",
    re.VERBOSE | re.DOTALL,
)
#: What gives another value each time would make a score that cannot be computed again.
_UNREPEATABLE = re.compile(
    r"\b(?:(NOW|CURDATE|CURTIME|SYSDATE|RAND|UUID|UUID_SHORT|SYS_GUID)\s*\("
    r"|(UNIX_TIMESTAMP)\s*\(\s*\)"
    r"|(CURRENT_DATE|CURRENT_TIME|CURRENT_TIMESTAMP|LOCALTIME|LOCALTIMESTAMP"
    r"|UTC_DATE|UTC_TIME|UTC_TIMESTAMP)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A named number about an entity, and how to read it."""

    name: str
    description: str
    text: str

    def reason(self, value: float | None) -> str:
        """Say in words what the feature's value is; None is missing."""
        return f"{self.description}: unknown" if value is None else self.text.format(value=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """How a feature is made of a column's rows."""

    feature: str
    reducer: str
    column: str
    number: float | None

    def begin(self) -> Reducer:
        """Make a reducer that has seen no row; raises ``ValueError`` where there is none such."""
        return reducers.begin(self.reducer, self.number)

    def __str__(self) -> str:
        number = "" if self.number is None else f", {self.number:.15g}"
        return f"{self.feature} = {self.reducer}({self.column}{number})"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFile:
    """One SELECT and the features it gives."""

    name: str
    sql: str
    features: Sequence[Feature]
    #: One for each feature where the file gives any number of rows; none where it gives one.
    reductions: Sequence[Reduction]
    #: Whether no row means that the entity is unknown.
    exists: bool
    #: SELECTs that give ids in their first column, for looking at plans; no run needs them.
    samples: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFiles:
    """All feature files of a model: the one that knows who exists comes first."""

    files: Sequence[FeatureFile]

    @property
    def features(self) -> Mapping[str, Feature]:
        """Every feature by name."""
        return {feature.name: feature for file in self.files for feature in file.features}

    @property
    def digest(self) -> str:
        """SHA-256 of all the SQL and what reduces it: what a model was trained with."""
        sha = hashlib.sha256()
        for file in self.files:
            sha.update(f"{file.name}\0{file.sql}\0".encode())
            sha.update("".join(f"{reduction}\0" for reduction in file.reductions).encode())
        return sha.hexdigest()


def load(directory: Path) -> FeatureFiles:
    """Read all ``*.sql`` of ``directory``. Raises ``Misconfigured`` with all that is wrong."""
    paths = sorted(directory.glob("*.sql"))
    if not paths:
        raise Misconfigured(f"no feature files (*.sql) in {directory}: see [features] directory")
    problems: list[str] = []
    files = [_parse(path, text, problems) for path, text in _texts(paths)]
    owner: dict[str, str] = {}
    for file in files:
        for feature in file.features:
            if (other := owner.setdefault(feature.name, file.name)) != file.name:
                problems.append(f"{file.name}: feature {feature.name} is in {other} already")
    marked = [file.name for file in files if file.exists]
    if len(marked) != 1:
        found = ", ".join(marked) or "none"
        problems.append(
            f"{directory}: exactly one file must have a line '-- exists'; found {found}"
        )
    problems += [
        f"{file.name}: '-- sample:' belongs into the file that has a line '-- exists'"
        for file in files
        if file.samples and not file.exists
    ]
    if problems:
        raise Misconfigured(*problems)
    return FeatureFiles(files=sorted(files, key=lambda file: (not file.exists, file.name)))


def _texts(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    for path in paths:
        try:
            yield path, path.read_text("utf-8")
        except OSError as error:
            raise Misconfigured(f"cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise Misconfigured(f"{path} is not a text in UTF-8") from None


def _parse(path: Path, text: str, problems: list[str]) -> FeatureFile:
    """Read one file; what is wrong with it is added to ``problems``."""
    lines = text.splitlines()
    features = []
    for number, line in enumerate(lines, 1):
        if (declared := _FEATURE.fullmatch(line.strip())) is not None:
            features.append(Feature(**declared.groupdict()))
            problems += [f"{path.name}:{number}: {p}" for p in _wrong_with_feature(features[-1])]
        elif re.match(r"--\s*feature\b", line):
            problems.append(f"{path.name}:{number}: not '-- feature NAME: DESCRIPTION | REASON'")
    reductions = list(_reductions(path.name, lines, problems))
    names = [feature.name for feature in features]
    if not names:
        problems.append(f"{path.name}: declares no feature ('-- feature NAME: ... | ...')")
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.append(f"{path.name}: feature {name} is declared twice")
    if not _NAME.fullmatch(path.stem):
        problems.append(f"{path.name}: the file's name must be lower_snake_case")
    exists = any(_EXISTS.fullmatch(line.strip()) for line in lines)
    problems += [f"{path.name}: {p}" for p in _wrong_with_reductions(reductions, names, exists)]
    sql = "\n".join(line for line in lines if not line.lstrip().startswith("--")).strip()
    problems += [f"{path.name}: {problem}" for problem in _wrong_with_sql(sql)]
    return FeatureFile(
        name=path.name,
        # The comment tells a database administrator whose statement it is.
        sql=f"/* fraudd {path.stem} */ {sql}",
        features=features,
        reductions=reductions,
        exists=exists,
        samples=list(_samples(path.name, lines, problems)),
    )


def _reductions(name: str, lines: Sequence[str], problems: list[str]) -> Iterator[Reduction]:
    """Read the '-- rows:' lines; what is wrong with one is added to ``problems``."""
    for number, line in enumerate(lines, 1):
        if (said := _ROWS.fullmatch(line.strip())) is not None:
            feature, reducer, column, given = said.groups()
            reduction = Reduction(
                feature=feature,
                reducer=reducer,
                column=column,
                number=None if given is None else float(given),
            )
            try:
                reduction.begin()
            except ValueError as error:
                problems.append(f"{name}:{number}: {error}")
            yield reduction
        elif re.match(r"\s*--\s*rows\s*:", line):
            problems.append(
                f"{name}:{number}: not '-- rows: FEATURE = REDUCER(COLUMN)' nor '(COLUMN, NUMBER)'"
            )


def _samples(name: str, lines: Sequence[str], problems: list[str]) -> Iterator[str]:
    """Read the '-- sample:' lines; what is wrong with one is added to ``problems``."""
    for number, line in enumerate(lines, 1):
        if (said := _SAMPLE.fullmatch(line.strip())) is not None:
            wrong = _wrong_with_select(said[1], {"as_of"})
            problems += [f"{name}:{number}: {problem}" for problem in wrong]
            yield said[1]
        elif re.match(r"\s*--\s*sample\b", line):
            problems.append(f"{name}:{number}: not '-- sample: SELECT ...'")


def _wrong_with_feature(feature: Feature) -> Iterator[str]:
    if not _NAME.fullmatch(feature.name):
        yield f"feature name {feature.name!r} must be lower_snake_case"
    try:
        feature.reason(1.0)
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        yield f"reason text of {feature.name} does not format a value: {error}"


def _wrong_with_reductions(
    reductions: Sequence[Reduction], features: Sequence[str], exists: bool
) -> Iterator[str]:
    if not reductions:
        return
    reduced = [reduction.feature for reduction in reductions]
    for name in sorted({name for name in reduced if reduced.count(name) > 1}):
        yield f"feature {name} has two '-- rows:' lines"
    for name in sorted(set(reduced) - set(features)):
        yield f"feature {name} of a '-- rows:' line is not declared ('-- feature {name}: ...')"
    for name in sorted(set(features) - set(reduced)):
        yield f"feature {name} has no '-- rows: {name} = REDUCER(COLUMN)', as others here have"
    if exists:
        yield "cannot be '-- exists': a file with '-- rows:' may have none for anybody"


def _wrong_with_sql(sql: str) -> Iterator[str]:
    yield from _wrong_with_select(sql, {"entity_id", "as_of"})
    bare = _QUOTED_OR_COMMENT.sub(" ", sql)
    if (call := _UNREPEATABLE.search(bare)) is not None:
        name = next(group for group in call.groups() if group).upper()
        yield f"uses {name}, which differs each time: use %(as_of)s"
    if "entity_id" not in _PLACEHOLDER.findall(bare):
        yield "does not use %(entity_id)s"


def _wrong_with_select(sql: str, known: Set[str]) -> Iterator[str]:
    bare = _QUOTED_OR_COMMENT.sub(" ", sql)
    statements = [part for part in bare.split(";") if part.strip()]
    if len(statements) != 1 or not re.match(r"\s*(SELECT|WITH)\b", statements[0], re.IGNORECASE):
        yield "must be one SELECT"
    there_are = " and ".join(f"%({name})s" for name in sorted(known, reverse=True))
    for unknown in sorted(set(_PLACEHOLDER.findall(bare)) - known):
        yield f"%({unknown})s is unknown; known: {there_are}"
    if re.search(r"%(?!\(\w+\)s|%)", sql.replace("%%", "")):
        yield "a literal percent sign must be written %%"
