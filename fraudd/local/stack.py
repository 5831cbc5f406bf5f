"""Starts the local stack: database, demo platform, AWS emulator, model and configuration.

A step runs only if its result is missing, so a second start takes seconds.
"""

import asyncio
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from fraudd import config
from fraudd.aws.provisioning.apply import Provisioned, provision
from fraudd.aws.session import AwsTerms, open_clients
from fraudd.clock import SystemClock
from fraudd.commands.train import summary, train_model
from fraudd.errors import Misconfigured
from fraudd.local import emulator, mariadb
from fraudd.local.platform import seed as seeding
from fraudd.local.process import running
from fraudd.local.progress import Progress
from fraudd.local.settings import DatabaseServer, Settings
from fraudd.scoring import feature_files as files

_REGION = "eu-central-1"
_NAME = "fraudd-shop"
_VISIBILITY_SECONDS = 120
#: Days after which a label of the demo is final. Chargebacks are reported late.
_LABEL_DELAY_DAYS = 21.0

_CONFIG = """\
# The local stack writes this file at each start. config/fraudd.toml explains every key.
[http]
listen = "127.0.0.1:{http_port}"

[aws]
region = "{region}"
endpoint_url = "{endpoint_url}"

[queue]
url = "{aws.queue_url}"
bulk_url = "{aws.bulk_url}"
# Shorter than in production, because stopping waits for the current poll.
wait_seconds = 2
visibility_timeout_seconds = {visibility}

[topics]
requests_arn = "{aws.requests_arn}"
completions_arn = "{aws.completions_arn}"

[results]
table = "{aws.table}"

[database]
host = "{database.host}"
port = {database.port}
user = "{user}"
name = "{database.name}"
password_credential = "{password_file}"

[features]
directory = "{features}"

[model]
path = "model.ubj"

[log]
format = "text"
"""


@contextmanager
def up(settings: Settings) -> Iterator[Path]:
    """Run everything except the daemon during the block, and yield the configuration file.

    Raises ``Misconfigured`` with a remedy.
    """
    progress = Progress(SystemClock())
    settings.state.mkdir(exist_ok=True)
    with _exclusive(settings), _database(settings, progress) as admin:
        command = emulator.command(
            settings.tools, settings.state / "emulator", port=settings.aws_port
        )
        with running(command):
            progress.say(f"AWS emulator at 127.0.0.1:{settings.aws_port}")
            yield asyncio.run(_prepare(settings, admin, progress))


@contextmanager
def _exclusive(settings: Settings) -> Iterator[None]:
    """Lock the state folder, because two stacks would corrupt each other's data."""
    with (settings.state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misconfigured(
                f"another local stack uses {settings.state}. Stop it first."
            ) from None
        yield


@contextmanager
def _database(settings: Settings, progress: Progress) -> Iterator[DatabaseServer]:
    if settings.database is not None:
        yield settings.database
        return
    folder = settings.state / "mariadb"
    command = mariadb.command(mariadb.find(settings.tools), folder, port=settings.mysql_port)
    with running(command):
        progress.say(f"MariaDB at 127.0.0.1:{settings.mysql_port}")
        yield DatabaseServer(
            host="127.0.0.1",
            port=settings.mysql_port,
            user="root",
            password="",
            name="fraudd_demo",
        )


async def _prepare(settings: Settings, admin: DatabaseServer, progress: Progress) -> Path:
    now = datetime.fromtimestamp(SystemClock().now() / 1000, UTC)
    stamp = await seeding.seed(settings, admin, now=now, progress=progress)
    user, password_file = await seeding.reader(settings, admin, progress)
    endpoint_url = f"http://127.0.0.1:{settings.aws_port}"
    path = settings.state / "fraudd.toml"
    path.write_text(
        _CONFIG.format(
            http_port=settings.http_port,
            region=_REGION,
            endpoint_url=endpoint_url,
            aws=await _provision(endpoint_url),
            visibility=_VISIBILITY_SECONDS,
            database=admin,
            user=user,
            password_file=password_file,
            features=settings.root / "config" / "features",
        )
    )
    progress.say("topics, queues and table exist")
    await _train(settings, path, admin, stamp, progress)
    return path


async def _provision(endpoint_url: str) -> Provisioned:
    terms = AwsTerms(
        region=_REGION,
        endpoint_url=endpoint_url,
        connect_timeout_seconds=2.0,
        read_timeout_seconds=10.0,
        max_connections=2,
        poll_seconds=10.0,
    )
    async with open_clients(terms, lambda _: None, SystemClock()) as clients:
        return await provision(clients, _NAME, visibility_timeout_seconds=_VISIBILITY_SECONDS)


async def _train(
    settings: Settings, path: Path, admin: DatabaseServer, stamp: str, progress: Progress
) -> None:
    """Train a model, unless it exists and was trained on the same data and SQL."""
    configuration = config.load(path)
    sources = f"{stamp}\n{files.load(configuration.features.directory).digest}"
    note = settings.state / "model.made-of"
    if configuration.model.path.exists() and note.exists() and note.read_text() == sources:
        return
    report = await train_model(
        configuration,
        settings.state / "labels.csv",
        label_delay_days=_LABEL_DELAY_DAYS,
        kinds=await seeding.scenarios(admin),
        progress=progress.counter("features of labels"),
    )
    note.write_text(sources)
    progress.say("model:\n" + summary(report))
