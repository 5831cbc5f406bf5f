"""Misconfigurations of the database: the way to it, the server, the account."""

import trustme

from tests.acceptance.installation import GUEST, Installation
from tests.acceptance.plants import Plant, added, configured, sql

_EVERYTHING = (
    "server",
    "replica",
    "time zone",
    "account",
    "deadlines",
    "features",
    "plans",
    "score",
)


async def _another_password(one: Installation) -> None:
    (one.folder / "password").write_text("open barley\n")


async def _no_tls(one: Installation) -> None:
    trustme.CA().cert_pem.write_to_path(str(one.folder / "ca.pem"))
    one.add("database", 'ca_file = "ca.pem"')


async def _a_fleet_too_large(one: Installation) -> None:
    one.change("fleet_size", "fleet_size = 200")
    one.sql(f"ALTER USER {GUEST}@HOST WITH MAX_USER_CONNECTIONS 600")


async def _writing_by_a_role(one: Installation) -> None:
    name = one.database.name
    one.sql(
        "CREATE ROLE fraudd_test_writers",
        f"GRANT UPDATE ON {name}.orders TO fraudd_test_writers",
        f"GRANT fraudd_test_writers TO {GUEST}@HOST",
    )
    [[version]] = one.sql("SELECT VERSION()")
    to = "FOR" if "MariaDB" in version else "TO"
    one.sql(f"SET DEFAULT ROLE fraudd_test_writers {to} {GUEST}@HOST")


PLANTS = [
    Plant(
        name="a port that nobody listens on",
        act=configured("port", "1"),
        level="failed",
        says="database: Can't connect to MySQL server on",
        remedy="correct [database]",
        hides=_EVERYTHING,
    ),
    Plant(
        name="another password",
        act=_another_password,
        level="failed",
        says="database: Access denied for user 'fraudd_test_guest'@'",
        remedy="correct [database]",
        hides=_EVERYTHING,
    ),
    Plant(
        name="a server that is not who it must be",
        act=_no_tls,
        level="failed",
        says="database: ",
        remedy="correct [database]",
        hides=_EVERYTHING,
    ),
    Plant(
        name="a CA that cannot be read",
        act=added("database", 'ca_file = "gone.pem"'),
        level="failed",
        says="database: [database] ca_file: cannot use FOLDER/gone.pem",
        remedy="No such file",
        hides=_EVERYTHING,
    ),
    Plant(
        name="no limit to the account's connections",
        act=sql(f"ALTER USER {GUEST}@HOST WITH MAX_USER_CONNECTIONS 0"),
        level="warning",
        says="account: the server does not limit its connections",
        remedy="WITH MAX_USER_CONNECTIONS 0",
    ),
    Plant(
        name="fewer connections than the fleet may need",
        act=sql(f"ALTER USER {GUEST}@HOST WITH MAX_USER_CONNECTIONS 1"),
        level="failed",
        says="account: MAX_USER_CONNECTIONS is 0; fraudd needs 0: fleet_size x",
        remedy="[database] max_connections, or ALTER USER 'fraudd_test_guest'@'",
    ),
    Plant(
        name="an account that may write",
        act=sql(f"GRANT INSERT, DELETE ON DEMO.orders TO {GUEST}@HOST"),
        level="failed",
        says="account: 'fraudd_test_guest'@'",
        has="may write (INSERT ON `fraudd_test_demo`.",
        remedy="REVOKE all rights except SELECT",
    ),
    Plant(
        name="an account that may write elsewhere",
        act=sql(f"GRANT CREATE, DROP ON fraudd_test_other.* TO {GUEST}@HOST"),
        level="failed",
        says="account: 'fraudd_test_guest'@'",
        has="may write (CREATE ON `fraudd_test_other`.",
        remedy="REVOKE all rights except SELECT",
    ),
    Plant(
        name="an account that may write by a role",
        act=_writing_by_a_role,
        undo=("DROP ROLE fraudd_test_writers",),
        level="failed",
        says="account: 'fraudd_test_guest'@'",
        has="may write (UPDATE ON `fraudd_test_demo`.",
        remedy="REVOKE all rights except SELECT",
    ),
    Plant(
        name="a fleet too large for the server",
        act=_a_fleet_too_large,
        level="failed",
        says="server: 0 of 0 connections in use; fraudd needs up to 0, too many",
        remedy="raise the server's max_connections, or lower [consumers] fleet_size",
        touches=("account",),
    ),
    Plant(
        name="another zone than the server's",
        act=added("database", 'time_zone = "+01:00"'),
        level="warning",
        says="time zone: time_zone is +0:0, but the server uses",
        remedy='if so, set [database] time_zone = "',
    ),
    Plant(
        name="a zone that the server does not know",
        act=added("database", 'time_zone = "Europe/Nowhere"'),
        level="failed",
        says="database: Unknown or incorrect time zone: 'Europe/Nowhere'",
        remedy="correct [database]",
        hides=_EVERYTHING,
    ),
    Plant(
        name="a replica that is not said to be one",
        act=sql("SET GLOBAL read_only = 1"),
        undo=("SET GLOBAL read_only = 0",),
        level="warning",
        says="replica: the server is read-only, so it is probably a replica",
        remedy="set [database] replica_lag_seconds",
    ),
    Plant(
        name="no replica, though it is said to be one",
        act=added("database", "replica_lag_seconds = 5"),
        level="warning",
        says="replica: [database] replica_lag_seconds is 0, but the server is not a replica",
        remedy="remove [database] replica_lag_seconds",
    ),
]
