"""From the configuration to the terms on which AWS and the database are used."""

import ssl

from fraudd.aws.session import Terms
from fraudd.config import Config, Database, credential
from fraudd.database.connections import Server
from fraudd.ports import Misconfigured


def aws_terms(config: Config) -> Terms:
    """How AWS is reached."""
    return Terms(
        region=config.aws.region,
        endpoint_url=config.aws.endpoint_url,
        connect_timeout_seconds=config.aws.connect_timeout_seconds,
        read_timeout_seconds=config.aws.read_timeout_seconds,
        max_connections=config.aws.max_connections,
        wait_seconds=config.queue.wait_seconds,
    )


def database_server(database: Database) -> Server:
    """Where the database is; raises ``Misconfigured`` where CA file or password cannot be read."""
    credential(database.password_credential)
    return Server(
        host=database.host,
        port=database.port,
        user=database.user,
        name=database.name,
        password=lambda: credential(database.password_credential),
        tls=None if database.loopback else _verifying_tls(database),
        time_zone=database.time_zone,
        connect_timeout_seconds=database.connect_timeout_seconds,
        query_timeout_seconds=database.query_timeout_seconds,
        snapshot_timeout_seconds=database.snapshot_timeout_seconds,
        idle_seconds=database.idle_seconds,
    )


def _verifying_tls(database: Database) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=database.ca_file)
    except OSError as error:
        reason = error.strerror or str(error)
        problem = f"[database] ca_file: cannot use {database.ca_file}: {reason}"
        raise Misconfigured(problem) from None
