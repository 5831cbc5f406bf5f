"""What the plan of a feature file says: whether one entity's score costs a whole table."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fraudd.scoring.feature_files import FeatureFile

#: What has no more rows is tiny: reading it whole takes half a millisecond, and a server that knows
#: it to be so small may well prefer that to an index.
TINY_ROWS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A table that a statement reads from end to end, by itself or by one of its indexes."""

    #: As the statement calls it: its alias, where it has one.
    table: str
    #: The index that is read instead of the table.
    index: str | None
    #: Indexes on columns that have a condition, but which are not used.
    unused_index: str | None
    #: About so many, as the server believes.
    rows: int = field(compare=False)

    def is_choice(self, affected: Sequence[str], entities: Sequence[str]) -> bool:
        """Whether a server that has an index prefers this for some, who have many of the rows."""
        return bool(self.unused_index) and not self.index and len(affected) < len(entities)

    def describe(self, file: FeatureFile, entities: Sequence[str]) -> str:
        """Say what is wrong with a feature file, and what would help."""
        table = _behind(self.table, file.sql)
        add = f"add an index to {table} that begins with the column that leads to the entity"
        if self.index:
            why = f"index {self.index} is read as a whole; {add}"
        elif self.unused_index:
            why = (
                f"index {self.unused_index} is not used: values of another type or collation are"
                " compared with it, or so many rows are left that the server prefers to read all"
                " (an index of every column that the file uses helps), or its statistics are old"
                f" (ANALYZE TABLE {table})"
            )
        else:
            why = f"no index fits; {add}"
        whom = ", ".join(entities)
        return (
            f"{file.name}: reads all of table {table}, about {self.rows:,} rows, for {whom}: {why}"
        )


def scans(plan: Sequence[Mapping[str, Any]]) -> list[Scan]:
    """Find what a plan reads as a whole and is not tiny.

    ``plan`` has the rows of ``EXPLAIN FORMAT=TRADITIONAL`` by column, as MariaDB or MySQL gives
    them: https://dev.mysql.com/doc/refman/8.4/en/explain-output.html
    """
    return [
        Scan(
            table=row["table"],
            index=row["key"],
            unused_index=row["possible_keys"],
            rows=_count(row["rows"]),
        )
        for row in plan
        if _reads_all(row) and _count(row["rows"]) > TINY_ROWS
    ]


def _reads_all(row: Mapping[str, Any]) -> bool:
    # <derived2>, <subquery3>, <union1,2>: made by the statement itself, from rows of other lines.
    if not row["table"] or row["table"].startswith("<"):
        return False
    # MySQL skips through a whole index whose first column has no condition; it calls that a range.
    return row["type"] in ("ALL", "index") or "skip scan" in (row["Extra"] or "")


def _count(rows: int | str) -> int:
    """MariaDB writes a text, with a share behind the number where it filters: ``22 (5%)``."""
    return int(str(rows).split(maxsplit=1)[0])


def _behind(alias: str, sql: str) -> str:
    """The table behind an alias; the alias itself where that is not plain to see."""
    named = rf"(?:\bFROM|\bJOIN|,)\s+([\w.$`]+)\s+(?:AS\s+)?`?{re.escape(alias)}`?(?![\w.$])"
    tables = {found.replace("`", "") for found in re.findall(named, sql, re.IGNORECASE)}
    return tables.pop() if len(tables) == 1 else alias
