"""config/cloudformation.yaml: the same as `fraudd provision` makes, and no right too many."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from fraudd.aws.provisioning.apply import Provisioned
from fraudd.aws.provisioning.resources import NAME, NAME_RULE, Place, installation
from fraudd.commands.provision import toml
from fraudd.config.schema import QueueSection
from tests.documents.template import Template
from tests.stack.paths import ROOT

PLACE = Place(partition="aws", region="eu-central-1", account="123456789012")

#: One right stands for the single call and for that of a batch.
_BATCHES = {"SendMessageBatch", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"}
#: What makes an installation is run by an operator, not with the role of an instance.
_NOT_THE_ROLE = {"fraudd/aws/provisioning/apply.py", "fraudd/commands/provision.py"}
_CLIENTS = {"sqs": "sqs", "polls": "sqs", "sns": "sns", "dynamodb": "dynamodb"}


@pytest.fixture
def template() -> Template:
    return Template(PLACE)


@pytest.mark.parametrize("name", ["fraudd-shop", "another"])
def test_template_and_provision_make_the_same_parts_with_the_same_attributes(name: str) -> None:
    template = Template(PLACE, Name=name, VisibilityTimeoutSeconds=60)
    wanted = installation(name, PLACE, visibility_timeout_seconds=60)
    made = template.parts()
    assert {(part.kind, part.name): part.attributes for part in made} == {
        (part.kind, part.name): part.attributes for part in wanted
    }
    assert len(made) == len(wanted)


def test_names_and_times_are_those_that_provision_and_the_configuration_take(
    template: Template,
) -> None:
    name = template.raw["Parameters"]["Name"]
    assert (name["AllowedPattern"], name["ConstraintDescription"]) == (NAME.pattern, NAME_RULE)
    visibility = template.raw["Parameters"]["VisibilityTimeoutSeconds"]
    assert visibility["Default"] == QueueSection(url="-").visibility_timeout_seconds
    for seconds in (visibility["MinValue"], visibility["MaxValue"]):
        QueueSection(url="-", visibility_timeout_seconds=seconds)
    for seconds in (visibility["MinValue"] - 1, visibility["MaxValue"] + 1):
        with pytest.raises(ValueError, match="visibility_timeout_seconds"):
            QueueSection(url="-", visibility_timeout_seconds=seconds)


def test_the_output_names_in_the_configuration_what_provision_prints(template: Template) -> None:
    told = tomllib.loads(template.value(template.raw["Outputs"]["FrauddToml"]["Value"]))
    url = "https://sqs.eu-central-1.amazonaws.com/123456789012/fraudd-shop"
    printed = tomllib.loads(
        toml(
            Provisioned(
                queue_url=url,
                bulk_url=f"{url}-bulk",
                dead_letter_url=f"{url}-dead",
                requests_arn=PLACE.arn("sns", "fraudd-shop-requests"),
                completions_arn=PLACE.arn("sns", "fraudd-shop-completions"),
                table="fraudd-shop",
            ),
            PLACE,
        )
    )
    assert told.pop("consumers") == {"fleet_size": template.parameters["MaxInstances"]}
    assert told["queue"].pop("visibility_timeout_seconds") == 120
    assert told == printed


def test_the_role_may_do_exactly_what_daemon_dlq_and_check_call(template: Template) -> None:
    [(_, role)] = template.of_type("AWS::IAM::Role")
    granted = _rights(role, "fraudd")
    assert granted == _called(), "a call without a right, or a right without a call"


def test_with_a_token_for_the_database_the_role_may_log_in_and_reads_no_password() -> None:
    iam = Template(PLACE, DatabasePasswordParameter="", DatabaseUserResource="db-ABC/fraudd")
    [(_, role)] = iam.of_type("AWS::IAM::Role")
    assert _rights(role, "fraudd") == _called() | {"rds-db:connect"}
    assert "ssm:GetParameter" not in _rights(role, "start")
    [(_, role)] = Template(PLACE).of_type("AWS::IAM::Role")
    assert "ssm:GetParameter" in _rights(role, "start")


def test_the_tables_of_rights_in_the_documents_are_those_of_the_template_and_of_the_code() -> None:
    [(_, with_password)] = Template(PLACE).of_type("AWS::IAM::Role")
    rights = _rights(with_password, "fraudd") | _rights(with_password, "start")
    makes = _called_in(ROOT / "fraudd/aws/provisioning/apply.py") | _called_in(
        ROOT / "fraudd/aws/provisioning/describe.py"
    )
    assert _documented_rights("operator rights") == makes
    assert _documented_rights("role rights") == rights | {"rds-db:connect"}


def test_every_alarm_is_in_the_documents(template: Template) -> None:
    alarms = [alarm["AlarmName"] for _, alarm in template.of_type("AWS::CloudWatch::Alarm")]
    assert re.findall(r"^\| `([^`]+)` \|", _documented("alarms"), re.MULTILINE) == alarms


def test_rights_are_for_the_parts_of_this_installation_alone(template: Template) -> None:
    [(_, role)] = template.of_type("AWS::IAM::Role")
    arns = {
        PLACE.arn(service, resource)
        for service, resource in (
            ("sqs", "fraudd-shop"),
            ("sqs", "fraudd-shop-bulk"),
            ("sqs", "fraudd-shop-dead"),
            ("sns", "fraudd-shop-requests"),
            ("sns", "fraudd-shop-completions"),
            ("dynamodb", "table/fraudd-shop"),
            ("dynamodb", "table/fraudd-shop/index/by_state"),
        )
    }
    given = {
        resource
        for statement in _statements(role, "fraudd")
        if statement["Sid"] != "SeeItsFilterPolicy"
        for resource in _listed(statement["Resource"])
    }
    assert given == arns
    assert not any(
        "*" in action for one in role["Policies"] for action in _rights(role, one["PolicyName"])
    )


def test_instances_have_no_public_address_and_guard_their_credentials(template: Template) -> None:
    [(_, launch)] = template.of_type("AWS::EC2::LaunchTemplate")
    data = launch["LaunchTemplateData"]
    assert data["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
    assert [one["AssociatePublicIpAddress"] for one in data["NetworkInterfaces"]] == [False]
    assert [one["Ebs"]["Encrypted"] for one in data["BlockDeviceMappings"]] == [True]
    [(_, group)] = template.of_type("AWS::EC2::SecurityGroup")
    [come] = group["SecurityGroupIngress"]
    assert (come["FromPort"], come["ToPort"]) == (8080, 8080)
    assert come["SourceSecurityGroupId"] == "sg-proxy"
    database, https = group["SecurityGroupEgress"]
    assert (database["FromPort"], database["ToPort"]) == (3306, 3306)
    assert database["DestinationSecurityGroupId"] == "sg-database"
    assert (https["FromPort"], https["ToPort"], https["CidrIp"]) == (443, 443, "0.0.0.0/0")


def test_the_records_outlive_the_stack(template: Template) -> None:
    table = template.raw["Resources"]["Table"]
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_every_alarm_tells_the_topic_when_it_begins_and_when_it_ends(template: Template) -> None:
    alarms = dict(template.of_type("AWS::CloudWatch::Alarm"))
    assert alarms
    for alarm in alarms.values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [template.parameters["AlarmTopicArn"]]


def test_no_alarm_and_no_scaling_trusts_a_metric_that_leaves_out_messages(
    template: Template,
) -> None:
    # What SQS moves itself is not among the sent, what was received thrice has no age.
    text = str([*template.of_type("AWS::CloudWatch::Alarm")]) + str(
        [*template.of_type("AWS::AutoScaling::ScalingPolicy")]
    )
    assert "ApproximateNumberOfMessagesVisible" in text
    assert "NumberOfMessagesSent" not in text
    assert "ApproximateAgeOfOldestMessage" not in text


def _statements(role: Any, policy: str) -> Iterator[Any]:
    for one in role["Policies"]:
        if one["PolicyName"] == policy:
            yield from one["PolicyDocument"]["Statement"]


def _rights(role: Any, policy: str) -> set[str]:
    return {action for one in _statements(role, policy) for action in _listed(one["Action"])}


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _documented(table: str) -> str:
    """The table that a comment names, which stays where sentences and headings are reworded."""
    comment = f"<!-- table: {table} -->\n\n"
    [text] = [
        text for path in (ROOT / "docs").rglob("*.md") if comment in (text := path.read_text())
    ]
    return text.partition(comment)[2].partition("\n\n")[0]


def _documented_rights(table: str) -> set[str]:
    return set(re.findall(r"`([a-z0-9-]+:[A-Za-z]+)`", _documented(table)))


def _called() -> set[str]:
    """Every operation of AWS that an instance may come to call, as a right."""
    return {
        right
        for folder in ("fraudd/aws", "fraudd/commands")
        for path in (ROOT / folder).rglob("*.py")
        if str(path.relative_to(ROOT)) not in _NOT_THE_ROLE
        for right in _called_in(path)
    }


def _called_in(path: Path) -> set[str]:
    operations = _operations()
    return {
        f"{service}:{name.removesuffix('Batch') if name in _BATCHES else name}"
        for service, method in _calls(ast.parse(path.read_text()))
        if (name := operations[service][method])
    }


@cache
def _operations() -> dict[str, dict[str, str]]:
    """What each service can be asked for, by the name of the client's method."""
    session = botocore.session.get_session()
    return {
        service: {
            xform_name(name): name for name in session.get_service_model(service).operation_names
        }
        for service in set(_CLIENTS.values())
    }


def _calls(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Each call of a method of a client: its service, and the method; pages count as their call."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(
                    value=ast.Attribute(attr=client) | ast.Name(id=client), attr=method
                ),
                args=arguments,
            ) if (service := _CLIENTS.get(client.removeprefix("_"))) is not None:
                match method, arguments:
                    case "get_paginator", [ast.Constant(value=str(paged))]:
                        yield service, paged
                    case _:
                        yield service, method
