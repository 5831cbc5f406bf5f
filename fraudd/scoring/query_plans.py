"""Finds feature files whose query plan reads a whole table for one entity."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fraudd.scoring.feature_files import FeatureFile

#: A table with at most this number of rows is tiny: reading it takes half a millisecond. The server
#: may prefer that to an index.
TINY_ROWS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A table that a statement reads whole, directly or through an index."""

    #: Its name in the statement, which may be an alias.
    table: str
    #: The index that the statement reads instead of the table.
    index: str | None
    #: Indexes on columns with a condition that the server does not use.
    unused_index: str | None
    #: The number of rows that the server expects.
    rows: int = field(compare=False)

    def is_choice(self, affected: Sequence[str], entities: Sequence[str]) -> bool:
        """Return whether the server ignores a fitting index for large entities only."""
        return bool(self.unused_index) and not self.index and len(affected) < len(entities)

    def describe(self, file: FeatureFile, entities: Sequence[str]) -> str:
        """Describe what is wrong with a feature file, and what would help."""
        table = _table_of(self.table, file.sql)
        remedy = f"Add an index to {table} that begins with the column that selects the entity."
        if self.index:
            cause = f"it reads all of index {self.index}. {remedy}"
        elif self.unused_index:
            cause = (
                f"the server does not use index {self.unused_index}. Either the SQL compares the"
                " column with another type or collation: fix the SQL. Or too many rows match: add"
                " an index with every column that the file uses. Or statistics are out of date:"
                f" ANALYZE TABLE {table}."
            )
        else:
            cause = f"no index fits. {remedy}"
        names = ", ".join(entities)
        size = f"about {self.rows:,} rows"
        return f"{file.name}: reads all of table {table} ({size}) for {names}: {cause}"


def scans(plan: Sequence[Mapping[str, Any]]) -> list[Scan]:
    """Return the tables that a plan reads whole, without tiny ones.

    ``plan`` has the rows of ``EXPLAIN FORMAT=TRADITIONAL`` by column, from MariaDB or MySQL:
    https://dev.mysql.com/doc/refman/8.4/en/explain-output.html
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
    # <derived2>, <subquery3>, <union1,2> are results of other lines, not tables.
    if not row["table"] or row["table"].startswith("<"):
        return False
    # If the first column of an index has no condition, MySQL skips through all of it: a "range".
    return row["type"] in ("ALL", "index") or "skip scan" in (row["Extra"] or "")


def _count(rows: int | str) -> int:
    """Parse a number of rows. MariaDB writes text, with a share if it filters: ``22 (5%)``."""
    return int(str(rows).split(maxsplit=1)[0])


def _table_of(alias: str, sql: str) -> str:
    """Return the table of an alias, or the alias if the SQL is ambiguous."""
    named = rf"(?:\bFROM|\bJOIN|,)\s+([\w.$`]+)\s+(?:AS\s+)?`?{re.escape(alias)}`?(?![\w.$])"
    tables = {name.replace("`", "") for name in re.findall(named, sql, re.IGNORECASE)}
    return tables.pop() if len(tables) == 1 else alias
