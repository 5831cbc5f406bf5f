"""Writes the tables to tab-separated files, and loads these into the database."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import aiomysql
import numpy as np

from fraudd.local.platform.columns import Column, Floats, Ints, Texts, Times
from fraudd.local.platform.platform import Demo

_ROWS_PER_BLOCK = 50_000  # a few megabytes
# The driver sends a file in packets of 16 MB, one byte more than MariaDB accepts by default.
_PIECE_BYTES = 8 << 20
_NULL = b"\\N"
_SECONDS_PER_DAY = 86_400
_CLOCK: Texts = np.array(
    [b" %02d:%02d:%02d" % (s // 3_600, s // 60 % 60, s % 60) for s in range(_SECONDS_PER_DAY)]
)
_CENTS: Texts = np.array([b".%02d" % cents for cents in range(100)])
_CREATE = re.compile(r"CREATE\s+TABLE\s+(\w+)", re.IGNORECASE)


def write_tables(demo: Demo, folder: Path) -> dict[str, Path]:
    """Write each table to a file in the default format of LOAD DATA. Returns the paths by table."""
    files = {}
    for name, columns in demo.tables.items():
        files[name] = folder / f"{name}.tsv"
        with files[name].open("wb") as file:
            for block in _blocks(list(columns.values())):
                file.write(block)
    return files


async def load(
    connection: aiomysql.Connection,
    schema_sql: str,
    files: Mapping[str, Path],
    progress: Callable[[str, int], None],
) -> None:
    """Drop and create the tables of the schema, and load the files, the smallest first.

    The connection must allow LOCAL INFILE. `progress` is called with each loaded table and its
    number of rows. Raises ValueError for a file without a table, and the driver's errors.
    """
    statements = [part for part in _without_comments(schema_sql).split(";") if part.strip()]
    tables = [match[1] for statement in statements if (match := _CREATE.search(statement))]
    unknown = files.keys() - set(tables)
    if unknown:
        raise ValueError(f"no table in the schema for {', '.join(sorted(unknown))}")
    async with connection.cursor() as cursor:
        await cursor.execute("SHOW TABLES")
        present = {name for (name,) in await cursor.fetchall()}
        for table in tables:
            if table in present:  # IF EXISTS would warn about missing tables
                await cursor.execute(f"DROP TABLE {table}")
        for statement in statements:
            await cursor.execute(statement)
        for table, file in sorted(files.items(), key=lambda item: item[1].stat().st_size):
            rows = 0
            for piece in _pieces(file):
                rows += await cursor.execute(
                    f"LOAD DATA LOCAL INFILE {connection.escape(str(piece))} "
                    f"INTO TABLE {table} CHARACTER SET ascii"
                )
            await connection.commit()
            # The server collects statistics later, and plans the first queries without them.
            await cursor.execute(f"ANALYZE TABLE {table}")
            progress(table, rows)


def _without_comments(sql: str) -> str:
    return re.sub(r"--.*", "", sql)


def _pieces(file: Path) -> Iterator[Path]:
    """Yield the lines of a file as smaller files. Each one replaces the one before."""
    piece = file.with_suffix(".piece")
    try:
        with file.open("rb") as lines:
            while block := lines.read(_PIECE_BYTES):
                piece.write_bytes(block + lines.readline())
                yield piece
    finally:
        piece.unlink(missing_ok=True)


def _blocks(columns: list[Column]) -> Iterator[bytes]:
    """Yield the rows of a table as blocks of text.

    A block is a matrix of bytes, in which each cell is padded with zeros. The zeros are removed
    at the end.
    """
    rows = columns[0].size
    for first in range(0, rows, _ROWS_PER_BLOCK):
        cells = [_cells(column[first : first + _ROWS_PER_BLOCK]) for column in columns]
        width = sum(cell.itemsize + 1 for cell in cells)
        matrix = np.zeros((cells[0].size, width), dtype=np.uint8)
        left = 0
        for cell in cells:
            right = left + cell.itemsize
            matrix[:, left:right] = cell.view(np.uint8).reshape(cell.size, cell.itemsize)
            matrix[:, right] = ord("\t")
            left = right + 1
        matrix[:, -1] = ord("\n")
        yield matrix[matrix != 0].tobytes()


def _cells(column: Column) -> Texts:
    """Format a column."""
    match column.dtype.kind:
        case "M":
            return _times(column)
        case "f":
            return _amounts(column)
        case "i":
            return _numbers(column)
        case _:
            return np.ascontiguousarray(column)


def _times(times: Times) -> Texts:
    """Format times as `2026-11-24 08:00:00`, from one text per day and one per second of a day."""
    null = np.isnat(times)
    seconds = np.where(null, 0, times.astype(np.int64))
    days, clock = np.divmod(seconds, _SECONDS_PER_DAY)
    known, day = np.unique(days, return_inverse=True)
    dates = np.datetime_as_string(known.astype("datetime64[D]")).astype("S10")
    texts = np.empty(times.size, dtype=[("date", "S10"), ("clock", "S9")])
    texts["date"], texts["clock"] = dates[day], _CLOCK[clock]
    whole: Texts = texts.view("S19").ravel()
    whole[null] = _NULL
    return whole


def _numbers(numbers: Ints) -> Texts:
    """Format integers without leading zeros. A negative number is NULL."""
    width = max(len(str(numbers.max(initial=0))), len(_NULL))
    digits = np.zeros((numbers.size, width), dtype=np.uint8)
    rest = np.maximum(numbers, 0)
    for place in range(width - 1, -1, -1):
        rest, digit = np.divmod(rest, 10)
        digits[:, place] = np.where((rest > 0) | (digit > 0) | (place == width - 1), digit + 48, 0)
    texts: Texts = digits.view(f"S{width}").ravel()
    texts[numbers < 0] = _NULL
    return texts


def _amounts(amounts: Floats) -> Texts:
    """Format money with two decimals."""
    whole, cents = np.divmod(np.rint(amounts * 100).astype(np.int64), 100)
    digits = _numbers(whole)
    texts = np.empty(amounts.size, dtype=[("whole", digits.dtype), ("cents", "S3")])
    texts["whole"], texts["cents"] = digits, _CENTS[cents]
    return texts.view(f"S{texts.itemsize}").ravel()
