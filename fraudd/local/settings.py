"""What the local stack is told: the checkout it runs in, ports, and a server of one's own."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fraudd.errors import Misconfigured
from fraudd.local.process import taken

_PORTS = {"HTTP_PORT": 8080, "AWS_PORT": 4566, "MYSQL_PORT": 33306}
#: Of a database; short enough for an account that is named after it.
_NAME = re.compile(r"[\w-]{1,24}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseServer:
    """The server that holds the demo platform, and an account on it that may create tables."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where everything is, and on which ports."""

    #: The checkout: config/ is here, .tools/ and .local/ are made here.
    root: Path
    http_port: int
    aws_port: int
    mysql_port: int
    #: A server of one's own; None for a private MariaDB.
    database: DatabaseServer | None
    scale: float
    seed: int

    @property
    def state(self) -> Path:
        """All that the local stack keeps; may be deleted at any time."""
        return self.root / ".local"

    @property
    def tools(self) -> Path:
        """Programs that the local stack needs and this machine lacks."""
        return self.root / ".tools"


def settings(root: Path, *, scale: float, seed: int) -> Settings:
    """Read the environment. Raises ``Misconfigured`` for what is wrong, a taken port included."""
    if not (root / "config" / "schema.sql").exists():
        raise Misconfigured(f"{root} is no checkout of fraudd (no config/schema.sql): run it there")
    url = os.environ.get("FRAUDD_MYSQL")
    database = server_at(url, variable="FRAUDD_MYSQL") if url else None
    ports = {name: _port(name, default) for name, default in _PORTS.items()}
    needed = ports if database is None else {n: p for n, p in ports.items() if n != "MYSQL_PORT"}
    problems = [
        f"port {port} is taken: choose another one with {name}={port + 1}"
        for name, port in needed.items()
        if taken(port)
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
    """Read the URL that an environment variable gives. Raises ``Misconfigured``."""
    try:
        parts = urlsplit(url)
        port = parts.port or 3306
        name = parts.path.removeprefix("/") or "fraudd_demo"
        # An @ or # that belongs to a password ends up behind the host.
        fits = parts.scheme in ("mysql", "mariadb") and parts.hostname and _NAME.fullmatch(name)
        if not fits or parts.query or parts.fragment:
            raise ValueError
    except ValueError:
        # Neither the URL nor what was found wrong is shown: it may be of the password.
        raise Misconfigured(
            f"{variable}: must be mysql://user:password@host:port/database,"
            " with every special character of the password as %XX"
        ) from None
    return DatabaseServer(
        host=parts.hostname or "",
        port=port,
        user=unquote(parts.username or "root"),
        password=unquote(parts.password or ""),
        name=name,
    )


def _port(name: str, default: int) -> int:
    given = os.environ.get(name) or str(default)
    if not given.isdecimal() or not 0 < int(given) < 65_536:
        raise Misconfigured(f"{name}={given[:20]}: must be a port, 1 to 65535")
    return int(given)
