"""Feature files: each holds one SELECT and a header that explains its columns.

::

    -- Chargebacks, counted from the day they were reported.
    -- feature chargebacks_30d: chargebacks in 30 days | {value:.0f} chargebacks in 30 days
    SELECT COUNT(*) AS chargebacks_30d FROM ...

``-- feature NAME: DESCRIPTION | REASON`` declares a column. REASON is a Python format string for
the text that an analyst reads.

``-- exists`` marks the file that returns no row for an unknown entity. In this file
``-- sample: SELECT ...`` selects ids of entities. ``fraudd check`` checks query plans for them.

``-- rows: NAME = REDUCER(COLUMN)`` or ``REDUCER(COLUMN, NUMBER)`` computes one feature from all
rows of a column. A file has such a line for each of its features, or none.
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
#: These functions return a different value each time, so nobody could compute the score again.
_NON_DETERMINISTIC = re.compile(
    r"\b(?:(NOW|CURDATE|CURTIME|SYSDATE|RAND|UUID|UUID_SHORT|SYS_GUID)\s*\("
    r"|(UNIX_TIMESTAMP)\s*\(\s*\)"
    r"|(CURRENT_DATE|CURRENT_TIME|CURRENT_TIMESTAMP|LOCALTIME|LOCALTIMESTAMP"
    r"|UTC_DATE|UTC_TIME|UTC_TIMESTAMP)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A named number about an entity, and the text that explains it."""

    name: str
    description: str
    text: str

    def reason(self, value: float | None) -> str:
        """Describe a value in words. None means that the value is missing."""
        return f"{self.description}: unknown" if value is None else self.text.format(value=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """A feature that is computed from all rows of one column."""

    feature: str
    reducer: str
    column: str
    number: float | None

    def begin(self) -> Reducer:
        """Return a new reducer. Raises ``ValueError`` if its name or number is wrong."""
        return reducers.begin(self.reducer, self.number)

    def __str__(self) -> str:
        number = "" if self.number is None else f", {self.number:.15g}"
        return f"{self.feature} = {self.reducer}({self.column}{number})"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFile:
    """One SELECT and the features that it computes."""

    name: str
    sql: str
    features: Sequence[Feature]
    #: One for each feature if the file gives any number of rows. Empty if it gives one row.
    reductions: Sequence[Reduction]
    #: Whether a result without rows means that the entity is unknown.
    exists: bool
    #: SELECTs whose first column is an entity id. Only `fraudd check` runs them.
    samples: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFiles:
    """All feature files of a model. The file marked '-- exists' comes first."""

    files: Sequence[FeatureFile]

    @property
    def features(self) -> Mapping[str, Feature]:
        """Every feature by name."""
        return {feature.name: feature for file in self.files for feature in file.features}

    @property
    def digest(self) -> str:
        """SHA-256 of all SQL and reductions. A model notes the digest that it was trained with."""
        sha = hashlib.sha256()
        for file in self.files:
            sha.update(f"{file.name}\0{file.sql}\0".encode())
            sha.update("".join(f"{reduction}\0" for reduction in file.reductions).encode())
        return sha.hexdigest()


def load(directory: Path) -> FeatureFiles:
    """Read all ``*.sql`` files of ``directory``. Raises ``Misconfigured`` with every problem."""
    paths = sorted(directory.glob("*.sql"))
    if not paths:
        raise Misconfigured(f"no feature files (*.sql) in {directory}: check [features] directory")
    problems: list[str] = []
    files = [_parse(path, text, problems) for path, text in _texts(paths)]
    owner: dict[str, str] = {}
    for file in files:
        for feature in file.features:
            if (other := owner.setdefault(feature.name, file.name)) != file.name:
                problems.append(
                    f"{file.name}: feature {feature.name} is already declared in {other}"
                )
    marked = [file.name for file in files if file.exists]
    if len(marked) != 1:
        names = ", ".join(marked) or "none"
        problems.append(
            f"{directory}: exactly one file must have a line '-- exists' (now: {names})"
        )
    problems += [
        f"{file.name}: move '-- sample:' into the file that has the line '-- exists'"
        for file in files
        if file.samples and not file.exists
    ]
    if problems:
        raise Misconfigured(*problems)
    return FeatureFiles(files=sorted(files, key=lambda file: (not file.exists, file.name)))


def _texts(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    for path in paths:
        try:
            yield path, path.read_text("utf-8-sig")
        except OSError as error:
            raise Misconfigured(f"cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise Misconfigured(f"{path} is not UTF-8 text") from None


def _parse(path: Path, text: str, problems: list[str]) -> FeatureFile:
    """Read one file, and add its problems to ``problems``."""
    lines = text.splitlines()
    features = []
    for number, line in enumerate(lines, 1):
        if (declared := _FEATURE.fullmatch(line.strip())) is not None:
            features.append(Feature(**declared.groupdict()))
            problems += [f"{path.name}:{number}: {p}" for p in _problems_of_feature(features[-1])]
        elif re.match(r"--\s*feature\b", line):
            problems.append(
                f"{path.name}:{number}: must be '-- feature NAME: DESCRIPTION | REASON'"
            )
    reductions = list(_reductions(path.name, lines, problems))
    names = [feature.name for feature in features]
    if not names:
        problems.append(f"{path.name}: no line declares a feature ('-- feature NAME: ... | ...')")
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.append(f"{path.name}: feature {name} is declared twice")
    if not _NAME.fullmatch(path.stem):
        problems.append(f"{path.name}: the file's name must be lower_snake_case")
    exists = any(_EXISTS.fullmatch(line.strip()) for line in lines)
    problems += [f"{path.name}: {p}" for p in _problems_of_reductions(reductions, names, exists)]
    sql = "\n".join(line for line in lines if not line.lstrip().startswith("--")).strip()
    problems += [f"{path.name}: {problem}" for problem in _problems_of_sql(sql)]
    return FeatureFile(
        name=path.name,
        # The comment shows a database administrator where the statement comes from.
        sql=f"/* fraudd {path.stem} */ {sql}",
        features=features,
        reductions=reductions,
        exists=exists,
        samples=list(_samples(path.name, lines, problems)),
    )


def _reductions(name: str, lines: Sequence[str], problems: list[str]) -> Iterator[Reduction]:
    """Read the '-- rows:' lines, and add their problems to ``problems``."""
    for number, line in enumerate(lines, 1):
        if (match := _ROWS.fullmatch(line.strip())) is not None:
            feature, reducer, column, digits = match.groups()
            reduction = Reduction(
                feature=feature,
                reducer=reducer,
                column=column,
                number=None if digits is None else float(digits),
            )
            try:
                reduction.begin()
            except ValueError as error:
                problems.append(f"{name}:{number}: {error}")
            yield reduction
        elif re.match(r"\s*--\s*rows\s*:", line):
            wanted = "'-- rows: FEATURE = REDUCER(COLUMN)' or '(COLUMN, NUMBER)'"
            problems.append(f"{name}:{number}: must be {wanted}")


def _samples(name: str, lines: Sequence[str], problems: list[str]) -> Iterator[str]:
    """Read the '-- sample:' lines, and add their problems to ``problems``."""
    for number, line in enumerate(lines, 1):
        if (match := _SAMPLE.fullmatch(line.strip())) is not None:
            sql = match[1]
            problems += [f"{name}:{number}: {p}" for p in _problems_of_select(sql, {"as_of"})]
            yield sql
        elif re.match(r"\s*--\s*sample\b", line):
            problems.append(f"{name}:{number}: must be '-- sample: SELECT ...'")


def _problems_of_feature(feature: Feature) -> Iterator[str]:
    if not _NAME.fullmatch(feature.name):
        yield f"feature name {feature.name!r} must be lower_snake_case"
    try:
        feature.reason(1.0)
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        yield f"the reason text of {feature.name} cannot format a value: {error}"


def _problems_of_reductions(
    reductions: Sequence[Reduction], features: Sequence[str], exists: bool
) -> Iterator[str]:
    if not reductions:
        return
    reduced = [reduction.feature for reduction in reductions]
    for name in sorted({name for name in reduced if reduced.count(name) > 1}):
        yield f"feature {name} has two '-- rows:' lines"
    for name in sorted(set(reduced) - set(features)):
        yield f"a '-- rows:' line names {name}, which no line declares ('-- feature {name}: ...')"
    for name in sorted(set(features) - set(reduced)):
        yield (
            f"feature {name} needs a line '-- rows: {name} = REDUCER(COLUMN)',"
            " because other features of the file have one"
        )
    if exists:
        yield "has both '-- exists' and '-- rows:': an entity without rows would seem unknown"


def _problems_of_sql(sql: str) -> Iterator[str]:
    yield from _problems_of_select(sql, {"entity_id", "as_of"})
    bare = _QUOTED_OR_COMMENT.sub(" ", sql)
    if (call := _NON_DETERMINISTIC.search(bare)) is not None:
        name = next(group for group in call.groups() if group).upper()
        yield f"uses {name}, which returns a different value each time: use %(as_of)s"
    if "entity_id" not in _PLACEHOLDER.findall(bare):
        yield "does not use %(entity_id)s"


def _problems_of_select(sql: str, known: Set[str]) -> Iterator[str]:
    bare = _QUOTED_OR_COMMENT.sub(" ", sql)
    statements = [part for part in bare.split(";") if part.strip()]
    if len(statements) != 1 or not re.match(r"\s*(SELECT|WITH)\b", statements[0], re.IGNORECASE):
        yield "must be one SELECT"
    placeholders = " and ".join(f"%({name})s" for name in sorted(known, reverse=True))
    for unknown in sorted(set(_PLACEHOLDER.findall(bare)) - known):
        yield f"placeholder %({unknown})s is unknown: use {placeholders}"
    if re.search(r"%(?!\(\w+\)s|%)", sql.replace("%%", "")):
        yield "a literal percent sign must be written as %%"
