"""From the configuration to the terms on which AWS, the database and the engine are used."""

import ssl

from fraudd.aws.session import Terms
from fraudd.config import Config, Database, credential
from fraudd.consumers import POLL_MARGIN_SECONDS
from fraudd.database.connections import Server
from fraudd.engine import Terms as EngineTerms
from fraudd.ports import Misconfigured

_DAY_SECONDS = 24 * 3600.0


def aws_terms(config: Config) -> Terms:
    """How AWS is reached."""
    return Terms(
        region=config.aws.region,
        endpoint_url=config.aws.endpoint_url,
        connect_timeout_seconds=config.aws.connect_timeout_seconds,
        read_timeout_seconds=config.aws.read_timeout_seconds,
        max_connections=config.aws.max_connections,
        poll_seconds=config.queue.wait_seconds + POLL_MARGIN_SECONDS,
    )


def engine_terms(config: Config) -> EngineTerms:
    """The numbers that the engine runs by."""
    return EngineTerms(
        consumers=config.consumer_count,
        max_attempts=config.consumers.max_attempts,
        job_timeout_seconds=config.consumers.job_timeout_seconds,
        visibility_timeout_seconds=config.queue.visibility_timeout_seconds,
        wait_seconds=config.queue.wait_seconds,
        drain_seconds=config.consumers.drain_seconds,
        backoff_base_seconds=config.jobs.backoff_base_seconds,
        backoff_max_seconds=config.jobs.backoff_max_seconds,
        max_wait_seconds=config.jobs.max_wait_seconds,
        default_max_age_seconds=config.http.default_max_age_seconds,
        retry_failed_after_seconds=config.jobs.retry_failed_after_seconds,
        result_ttl_seconds=config.results.result_ttl_days * _DAY_SECONDS,
        failed_ttl_seconds=config.results.failed_ttl_days * _DAY_SECONDS,
        sweep_interval_seconds=config.sweeper.interval_seconds,
        grace_seconds=config.sweeper.grace_seconds,
        requeue_after_seconds=config.sweeper.requeue_after_seconds,
        fleet=config.consumers.fleet,
        source=f"urn:fraudd:{config.results.table}",
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
