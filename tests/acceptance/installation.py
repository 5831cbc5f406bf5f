"""An installation of two daemons that works, and what ``fraudd check`` says of it."""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from fraudd import cli
from fraudd.aws.session import Clients
from fraudd.commands.check.findings import Level
from fraudd.local.settings import DatabaseServer
from fraudd.scoring import feature_files as files
from tests.stack.aws import Aws, provisioned
from tests.stack.configuration import as_toml, sections
from tests.stack.database import PREFIX, run_sql
from tests.stack.paths import ROOT

GUEST = f"{PREFIX}guest"
PASSWORD = "open sesame"


@dataclass(frozen=True, slots=True)
class Line:
    """A finding that the command printed."""

    level: str
    detail: str
    fix: str = ""

    @property
    def part(self) -> str:
        """What it is about: ``queue policy`` of ``queue policy: lets …``."""
        return self.detail.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Report:
    """What the command said."""

    status: int
    lines: list[Line]
    summary: str

    def marked(self, *levels: Level) -> list[str]:
        """The findings of some levels."""
        return [line.detail for line in self.lines if line.level in levels]

    def fixes(self, *levels: Level) -> list[str]:
        """The fixes of the findings of some levels."""
        return [line.fix for line in self.lines if line.level in levels]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A folder with configuration, secrets, features and model; AWS; a database account."""

    folder: Path
    aws: Aws
    database: DatabaseServer

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "fraudd.toml"

    def change(self, key: str, line: str) -> None:
        """Replace the line of a key that comes once in the configuration file."""
        text, times = re.subn(rf"(?m)^{key} = .*$", lambda _: line, self.config.read_text())
        assert times == 1, f"{key} comes {times} times"
        self.config.write_text(text)

    def add(self, section: str, line: str) -> None:
        """Add a line to a section of the configuration file, or the section with it."""
        text = self.config.read_text()
        begin = f"[{section}]\n"
        if begin not in text:
            text += begin
        self.config.write_text(text.replace(begin, f"{begin}{line}\n"))

    def feature(self, name: str, text: str) -> None:
        """Write a feature file, and a model that knows its features."""
        (self.folder / "features" / name).write_text(text)
        save_model(self.folder)

    def sql(self, *statements: str) -> Any:
        """Run statements as the database's administrator."""
        return run_sql(self.database, *statements)

    async def set_queue(self, name: str, attributes: Mapping[str, str]) -> None:
        """Set attributes of the main queue, or of that with another ending of its name."""
        sqs: Any = self.aws.clients.sqs
        await sqs.set_queue_attributes(
            QueueUrl=self.aws.names.queue_url + name, Attributes=attributes
        )

    async def queue_attribute(self, attribute: str) -> str:
        """Read an attribute of the main queue."""
        sqs: Any = self.aws.clients.sqs
        url = self.aws.names.queue_url
        answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[attribute])
        return str(answer["Attributes"][attribute])

    async def subscription(self) -> str:
        """The ARN of the queue's subscription to the topic of requests."""
        answer = await self.aws.clients.sns.list_subscriptions_by_topic(
            TopicArn=self.aws.names.requests_arn
        )
        return answer["Subscriptions"][0]["SubscriptionArn"]

    def plain(self, detail: str) -> str:
        """A line without what differs from one installation to another, and numbers."""
        told = detail.replace(str(self.folder), "FOLDER")
        return re.sub(r"\d+", "0", told.replace(self.aws.names.table, "NAME"))


@asynccontextmanager
async def installed(
    folder: Path, clients: Clients, endpoint: str, database: DatabaseServer
) -> AsyncIterator[Installation]:
    """Make an installation that works; its account goes with it."""
    shutil.copytree(ROOT / "config" / "features", folder / "features")
    save_model(folder)
    for name, text in (("password", PASSWORD), ("tokens", f"shop read,request {'0' * 64}")):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(f"{text}\n")
    aws = await provisioned(clients)
    values = sections(
        aws.names,
        database,
        http={"tokens_credential": "./tokens"},
        aws={"endpoint_url": endpoint, "read_timeout_seconds": 4},
        queue={"bulk_url": aws.names.bulk_url, "visibility_timeout_seconds": 30},
        consumers={"fleet_size": 2},
        features={"directory": "features"},
        model={"path": "model.ubj"},
    )
    values["database"] |= {
        "user": GUEST,
        "password_credential": "./password",
        "max_connections": 2,
    }
    (folder / "fraudd.toml").write_text(as_toml(values))
    run_sql(
        database,
        f"DROP USER IF EXISTS {GUEST}@HOST",
        f"CREATE USER {GUEST}@HOST IDENTIFIED BY '{PASSWORD}' WITH MAX_USER_CONNECTIONS 6",
        f"GRANT SELECT ON {database.name}.* TO {GUEST}@HOST",
    )
    yield Installation(folder=folder, aws=aws, database=database)
    run_sql(database, f"DROP USER {GUEST}@HOST")


def save_model(folder: Path) -> None:
    """Make a model that knows the features of a folder, and nothing about fraud."""
    feature_files = files.load(folder / "features")
    names = sorted(feature_files.features)
    matrix = np.random.default_rng(1).random((50, len(names)))
    booster = xgboost.train(
        {"objective": "binary:logistic", "base_score": 0.5},
        xgboost.DMatrix(matrix, label=matrix[:, 0] > 0.5, feature_names=names),
        num_boost_round=2,
    )
    booster.set_attr(review_threshold="0.5", block_threshold="0.9", trained_at="2026-11-24T")
    booster.set_attr(sql_digest=feature_files.digest)
    booster.save_model(folder / "model.ubj")


async def checked(installation: Installation, *arguments: str) -> Report:
    """Run the command to its end, in a thread: it has an event loop of its own."""
    command = ["check", "--config", str(installation.config), *arguments]
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        status = await asyncio.to_thread(cli.main, command)
    assert err.getvalue() == ""
    if "--json" in arguments:
        return Report(status, [Line(**one) for one in json.loads(out.getvalue())], "")
    *printed, summary = out.getvalue().splitlines()
    lines: list[Line] = []
    for one in printed:
        if one.startswith(f"{'':9}fix: "):
            assert lines[-1].level != "ok"
            lines[-1] = replace(lines[-1], fix=one[14:])
        else:
            lines.append(Line(*one.split(maxsplit=1)))
    return Report(status, lines, summary)
