"""The database account that fraudd uses: what the server lets it do."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from fraudd.database.connections import Snapshot

#: Rights that a guest who only reads does without, as SHOW GRANTS calls them.
_WRITES = ("ALL PRIVILEGES", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP")
#: ``GRANT SELECT, UPDATE (`price`) ON `shop`.* TO ...``; the rest may hold a password's hash.
_GRANT = re.compile(r"GRANT (?P<rights>.+?) ON (?P<schema>\*|`(?:[^`]|``)+`)\.\S+ TO ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account, as the server that lets it in describes it."""

    #: Quoted, as GRANT and ALTER USER take it: ``'fraudd'@'localhost'``.
    name: str
    #: The server's version.
    server: str
    #: The TLS cipher of the connection; empty without TLS.
    cipher: str
    #: MAX_USER_CONNECTIONS; 0 is no limit.
    max_connections: int
    #: Rights to write in the schema.
    writes: list[str]


async def describe(snapshot: Snapshot, schema: str) -> Account:
    """Ask the server about the account of a connection; raises what ``ports`` lists."""
    # The session's value is the account's own, where that is not the server's default:
    # https://dev.mysql.com/doc/refman/8.4/en/user-resources.html
    told = await snapshot.query("SELECT CURRENT_USER(), VERSION(), @@max_user_connections")
    [(current, version, most)] = told.rows
    cipher = await snapshot.query("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
    grants = await snapshot.query("SHOW GRANTS")
    user, _, host = current.rpartition("@")
    return Account(
        name=f"'{user}'@'{host}'",
        server=version,
        cipher=cipher.rows[0][1],
        max_connections=int(most),
        writes=may_write((grant for (grant,) in grants.rows), schema),
    )


def may_write(grants: Iterable[str], schema: str) -> list[str]:
    """Pick the rights to write in a schema from the lines of SHOW GRANTS."""
    rights: set[str] = set()
    for grant in grants:
        found = _GRANT.match(grant)
        if found is not None and _covers(found["schema"], schema):
            columns_aside = re.sub(r" \([^)]*\)", "", found["rights"])
            rights |= set(columns_aside.split(", "))
    return [right for right in _WRITES if right in rights]


def _covers(granted: str, schema: str) -> bool:
    r"""Whether a grant's schema, ``*`` or a quoted LIKE pattern with ``\_`` for ``_``, is meant."""
    if granted == "*":
        return True
    like = {"%": ".*", "_": "."}
    parts = re.findall(r"\\.|.", granted[1:-1].replace("``", "`"))
    pattern = "".join(like.get(part) or re.escape(part.removeprefix("\\")) for part in parts)
    return re.fullmatch(pattern, schema) is not None
