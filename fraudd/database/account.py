"""The database account that fraudd uses: what the server lets it do."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from fraudd.database.connections import Snapshot

#: Rights that a guest who only reads does without, as SHOW GRANTS calls them: they change data,
#: schema, accounts or files, or hand rights on.
_WRITES = (
    "ALL PRIVILEGES",
    "INSERT",
    "UPDATE",
    "DELETE",
    "DELETE HISTORY",
    "CREATE",
    "ALTER",
    "DROP",
    "INDEX",
    "TRIGGER",
    "EVENT",
    "CREATE VIEW",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
    "CREATE USER",
    "CREATE ROLE",
    "FILE",
    "SUPER",
)
#: ``GRANT SELECT, UPDATE (`price`) ON `shop`.* TO ...``; the rest may hold a password's hash.
_GRANT = re.compile(r"GRANT (?P<rights>.+?) ON (?P<where>(?:\*|`(?:[^`]|``)+`)\.\S+) TO ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account, as the server that lets it in describes it."""

    #: Quoted, as GRANT and ALTER USER take it: ``'fraudd'@'localhost'``.
    name: str
    #: MAX_USER_CONNECTIONS; 0 is no limit.
    max_connections: int
    #: Rights to write, each with where: ``INSERT ON `shop`.*``.
    writes: list[str]


async def describe(snapshot: Snapshot) -> Account:
    """Ask the server about the account of a connection; raises what ``ports`` lists."""
    # The session's value is the account's own, where that is not the server's default:
    # https://dev.mysql.com/doc/refman/8.4/en/user-resources.html
    told = await snapshot.query("SELECT CURRENT_USER(), CURRENT_ROLE(), @@max_user_connections")
    [(current, role, most)] = told.rows
    # MariaDB shows what comes by the role that is on, too; MySQL where it is asked to.
    using = f" FOR CURRENT_USER() USING {role}" if str(role).startswith("`") else ""
    grants = await snapshot.query(f"SHOW GRANTS{using}")
    user, _, host = current.rpartition("@")
    return Account(
        name=f"'{user}'@'{host}'",
        max_connections=int(most),
        writes=may_write(grant for (grant,) in grants.rows),
    )


def may_write(grants: Iterable[str]) -> list[str]:
    """Pick the rights to write from the lines of SHOW GRANTS, each with where it holds."""
    found: dict[str, None] = {}
    for grant in grants:
        matched = _GRANT.match(grant)
        if matched is not None:
            columns_aside = re.sub(r" \([^)]*\)", "", matched["rights"])
            rights = columns_aside.split(", ")
            found |= dict.fromkeys(
                f"{right} ON {matched['where']}" for right in _WRITES if right in rights
            )
    return list(found)
