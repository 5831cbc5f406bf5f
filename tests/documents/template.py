"""config/cloudformation.yaml as CloudFormation reads it: functions evaluated, parts described."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from fraudd.aws.provisioning.resources import Part, Place
from tests.stack.paths import ROOT

PATH = ROOT / "config" / "cloudformation.yaml"

#: What an operator gives, where there is no default.
GIVEN: dict[str, Any] = {
    "AlarmTopicArn": "arn:aws:sns:eu-central-1:123456789012:alarms",
    "ReleaseBucket": "releases.example",
    "Package": "releases/fraudd_0.1.0_amd64.deb",
    "Configuration": "shop-1.tar.gz",
    "DatabasePasswordParameter": "/fraudd/shop/database-password",
    "ImageId": "ami-1",
    "Vpc": "vpc-1",
    "Subnets": ["subnet-1", "subnet-2"],
    "ProxySecurityGroup": "sg-proxy",
    "DatabaseSecurityGroup": "sg-database",
}
_NOTHING = object()


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads ``!Sub`` and its like as what they are short for."""


def _function(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    match node:
        case yaml.ScalarNode():
            value = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case _:
            value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix == "Ref" else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _function)


@cache
def _read() -> Any:
    return yaml.load(PATH.read_text(), _Loader)


class Template:
    """The template with all parameters given."""

    def __init__(self, place: Place, **given: Any) -> None:
        self.raw = _read()
        self.place = place
        defaults = {name: one.get("Default") for name, one in self.raw["Parameters"].items()}
        self.parameters = defaults | GIVEN | given
        assert self.parameters.keys() == self.raw["Parameters"].keys()

    def of_type(self, type_: str) -> Iterator[tuple[str, Any]]:
        """The evaluated properties of all resources of a type, by their names."""
        for name, resource in self.raw["Resources"].items():
            if resource["Type"] == type_:
                yield name, self.value(resource["Properties"])

    def value(self, node: Any) -> Any:
        """Evaluate all functions in a node."""
        match node:
            case {"Ref": name, **rest} if not rest:
                return self._ref(name)
            case {"Fn::GetAtt": path, **rest} if not rest:
                return self._attribute(path)
            case {"Fn::Sub": text, **rest} if not rest:
                return re.sub(r"\$\{([^}]+)\}", lambda found: str(self._named(found[1])), text)
            case {"Fn::If": [condition, then, otherwise], **rest} if not rest:
                chosen = then if self._holds(self.raw["Conditions"][condition]) else otherwise
                return self.value(chosen)
            case {"Fn::Base64": text, **rest} if not rest:
                return self.value(text)
            case dict():
                values = {key: self.value(one) for key, one in node.items()}
                return {key: one for key, one in values.items() if one is not _NOTHING}
            case list():
                return [one for one in map(self.value, node) if one is not _NOTHING]
            case _:
                return node

    def parts(self) -> list[Part]:
        """What of the template ``fraudd provision`` makes, too, described alike."""
        topics = [
            Part(kind="topic", name=topic.pop("TopicName"), attributes=topic)
            for _, topic in self.of_type("AWS::SNS::Topic")
        ]
        policies = {
            url: policy["PolicyDocument"]
            for _, policy in self.of_type("AWS::SQS::QueuePolicy")
            for url in policy["Queues"]
        }
        queues = [
            Part(
                kind="queue",
                name=queue.pop("QueueName"),
                attributes=queue | {"Policy": policies.pop(self._ref(logical))},
            )
            for logical, queue in self.of_type("AWS::SQS::Queue")
        ]
        assert not policies
        subscriptions = [_subscription(one) for _, one in self.of_type("AWS::SNS::Subscription")]
        tables = [_table(table) for _, table in self.of_type("AWS::DynamoDB::Table")]
        return topics + queues + subscriptions + tables

    def _holds(self, condition: Any) -> bool:
        match condition:
            case {"Fn::Not": [inner]}:
                return not self._holds(inner)
            case {"Fn::Equals": [left, right]}:
                return bool(self.value(left) == self.value(right))
        raise AssertionError(f"unknown condition {condition}")

    def _named(self, path: str) -> Any:
        return self._attribute(path) if "." in path else self._ref(path)

    def _ref(self, name: str) -> Any:
        pseudo = {
            "AWS::NoValue": _NOTHING,
            "AWS::Region": self.place.region,
            "AWS::AccountId": self.place.account,
            "AWS::Partition": self.place.partition,
            "AWS::StackId": self.place.arn("cloudformation", "stack/fraudd/1"),
        }
        if name in pseudo:
            return pseudo[name]
        if name in self.parameters:
            return self.parameters[name]
        match self._resource(name):
            case {"Type": "AWS::SNS::Topic"}:
                return self._attribute(f"{name}.Arn")
            case {"Type": "AWS::SQS::Queue"}:
                account = f"{self.place.region}.amazonaws.com/{self.place.account}"
                return f"https://sqs.{account}/{self._attribute(f'{name}.QueueName')}"
            case {"Type": "AWS::DynamoDB::Table"}:
                return self._attribute(f"{name}.TableName")
        return f"the id of {name}"

    def _attribute(self, path: str) -> Any:
        logical, _, attribute = path.partition(".")
        properties = self._resource(logical)["Properties"]
        if attribute in properties:
            return self.value(properties[attribute])
        if attribute == "Arn":
            for key, service, prefix in (
                ("TopicName", "sns", ""),
                ("QueueName", "sqs", ""),
                ("TableName", "dynamodb", "table/"),
            ):
                if key in properties:
                    return self.place.arn(service, prefix + self.value(properties[key]))
        return f"the {attribute} of {logical}"

    def _resource(self, name: str) -> Any:
        return self.raw["Resources"][name]


def _subscription(given: Any) -> Part:
    topic, queue = given.pop("TopicArn"), given.pop("Endpoint")
    assert given.pop("Protocol") == "sqs"
    return Part(
        kind="subscription",
        name=f"{topic.rpartition(':')[2]} to {queue.rpartition(':')[2]}",
        attributes={"FilterPolicy": None} | given,
    )


def _table(given: Any) -> Part:
    types = {
        one["AttributeName"]: one["AttributeType"] for one in given.pop("AttributeDefinitions")
    }

    def key(of: Any) -> list[str]:
        ordered = sorted(of.pop("KeySchema"), key=lambda one: str(one["KeyType"]))
        return [f"{one['AttributeName']} {types[one['AttributeName']]}" for one in ordered]

    ttl = given.pop("TimeToLiveSpecification")
    assert ttl.pop("Enabled") is True
    backups = given.pop("PointInTimeRecoverySpecification")
    indexes = {
        f"Index {index.pop('IndexName')}": {
            "KeySchema": key(index),
            "Projection": index.pop("Projection")["ProjectionType"],
        }
        | index
        for index in given.pop("GlobalSecondaryIndexes")
    }
    return Part(
        kind="table",
        name=given.pop("TableName"),
        attributes={
            "KeySchema": key(given),
            "TimeToLive": ttl["AttributeName"],
            "PointInTimeRecovery": backups["PointInTimeRecoveryEnabled"],
            "DeletionProtection": given.pop("DeletionProtectionEnabled"),
        }
        | indexes
        | given,
    )
