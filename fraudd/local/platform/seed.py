"""Loads the demo platform into the database, and replaces an outdated one."""

import hashlib
import json
import random
import ssl
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiomysql
from pymysql.err import MySQLError

from fraudd.config.schema import DatabaseSection
from fraudd.errors import Misconfigured
from fraudd.local.platform import platform as demo
from fraudd.local.platform.load import load, write_tables
from fraudd.local.progress import Progress
from fraudd.local.settings import DatabaseServer, Settings

#: Errors of an account that may not create accounts or grant rights.
_NOT_ALLOWED = (1044, 1227)
#: Errors of a server that rejects LOAD DATA LOCAL: MySQL 1148 or 3948, MariaDB 4166.
_NO_LOCAL_INFILE = (1148, 3948, 4166)
#: Enough for four daemons: each needs two connections, and one for KILL QUERY.
_READER_CONNECTIONS = 12


async def seed(
    settings: Settings, admin: DatabaseServer, *, now: datetime, progress: Progress
) -> str:
    """Load the demo platform into the database and its labels into files. Returns its stamp.

    It stays as it is if it was made by the same code, in the same size, and its data have not
    ended. Raises ``Misconfigured`` if the database server refuses.
    """
    wanted = {"digest": _digest(settings.root), "scale": settings.scale, "seed": settings.seed}
    note = settings.state / "demo.json"
    try:
        async with _connected(admin, database=None) as connection:
            await _rows(connection, f"CREATE DATABASE IF NOT EXISTS `{admin.name}`")
        async with _connected(admin, database=admin.name) as connection:
            stamp = await _stamp(connection, admin)
            if stamp and note.exists() and note.read_text() == stamp and _fits(stamp, wanted, now):
                return stamp
            note.unlink(missing_ok=True)
            await _make(settings, connection, now=now, progress=progress)
            stamp = json.dumps({**wanted, "generated_at": now.isoformat()})
            await _rows(connection, "INSERT INTO demo_stamp VALUES (%s)", stamp)
            await connection.commit()
            note.write_text(stamp)
            return stamp
    except MySQLError as error:
        remedy = (
            ". Start the server with --local-infile=1." if _code(error) in _NO_LOCAL_INFILE else ""
        )
        raise Misconfigured(f"database at {admin.host}:{admin.port}: {error}{remedy}") from error


async def scenarios(admin: DatabaseServer) -> dict[str, str]:
    """Return the scenario of each shop that commits fraud."""
    async with _connected(admin, database=admin.name) as connection:
        return dict(await _rows(connection, "SELECT shop_id, scenario FROM fraud_scenarios"))


async def reader(settings: Settings, admin: DatabaseServer, progress: Progress) -> tuple[str, Path]:
    """Return the daemon's account and the file with its password.

    The account may only read the demo platform. If ``admin`` may not create accounts, the daemon
    uses ``admin``.
    """
    folder = settings.state / "credentials"
    folder.mkdir(mode=0o700, exist_ok=True)
    name, password_file = f"{admin.name}_reader", folder / "database-password"
    if not password_file.exists():
        _write_secret(password_file, f"{random.SystemRandom().getrandbits(128):032x}")
    try:
        async with _connected(admin, database=None) as connection:
            await _make_reader(connection, name, password_file.read_text(), admin.name)
    except MySQLError as error:
        if _code(error) not in _NOT_ALLOWED:
            raise Misconfigured(f"database at {admin.host}:{admin.port}: {error}") from error
        progress.say(f"the daemon uses the account {admin.user}, which may not create another")
        name, password_file = admin.user, folder / "own-database-password"
        _write_secret(password_file, admin.password)
    return name, password_file


async def _make_reader(
    connection: aiomysql.Connection, name: str, password: str, database: str
) -> None:
    # The daemon connects from this machine. The server knows by which host name.
    [[host]] = await _rows(connection, "SELECT SUBSTRING_INDEX(USER(), '@', -1)")
    await _rows(connection, "CREATE USER IF NOT EXISTS %s@%s", name, host)
    change = f"ALTER USER %s@%s IDENTIFIED BY %s WITH MAX_USER_CONNECTIONS {_READER_CONNECTIONS}"
    await _rows(connection, change, name, host, password)
    await _rows(connection, f"GRANT SELECT ON `{database}`.* TO %s@%s", name, host)


async def _make(
    settings: Settings, connection: aiomysql.Connection, *, now: datetime, progress: Progress
) -> None:
    generated = demo.generate(seed=settings.seed, now=now, scale=settings.scale)
    counts = {name: len(next(iter(table.values()))) for name, table in generated.tables.items()}
    progress.say(f"demo platform: {counts['shops']:,} shops, {counts['orders']:,} orders")
    await _rows(connection, "CREATE TABLE IF NOT EXISTS demo_stamp (stamp TEXT NOT NULL)")
    await _rows(connection, "DELETE FROM demo_stamp")
    await connection.commit()
    schema = (settings.root / "config" / "schema.sql").read_text("utf-8")
    with tempfile.TemporaryDirectory(dir=settings.state) as folder:
        await load(
            connection,
            schema,
            write_tables(generated, Path(folder)),
            lambda table, rows: progress.say(f"loaded {rows:,} {table}"),
        )
    demo.write_labels(settings.state / "labels.csv", demo.labels(generated))
    demo.write_labels(settings.state / "labels-now.csv", demo.labels_now(generated))


def _fits(stamp: str, wanted: dict[str, Any], now: datetime) -> bool:
    stored = json.loads(stamp)
    ends = datetime.fromisoformat(stored.pop("generated_at")) + timedelta(days=demo.DAYS_AFTER)
    return bool(stored == wanted and now < ends)


def _digest(root: Path) -> str:
    """Return the digest of the code that generates the platform."""
    sources = [root / "config" / "schema.sql", *sorted(Path(demo.__file__).parent.rglob("*.py"))]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]


async def _stamp(connection: aiomysql.Connection, admin: DatabaseServer) -> str | None:
    """Return the stamp of the platform, or None if it is missing or incomplete."""
    tables = [name for (name,) in await _rows(connection, "SHOW TABLES")]
    if not tables:
        return None
    if "demo_stamp" not in tables:
        raise Misconfigured(
            f"database {admin.name} at {admin.host}:{admin.port} already contains other tables, and"
            " the demo would overwrite them. Use another database."
        )
    rows = await _rows(connection, "SELECT stamp FROM demo_stamp")
    return str(rows[0][0]) if rows else None


async def _rows(connection: aiomysql.Connection, sql: str, *values: str) -> Sequence[Any]:
    async with connection.cursor() as cursor:
        await cursor.execute(sql, values or None)
        rows: Sequence[Any] = await cursor.fetchall()
        return rows


@asynccontextmanager
async def _connected(
    server: DatabaseServer, *, database: str | None
) -> AsyncIterator[aiomysql.Connection]:
    local = DatabaseSection(host=server.host, user=server.user, name=server.name).loopback
    connection = await aiomysql.connect(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        db=database,
        charset="utf8mb4",
        # The daemon uses the same rule.
        ssl=None if local else ssl.create_default_context(),
        local_infile=True,
        # Otherwise each IF NOT EXISTS would warn about an existing object.
        init_command="SET SESSION sql_notes = 0",
    )
    try:
        yield connection
    finally:
        await connection.ensure_closed()


def _code(error: MySQLError) -> int:
    return int(error.args[0]) if error.args else 0


def _write_secret(path: Path, secret: str) -> None:
    path.touch(mode=0o600, exist_ok=True)
    path.write_text(secret)
