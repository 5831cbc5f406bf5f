"""How ``fraudd provision`` tells what it does, and which configurations it refuses."""

import argparse
import json
import tomllib
from dataclasses import replace
from typing import Any

import pytest

from fraudd.aws.provisioning.apply import Provisioned
from fraudd.aws.provisioning.plan import Change, Step, plan
from fraudd.aws.provisioning.resources import Names, Part, Place, installation
from fraudd.commands import provision
from fraudd.config import Config
from fraudd.errors import Misconfigured

PLACE = Place(partition="aws", region="eu-central-1", account="123456789012")
PARTS = installation("fraudd-shop", PLACE, visibility_timeout_seconds=120)
SQS = "https://sqs.eu-central-1.amazonaws.com/123456789012"
MADE = Provisioned(
    queue_url=f"{SQS}/fraudd-shop",
    bulk_url=f"{SQS}/fraudd-shop-bulk",
    dead_letter_url=f"{SQS}/fraudd-shop-dead",
    requests_arn="arn:aws:sns:eu-central-1:123456789012:fraudd-shop-requests",
    completions_arn="arn:aws:sns:eu-central-1:123456789012:fraudd-shop-completions",
    table="fraudd-shop",
)


def config(**queue: str) -> Config:
    """A configuration that names what was made."""
    made: dict[str, Any] = tomllib.loads(provision.toml(MADE, PLACE))
    made["queue"] |= queue
    return Config.model_validate(
        made
        | {
            "database": {"host": "127.0.0.1", "user": "fraudd", "name": "shop"},
            "features": {"directory": "features"},
            "model": {"path": "model.ubj"},
        }
    )


def wrong(settings: Config, *, name: str = "fraudd-shop", place: Place = PLACE) -> list[str]:
    return provision.misnamed(settings, Names(name), place)


def test_a_plan_reads_like_a_change() -> None:
    part = Part(kind="queue", name="fraudd-shop", attributes={})
    filtered = Change(attribute="FilterPolicy", old={"lane": ["bulk"]}, new=None)
    steps = [
        Step(action="keep", part=Part(kind="topic", name="fraudd-shop-requests", attributes={})),
        Step(
            action="create", part=part, changes=(Change(attribute="DelaySeconds", old=None, new=0),)
        ),
        Step(action="update", part=replace(part, kind="subscription"), changes=(filtered,)),
        Step(action="refuse", part=replace(part, kind="table"), problems=("do this",)),
    ]
    assert list(provision.plan_lines(steps, PLACE)) == [
        "account 123456789012, region eu-central-1",
        "= topic        fraudd-shop-requests",
        "+ queue        fraudd-shop",
        "    DelaySeconds: 0",
        "~ subscription fraudd-shop",
        '    FilterPolicy: {"lane": ["bulk"]} → none',
        "! table        fraudd-shop",
        "    do this",
        "1 to create, 1 to update, 1 unchanged, 1 blocked",
    ]


def test_where_all_is_as_it_must_be_there_is_nothing_to_change() -> None:
    steps = plan(PARTS, [part.attributes for part in PARTS])
    assert list(provision.plan_lines(steps, PLACE))[-1] == "nothing to change"


def test_a_plan_for_programs_has_the_same_and_what_was_made() -> None:
    told = provision.as_json(plan(PARTS, [None] * len(PARTS)), PLACE, MADE)
    assert json.loads(json.dumps(told))["made"]["bulk_url"] == MADE.bulk_url
    assert {step["action"] for step in told["steps"]} == {"create"}
    assert provision.as_json([], PLACE, None)["made"] is None


def test_the_lines_for_the_configuration_are_taken_by_it() -> None:
    settings = config()
    assert settings.aws.region == "eu-central-1"
    assert settings.queue.bulk_url == MADE.bulk_url
    assert wrong(settings) == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (config(url=f"{SQS}/other"), ["[queue] url = '"]),
        (config(url=f"{SQS}/fraudd-shop-bulk"), ["[queue] url = '"]),
        (config(bulk_url=f"{SQS}/fraudd-shop"), ["[queue] bulk_url = '"]),
        (config(dead_letter_url=f"{SQS}/dead"), ["[queue] dead_letter_url = '"]),
        (config(dead_letter_url=MADE.dead_letter_url), []),
    ],
)
def test_a_queue_of_another_name_is_refused(settings: Config, says: list[str]) -> None:
    problems = wrong(settings)
    assert len(problems) == len(says)
    for problem, begins in zip(problems, says, strict=True):
        assert problem.startswith(begins)
        assert "/123456789012/fraudd-shop" in problem


def test_all_of_another_account_is_refused_part_by_part() -> None:
    problems = wrong(config(), place=replace(PLACE, account="999999999999"))
    assert [problem.partition(" = ")[0] for problem in problems] == [
        "[queue] url",
        "[queue] bulk_url",
        "[topics] requests_arn",
        "[topics] completions_arn",
    ]
    assert "the credentials are of account 999999999999" in problems[0]


def test_a_topic_of_another_region_is_refused() -> None:
    problems = wrong(config(), place=replace(PLACE, region="eu-west-1"))
    assert [problem.partition(" = ")[0] for problem in problems] == [
        "[topics] requests_arn",
        "[topics] completions_arn",
    ]


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    provision.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--name", "fraudd-shop"],
        ["--region", "eu-central-1"],
        ["--config", "x.toml", "--name", "fraudd-shop"],
        ["--name", "no.such", "--region", "eu-central-1"],
        ["--name", "fraudd-shop", "--region", "Frankfurt"],
    ],
)
def test_arguments_that_do_not_say_which_installation_are_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        provision.run(parsed(*arguments))
    assert "error:" in capsys.readouterr().err


def test_a_table_that_no_queue_could_be_named_after_is_refused(tmp_path: Any) -> None:
    path = tmp_path / "fraudd.toml"
    path.write_text(
        provision.toml(replace(MADE, table="fraudd.shop"), PLACE)
        + '[database]\nhost = "127.0.0.1"\nuser = "fraudd"\nname = "shop"\n'
        '[features]\ndirectory = "features"\n[model]\npath = "model.ubj"\n'
    )
    with pytest.raises(Misconfigured, match=r"\[results\] table = 'fraudd.shop': .* 3 to 72"):
        provision.run(parsed("--config", str(path)))
