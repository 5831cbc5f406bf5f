"""TLS to a remote database, and the check of its certificate."""

import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiomysql
import pytest
import trustme

from fraudd.config import Config
from fraudd.database.killer import Killer
from fraudd.database.server import Server, connect
from fraudd.errors import Misconfigured, Unavailable
from fraudd.local import mariadb
from fraudd.local.process import running
from fraudd.local.settings import DatabaseServer
from fraudd.wiring import database_server
from tests.stack.daemon import changed
from tests.stack.database import Pool, server_of
from tests.stack.mariadb import private_mariadb
from tests.stack.paths import ROOT
from tests.stack.workers import free_port


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def authority(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that [database] ca_file names."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="module")
def port(
    ca: trustme.CA, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """A MariaDB with a certificate for localhost, which requires TLS."""
    folder, port = tmp_path_factory.mktemp("mariadb-tls"), free_port()
    issued = ca.issue_cert("localhost")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    command = mariadb.command(mariadb.find(ROOT / ".tools"), folder, port=port)
    tls = [
        f"--ssl-ca={authority}",
        f"--ssl-cert={folder / 'cert.pem'}",
        f"--ssl-key={folder / 'key.pem'}",
    ]
    with running(replace(command, arguments=[*command.arguments, *tls])):
        yield port


@pytest.fixture
async def server(port: int, authority: Path) -> AsyncIterator[Server]:
    """The server, for an account that requires TLS."""
    root = await aiomysql.connect(host="127.0.0.1", port=port, user="root", autocommit=True)
    async with root.cursor() as cursor:
        for statement in (
            "CREATE OR REPLACE DATABASE plain",
            "CREATE OR REPLACE USER reader@localhost IDENTIFIED BY 'secret' REQUIRE SSL",
            "GRANT SELECT ON plain.* TO reader@localhost",
        ):
            await cursor.execute(statement)
    account = DatabaseServer(
        host="localhost", port=port, user="reader", password="secret", name="plain"
    )
    yield replace(server_of(account), tls=ssl.create_default_context(cafile=authority))
    root.close()


async def ask(server: Server, sql: str = "SELECT 1") -> Any:
    pool = Pool(server)
    try:
        return await pool.query(sql)
    finally:
        await pool.connections.close()


async def test_the_connection_is_encrypted(server: Server) -> None:
    [[_, cipher]] = await ask(server, "SHOW SESSION STATUS LIKE 'Ssl_cipher'")
    assert cipher != ""


async def test_a_kill_goes_to_an_address_whose_certificate_has_the_name(server: Server) -> None:
    """The account requires TLS, and the certificate has no IP address."""
    connection = await connect(server, database=server.name)
    assert connection.peer[0] in ("127.0.0.1", "::1")
    assert await Killer(server).kill(connection) == "killed"
    await connection.quit()
    assert await Killer(server).kill(connection) == "ended before"


async def test_a_certificate_of_another_authority_is_refused_and_the_message_names_the_key(
    server: Server,
) -> None:
    other = trustme.CA()
    context = ssl.create_default_context(cadata=other.cert_pem.bytes().decode())
    with pytest.raises(Unavailable, match=r"CERTIFICATE_VERIFY_FAILED.*\[database\] ca_file"):
        await ask(replace(server, tls=context))


async def test_a_certificate_of_another_name_is_refused(server: Server) -> None:
    with pytest.raises(Unavailable, match=r"not valid for '127.0.0.1'|IP address mismatch"):
        await ask(replace(server, host="127.0.0.1"))


async def test_a_server_without_tls_gets_neither_password_nor_token(
    server: Server, tmp_path: Path
) -> None:
    with private_mariadb(tmp_path) as database:
        for iam_auth in (False, True):
            plain = replace(server, port=database.port, iam_auth=iam_auth)
            with pytest.raises(Unavailable, match="the server offers no TLS"):
                await ask(plain)


async def test_a_token_of_rds_goes_the_way_of_a_password(server: Server) -> None:
    assert await ask(replace(server, iam_auth=True)) == [(1,)]


def test_anything_but_loopback_is_verified_and_loopback_where_a_ca_is_given(
    config: Config, authority: Path
) -> None:
    assert database_server(config).tls is None
    for keys in ({"host": "db.example"}, {"ca_file": authority}):
        tls = database_server(changed(config, database=keys)).tls
        assert tls is not None
        assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_ca_file_that_is_none_is_told_before_anything_starts(
    config: Config, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("ca.pem", "nowhere.pem"):
        wrong = changed(config, database={"ca_file": tmp_path / name})
        with pytest.raises(Misconfigured, match=rf"\[database\] ca_file: cannot use .*{name}"):
            database_server(wrong)
