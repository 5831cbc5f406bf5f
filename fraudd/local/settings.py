"""Settings of the local stack: its checkout, its ports, and the database server."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fraudd.errors import Misconfigured
from fraudd.local.process import in_use

_PORTS = {"HTTP_PORT": 8080, "AWS_PORT": 4566, "MYSQL_PORT": 33306}
#: The name of a database. An account is named after it, so it must be short.
_NAME = re.compile(r"[\w-]{1,24}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseServer:
    """The database server of the demo platform, with an account that may create tables."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The folders, ports and database of the local stack."""

    #: The checkout. It contains config/, and the stack creates .tools/ and .local/ in it.
    root: Path
    http_port: int
    aws_port: int
    mysql_port: int
    #: The user's own server, or None for a private MariaDB.
    database: DatabaseServer | None
    scale: float
    seed: int

    @property
    def state(self) -> Path:
        """The data of the local stack, which the user may delete at any time."""
        return self.root / ".local"

    @property
    def tools(self) -> Path:
        """Programs that the local stack needs and that are not installed."""
        return self.root / ".tools"


def settings(root: Path, *, scale: float, seed: int) -> Settings:
    """Read the environment. Raises ``Misconfigured``, also if a port is in use."""
    if not (root / "config" / "schema.sql").exists():
        raise Misconfigured(
            f"{root} is not a checkout of fraudd: it has no config/schema.sql."
            " Run fraudd demo in the checkout's folder."
        )
    url = os.environ.get("FRAUDD_MYSQL")
    database = server_at(url, variable="FRAUDD_MYSQL") if url else None
    ports = {name: _port(name, default) for name, default in _PORTS.items()}
    needed = ports if database is None else {n: p for n, p in ports.items() if n != "MYSQL_PORT"}
    problems = [
        f"port {port} is in use. Choose another one, for example {name}={port + 1}."
        for name, port in needed.items()
        if in_use(port)
    ]
    if problems:
        raise Misconfigured(*problems)
    return Settings(
        root=root,
        http_port=ports["HTTP_PORT"],
        aws_port=ports["AWS_PORT"],
        mysql_port=ports["MYSQL_PORT"],
        database=database,
        scale=scale,
        seed=seed,
    )


def server_at(url: str, *, variable: str) -> DatabaseServer:
    """Parse the URL from an environment variable. Raises ``Misconfigured``."""
    try:
        parts = urlsplit(url)
        port = parts.port or 3306
        name = parts.path.removeprefix("/") or "fraudd_demo"
        # If the password contains @ or # unencoded, parts of it follow the host.
        valid = parts.scheme in ("mysql", "mariadb") and parts.hostname and _NAME.fullmatch(name)
        if not valid or parts.query or parts.fragment:
            raise ValueError
    except ValueError:
        # The message shows no part of the URL: any part may be the password.
        raise Misconfigured(
            f"{variable}: must be mysql://user:password@host:port/database."
            " Percent-encode special characters in the password."
        ) from None
    return DatabaseServer(
        host=parts.hostname or "",
        port=port,
        user=unquote(parts.username or "root"),
        password=unquote(parts.password or ""),
        name=name,
    )


def _port(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise Misconfigured(f"{name}={text[:20]}: must be a port number, 1 to 65535")
    return int(text)
