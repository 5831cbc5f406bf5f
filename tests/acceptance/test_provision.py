"""``fraudd provision`` as a process, before an emulated AWS."""

import json
import subprocess
import tomllib
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fraudd.aws.session import Clients
from tests.stack.aws import REGION
from tests.stack.paths import FRAUDD, ROOT
from tests.stack.process import PATIENCE_SECONDS

Run = Callable[..., "subprocess.CompletedProcess[str]"]
_numbers = count(1)
#: What a configuration needs, and this command does not look at.
REST = f"""
[database]
host = "database.invalid"
user = "nobody"
name = "nothing"
[features]
directory = "{ROOT}/config/features"
[model]
path = "none.ubj"
"""


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"shown-{next(_numbers)}"


@pytest.fixture
def run(aws_endpoint: str) -> Run:
    """Run the command to its end, with the emulator in the place of AWS."""

    def run(*arguments: "str | Path", **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [FRAUDD, "provision", *arguments],
            env={
                "PATH": "/usr/bin:/bin",
                "AWS_ENDPOINT_URL": aws_endpoint,
                "AWS_ACCESS_KEY_ID": "some",
                "AWS_SECRET_ACCESS_KEY": "thing",
            }
            | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    return run


def by_name(name: str) -> list[str]:
    return ["--name", name, "--region", REGION]


def told(process: "subprocess.CompletedProcess[str]") -> list[str]:
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout.splitlines()


async def test_a_plan_changes_nothing(run: Run, name: str, aws_clients: Clients) -> None:
    for _ in range(2):
        lines = told(run("--plan", *by_name(name)))
        assert lines[0] == f"account 000000000000, region {REGION}"
        assert f"+ queue        {name}-bulk" in lines
        assert "    VisibilityTimeout: 120" in lines
        assert lines[-1] == "7 to create, 0 to update, 0 unchanged"
    assert name not in (await aws_clients.dynamodb.list_tables())["TableNames"]


async def test_what_it_makes_it_names_for_the_configuration_and_makes_once(
    run: Run, name: str, tmp_path: Path, aws_clients: Clients
) -> None:
    done, _, lines = run(*by_name(name)).stdout.partition("\ndone\n\n")
    assert done.count("\ncreating ") == 7
    assert done.endswith(f"\ncreating table {name}")
    path = tmp_path / "fraudd.toml"
    path.write_text(lines + REST)
    await aws_clients.sqs.send_message(
        QueueUrl=tomllib.loads(lines)["queue"]["bulk_url"], MessageBody="it is there"
    )

    again = told(run("--config", path))
    assert [line for line in again if not line.startswith("= ")][1:3] == [
        "nothing to change",
        "done",
    ]
    assert "\n".join(again).partition("\ndone\n\n")[2] == lines.rstrip("\n")


async def test_the_configuration_says_how_long_messages_in_hand_are_hidden(
    run: Run, name: str, tmp_path: Path
) -> None:
    _, _, lines = run(*by_name(name)).stdout.partition("\ndone\n\n")
    path = tmp_path / "fraudd.toml"
    path.write_text(
        lines.replace("[queue]\n", "[queue]\nvisibility_timeout_seconds = 300\n") + REST
    )
    lines_of_plan = told(run("--config", path, "--plan"))
    assert lines_of_plan.count("    VisibilityTimeout: 120 → 300") == 2
    assert lines_of_plan[-1] == "0 to create, 2 to update, 5 unchanged"
    assert "0 to create, 2 to update, 5 unchanged" in told(run("--config", path))
    assert "nothing to change" in told(run("--config", path))


async def test_a_filter_policy_is_shown_and_removed(
    run: Run, name: str, aws_clients: Clients
) -> None:
    made = json.loads(run(*by_name(name), "--json").stdout)["made"]
    listed = await aws_clients.sns.list_subscriptions_by_topic(TopicArn=made["requests_arn"])
    await aws_clients.sns.set_subscription_attributes(
        SubscriptionArn=listed["Subscriptions"][0]["SubscriptionArn"],
        AttributeName="FilterPolicy",
        AttributeValue='{"lane": ["bulk"]}',
    )
    line = '    FilterPolicy: {"lane": ["bulk"]} → none'
    assert line in told(run("--plan", *by_name(name)))
    assert line in told(run(*by_name(name)))
    assert "nothing to change" in told(run("--plan", *by_name(name)))


async def test_what_is_in_the_way_is_told_with_a_remedy_and_nothing_is_made(
    run: Run, name: str, aws_clients: Clients
) -> None:
    await aws_clients.dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    for arguments in (by_name(name), [*by_name(name), "--plan"]):
        refused = run(*arguments)
        assert refused.returncode == 1
        assert f"! table        {name}\n" in refused.stdout
        assert "a table's key cannot be changed: use another name" in refused.stdout
        assert refused.stderr == "fraudd: nothing was changed; resolve the lines with ! first\n"
    topics = (await aws_clients.sns.list_topics())["Topics"]
    assert not [topic for topic in topics if name in topic["TopicArn"]]


def test_json_has_plan_and_outcome_for_programs(run: Run, name: str) -> None:
    planned: Any = json.loads(run(*by_name(name), "--plan", "--json").stdout)
    assert planned["made"] is None
    assert {step["action"] for step in planned["steps"]} == {"create"}
    made: Any = json.loads(run(*by_name(name), "--json").stdout)
    assert made["steps"] == planned["steps"]
    assert made["made"]["table"] == name


def test_a_configuration_of_another_installation_is_78(run: Run, name: str, tmp_path: Path) -> None:
    _, _, lines = run(*by_name(name)).stdout.partition("\ndone\n\n")
    path = tmp_path / "fraudd.toml"
    path.write_text(lines.replace(f'table = "{name}"', 'table = "another"') + REST)
    refused = run("--config", path)
    assert refused.returncode == 78
    assert refused.stdout == ""
    assert [line.split(" = ")[0] for line in refused.stderr.splitlines()] == [
        "fraudd: [queue] url",
        "fraudd: [queue] bulk_url",
        "fraudd: [topics] requests_arn",
        "fraudd: [topics] completions_arn",
    ]


def test_which_installation_must_be_said(run: Run) -> None:
    refused = run("--name", "fraudd-shop")
    assert refused.returncode == 2
    assert refused.stderr.endswith("give either --config, or --name and --region\n")


def test_an_aws_out_of_reach_is_told_in_one_line(run: Run, name: str) -> None:
    refused = run(*by_name(name), AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert refused.returncode == 1
    assert refused.stderr.startswith("fraudd: account: ")
    assert refused.stderr.count("\n") == 1
