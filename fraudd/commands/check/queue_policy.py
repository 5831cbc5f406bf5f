"""Whether a queue's policy lets a topic send to it: IAM's rules, as far as that needs them.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fraudd.commands.check.findings import Finding, failed, ok, warning

_ACTION = "sqs:sendmessage"
_SERVICE = "sns.amazonaws.com"
#: What says which topic sends, or whose it is. Without it a service may be led to send by anybody:
#: https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
_WHO_SENDS = frozenset({"aws:sourcearn", "aws:sourceaccount", "aws:sourceowner"})
_REMEDY = "'fraudd provision' writes one that lets this topic alone"


def judge_policy(text: str | None, *, queue_arn: str, topic_arn: str) -> Iterator[Finding]:
    """Say whether a policy lets a topic send to a queue, and whom it lets beyond need."""
    if text is None:
        yield failed(f"queue policy: there is none, so {topic_arn} may not send: {_REMEDY}")
        return
    request = {
        "aws:sourcearn": topic_arn,
        "aws:sourceaccount": topic_arn.split(":")[4],
        "aws:securetransport": "true",
        "aws:principalisawsservice": "true",
    }
    ours = [one for one in _list(json.loads(text).get("Statement")) if _is_about(one, queue_arn)]
    allows = [(one, _holds(one, request)) for one in ours if one.get("Effect") == "Allow"]
    denies = [_holds(one, request) for one in ours if one.get("Effect") == "Deny"]
    if True in denies:
        yield failed(f"queue policy: a Deny keeps {topic_arn} from sending: remove it; {_REMEDY}")
    elif all(holds is False for _, holds in allows):
        yield failed(f"queue policy: {topic_arn} may not send: {_REMEDY}")
    elif None in denies or not any(holds for _, holds in allows):
        yield warning(
            f"queue policy: whether {topic_arn} may send depends on conditions that cannot be"
            f" judged from here: publish an event, and see it come; {_REMEDY}"
        )
    elif any(_is_open(one) for one, _ in allows):
        yield warning(
            f"queue policy: others than {topic_arn} may send, from any account: add the Condition"
            f' {{"ArnEquals": {{"aws:SourceArn": "{topic_arn}"}}}}; {_REMEDY}'
        )
    else:
        yield ok(f"queue policy: lets {topic_arn} send")


def _is_about(statement: Mapping[str, Any], queue_arn: str) -> bool:
    """Whether a statement can be about a topic that sends to the queue, conditions aside."""
    # Of actions alone the case does not count.
    actions = {
        name: [str(one).lower() for one in _list(statement[name])]
        for name in ("Action", "NotAction")
        if name in statement
    }
    return (
        _names_topics(statement)
        and _matches(actions, "Action", _ACTION)
        and _matches(statement, "Resource", queue_arn)
    )


def _names_topics(statement: Mapping[str, Any]) -> bool:
    if "NotPrincipal" in statement:
        return True  # and then its conditions count as unknown
    principal = statement.get("Principal")
    if isinstance(principal, Mapping):
        everybody = "*" in _list(principal.get("AWS"))
        return everybody or _SERVICE in _list(principal.get("Service"))
    return principal == "*"


def _matches(statement: Mapping[str, Any], element: str, value: str) -> bool:
    if (others := statement.get(f"Not{element}")) is not None:
        return not any(_like(one, value) for one in _list(others))
    return any(_like(one, value) for one in _list(statement.get(element)))


def _holds(statement: Mapping[str, Any], request: Mapping[str, str]) -> bool | None:
    """Whether all conditions hold for the topic; None: that cannot be told."""
    if "NotPrincipal" in statement:
        return None
    held = [
        _condition(operator.lower(), key.lower(), _list(wanted), request)
        for operator, conditions in statement.get("Condition", {}).items()
        for key, wanted in conditions.items()
    ]
    if False in held:
        return False
    return None if None in held else True


def _like(pattern: str, value: str) -> bool:
    """Compare as IAM does: ``*`` is any text, ``?`` any character."""
    regex = re.escape(str(pattern)).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(regex, value) is not None


#: A condition's operator on one value of the policy and that of the request.
_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "arnequals": _like,
    "arnlike": _like,
    "stringlike": _like,
    "stringequals": lambda wanted, given: wanted == given,
    "stringequalsignorecase": lambda wanted, given: wanted.lower() == given.lower(),
    "bool": lambda wanted, given: wanted.lower() == given,
}


def _condition(
    operator: str, key: str, wanted: Sequence[Any], request: Mapping[str, str]
) -> bool | None:
    name = operator.removesuffix("ifexists")
    positive = name.replace("not", "", 1)
    compare = _OPERATORS.get(positive)
    given = request.get(key)
    if compare is None or given is None:
        return None
    found = any(compare(str(one), given) for one in wanted)
    return found if name == positive else not found


def _is_open(statement: Mapping[str, Any]) -> bool:
    """Whether an Allow says nothing about which topic sends, or whose it is."""
    conditions = statement.get("Condition", {}).values()
    return _WHO_SENDS.isdisjoint(key.lower() for condition in conditions for key in condition)


def _list(value: Any) -> list[Any]:
    """One and many are written alike in a policy."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
