"""MySQL's way of checking a password, caching_sha2_password, with TLS and without."""

import ssl
from dataclasses import replace

import pytest

from fraudd.local.settings import DatabaseServer
from tests.stack.database import PREFIX, Pool, given, run_sql, server_of

LOGIN = f"{PREFIX}login"


def trusting() -> ssl.SSLContext:
    """TLS that asks for no certificate: a MySQL that nobody set up has one of its own making."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize("tls", [False, True])
async def test_a_password_is_taken_the_first_time_and_when_the_server_remembers_it(
    database: DatabaseServer, tls: bool
) -> None:
    run_sql(
        database,
        f"DROP USER IF EXISTS {LOGIN}@HOST",
        f"CREATE USER {LOGIN}@HOST IDENTIFIED BY 'secret' REQUIRE {'SSL' if tls else 'NONE'}",
        f"GRANT SELECT ON {database.name}.* TO {LOGIN}@HOST",
        f"CREATE DATABASE IF NOT EXISTS {database.name}",
    )
    plugins = run_sql(database, f"SELECT plugin FROM mysql.user WHERE user = '{LOGIN}'")
    assert plugins == [("caching_sha2_password",)]
    server = replace(
        server_of(database), user=LOGIN, password=given("secret"), tls=trusting() if tls else None
    )
    for _ in ("first", "remembered"):
        pool = Pool(server)
        [[user]] = await pool.query("SELECT CURRENT_USER()")
        await pool.connections.close()
        assert user.startswith(f"{LOGIN}@")
