"""``docs/operations.md`` is executed as written, and held to the code where it cannot be."""

import asyncio
import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from fraudd.aws.dead_letters import DeadLetters, find_dead_letters
from fraudd.config import Config, load
from fraudd.local.settings import DatabaseServer
from tests.documents.runbook import NEEDS, Block, blocks, section
from tests.integration.test_dlq import dead, put
from tests.stack.aws import REGION, Aws
from tests.stack.configuration import as_toml, sections
from tests.stack.daemon import Fraudd, Start
from tests.stack.database import PLAIN, PREFIX
from tests.stack.observer import Observer
from tests.stack.paths import ROOT

WRITTEN_FOR = "http://127.0.0.1:8080"
FOLDER = "/etc/fraudd/shop"
#: Commands that call a daemon.
CALLING = r"^(fraudd (?:status|request|result|backfill)\b.*)$"
#: What the runbook makes at the database, as the tests call it.
ACCOUNT, DATABASE = "'fraudd'@'%'", "shop"


@pytest.fixture
def folder(
    tmp_path: Path, config: Config, aws: Aws, aws_endpoint: str, database: DatabaseServer
) -> Path:
    """What /etc/fraudd/shop holds."""
    values = sections(
        aws.names,
        database,
        aws={"endpoint_url": aws_endpoint, "read_timeout_seconds": 4},
        queue={"wait_seconds": 1, "visibility_timeout_seconds": 30},
        features={"directory": config.features.directory},
        model={"path": config.model.path},
    )
    values["database"] |= {
        "user": config.database.user,
        "name": config.database.name,
        "password_credential": "database-password",
    }
    (tmp_path / "fraudd.toml").write_text(as_toml(values))
    password = tmp_path / "database-password"
    password.write_text("secret")
    password.chmod(0o600)
    return tmp_path


@pytest.fixture
async def fraudd(
    start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Fraudd]:
    """A daemon that has worked: one score is stored, one run has failed."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    async with start(load(folder / "fraudd.toml")) as fraudd:
        for entity_id in ("shop-42", "nobody"):
            await fraudd.ask(entity_id)
            await fraudd.ended(entity_id)
        yield fraudd


@pytest.fixture
async def letters(aws: Aws) -> DeadLetters:
    """A dead-letter queue with a run that was given up, and what is no request."""
    letters = await find_dead_letters(aws.clients, main_url=aws.names.queue_url, url=None)
    await put(aws, letters, '{"entity_id": "shop-7"}', reason="deadlock")
    await put(aws, letters, "no request", reason="malformed")
    return letters


@pytest.fixture
async def account(observer: Observer) -> AsyncIterator[str]:
    """What the runbook's account is called here."""
    account = observer.account.replace(f"{PREFIX}reader", f"{PREFIX}book")
    await observer.rows(f"DROP USER IF EXISTS {account}")
    yield account
    await observer.rows(f"DROP USER IF EXISTS {account}")


async def test_every_command_works_as_written(
    fraudd: Fraudd, folder: Path, observer: Observer, account: str, letters: DeadLetters
) -> None:
    executed = [
        block for block in blocks() if block.needs is None and block.language in ("sh", "sql")
    ]
    assert len(executed) > 20
    for block in executed:
        if block.language == "sql":
            sql = block.code.replace(ACCOUNT, account).replace(f"{DATABASE}.*", f"{PLAIN}.*")
            for statement in filter(str.strip, sql.split(";\n")):
                await observer.rows(statement)
        else:
            await _execute(block, fraudd.url, folder)
    [[granted]] = await observer.rows(
        f"SELECT max_user_connections FROM mysql.user WHERE user = '{PREFIX}book'"
    )
    assert granted == 12, "the last word of the runbook on the account's cap"
    assert (await fraudd.ended("shop-7"))["status"] == "done", "sent back, and computed"
    assert await dead(letters) == [], "what is malformed was purged"


async def _execute(block: Block, url: str, folder: Path) -> None:
    code = block.code.replace(WRITTEN_FOR, url).replace(FOLDER, str(folder))
    # The folder of this stack has another name than that of an instance.
    code = code.replace(
        "fraudd check shop",
        f"CREDENTIALS_DIRECTORY={folder} fraudd check --config {folder}/fraudd.toml",
    )
    code = re.sub(CALLING, rf"\1 --url {url}", code, flags=re.MULTILINE)
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", code),
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    told = f"line {block.line}: {out.decode()}{err.decode()}"
    # This stack is no installation: what the check has to say of it is for its own tests.
    assert process.returncode in ((0, 1) if "fraudd check" in code else (0,)), told
    assert out + err, told
    assert b"Traceback" not in err, told


def test_what_is_not_executed_says_what_it_needs() -> None:
    for block in blocks():
        assert block.needs is None or block.needs in NEEDS, f"line {block.line}"
        if block.language == "sh":
            done = subprocess.run(["bash", "-n"], input=block.code, text=True, check=False)
            assert done.returncode == 0, f"line {block.line}"


def test_commands_for_aws_are_such_as_aws_knows() -> None:
    """By the models that the AWS command line itself is made of."""
    session = botocore.session.get_session()
    commands = [
        line.split(" ")
        for block in blocks()
        if block.needs == "aws"
        for line in block.code.splitlines()
        if line.startswith("aws ")
    ]
    assert len(commands) == 5
    for _, service, operation, *more in commands:
        client = session.create_client(service, region_name=REGION)
        if operation == "wait":
            assert more[0].replace("-", "_") in client.waiter_names
            continue
        known = client.meta.service_model
        method = client.meta.method_to_api_mapping[operation.replace("-", "_")]
        model = known.operation_model(method)
        assert model.input_shape is not None
        members = {xform_name(name, "-") for name in model.input_shape.members}
        options = [word[2:] for word in more if word.startswith("--")]
        assert options
        assert members >= set(options), operation


def test_the_options_in_the_runbook_are_those_of_the_commands() -> None:
    fraudd = Path(sys.executable).with_name("fraudd")
    used: dict[tuple[str, ...], set[str]] = {}
    for block in blocks():
        for line in block.code.splitlines() if block.language == "sh" else ():
            if match := re.search(r"\bfraudd ((?:dlq |token )?[a-z]+)\b(.*)$", line):
                words = shlex.split(match[2].partition("|")[0])
                options = {word for word in words if word.startswith("--")}
                used.setdefault(tuple(match[1].split()), set()).update(options)
    assert len(used) > 6
    for command, options in used.items():
        done = subprocess.run(
            [fraudd, *command, "--help"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert options <= set(re.findall(r"--[a-z-]+", done.stdout)), command


def test_every_alarm_of_cloudwatch_has_its_section() -> None:
    template = (ROOT / "config" / "cloudformation.yaml").read_text("utf-8")
    alarms = re.findall(r'AlarmName: !Sub "\$\{Name\}-([a-z-]+)"', template)
    assert len(alarms) >= 3
    for alarm in alarms:
        assert f"\n### NAME-{alarm}\n" in section("Alerts")


def test_the_capacity_table_is_as_its_formula_says() -> None:
    rows = re.findall(r"^\| ([\d.]+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| ([\d,]+) \|$",
                      section("Capacity and cost"), re.MULTILINE)  # fmt: skip
    assert len(rows) == 8
    for rate, seconds, *told in rows:
        permits = math.ceil(float(rate) * int(seconds) / 0.67)
        instances = math.ceil(permits / 10)
        a_day = f"{round(float(rate) * 86_400):,}"
        assert told == [str(permits), str(instances), str(permits + instances), a_day]


def test_the_costs_are_the_sum_of_their_parts() -> None:
    sqs, sns, write, read, storage = 0.40, 0.50, 0.625, 0.125, 0.25
    parts = [2 * sqs, 2 * sns, 11 * write, 1 * read]
    text = section("Capacity and cost").replace("\n", " ")
    for price in (sqs, sns):
        assert f"{price:.2f}" in text
    table = re.findall(r"\| (\d+\.\d\d) \|$", section("Capacity and cost"), re.MULTILINE)
    assert table == [_dollars(part) for part in [*parts, sum(parts)]]
    assert f"{_dollars(sqs + 3 * write)} a million" in text
    assert f"{_dollars(2.6 * storage)} a month" in text
    assert f"{_dollars(11 * 60 * 24 * 30 * sqs / 1e6)} a month" in text


def _dollars(amount: float) -> str:
    return f"{math.floor(amount * 100 + 0.5 + 1e-6) / 100:.2f}"
