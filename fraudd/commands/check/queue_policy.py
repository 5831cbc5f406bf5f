"""Whether a queue's policy allows a topic to send to it: the subset of IAM's rules that decides it.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fraudd.commands.check.findings import Finding, failed, ok, warning

_ACTION = "sqs:sendmessage"
_SERVICE = "sns.amazonaws.com"
#: Condition keys that name the sending topic or its account. Without one of them, any account can
#: make the service send:
#: https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
_SENDER_KEYS = frozenset({"aws:sourcearn", "aws:sourceaccount", "aws:sourceowner"})
_FIX_DENY = "remove the Deny statement"
_FIX = "run 'fraudd provision'; it writes a policy that allows only this topic"


def judge_policy(text: str | None, *, queue_arn: str, topic_arn: str) -> Iterator[Finding]:
    """Judge whether a policy allows the topic to send, and whether it allows others, too."""
    if text is None:
        yield failed(f"queue policy: none, so {topic_arn} cannot send to the queue", fix=_FIX)
        return
    request = {
        "aws:sourcearn": topic_arn,
        "aws:sourceaccount": topic_arn.split(":")[4],
        "aws:securetransport": "true",
        "aws:principalisawsservice": "true",
    }
    statements = [
        statement
        for statement in _list(json.loads(text).get("Statement"))
        if _is_about(statement, queue_arn)
    ]
    allows = [
        (statement, _holds(statement, request))
        for statement in statements
        if statement.get("Effect") == "Allow"
    ]
    denies = [
        _holds(statement, request) for statement in statements if statement.get("Effect") == "Deny"
    ]
    if True in denies:
        yield failed(f"queue policy: a Deny prevents {topic_arn} from sending", fix=_FIX_DENY)
    elif all(holds is False for _, holds in allows):
        yield failed(f"queue policy: does not allow {topic_arn} to send", fix=_FIX)
    elif None in denies or not any(holds for _, holds in allows):
        yield warning(
            f"queue policy: fraudd cannot evaluate its conditions, so {topic_arn} may be unable to"
            " send",
            fix=f"publish an event and see whether it arrives; or {_FIX}",
        )
    elif any(_is_open(statement) for statement, _ in allows):
        yield warning(
            f"queue policy: allows topics of every account to send, not only {topic_arn}",
            fix=f'add the Condition {{"ArnEquals": {{"aws:SourceArn": "{topic_arn}"}}}}; or {_FIX}',
        )
    else:
        yield ok(f"queue policy: allows {topic_arn} to send")


def _is_about(statement: Mapping[str, Any], queue_arn: str) -> bool:
    """Whether a statement covers a topic that sends to the queue, before its conditions."""
    # IAM ignores the case of actions, and only of actions.
    actions = {
        name: [str(action).lower() for action in _list(statement[name])]
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
        return True  # _holds() then gives None
    principal = statement.get("Principal")
    if isinstance(principal, Mapping):
        everybody = "*" in _list(principal.get("AWS"))
        return everybody or _SERVICE in _list(principal.get("Service"))
    return principal == "*"


def _matches(statement: Mapping[str, Any], element: str, value: str) -> bool:
    if (excluded := statement.get(f"Not{element}")) is not None:
        return not any(_like(pattern, value) for pattern in _list(excluded))
    return any(_like(pattern, value) for pattern in _list(statement.get(element)))


def _holds(statement: Mapping[str, Any], request: Mapping[str, str]) -> bool | None:
    """Return whether all conditions hold for the topic, or None if that is unknown."""
    if "NotPrincipal" in statement:
        return None
    results = [
        _condition_holds(operator.lower(), key.lower(), _list(values), request)
        for operator, conditions in statement.get("Condition", {}).items()
        for key, values in conditions.items()
    ]
    if False in results:
        return False
    return None if None in results else True


def _like(pattern: str, value: str) -> bool:
    """Compare by IAM's rules: ``*`` is any text, ``?`` is any character."""
    regex = re.escape(str(pattern)).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(regex, value) is not None


#: Operators of conditions, on one value of the policy and the value of the request.
_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "arnequals": _like,
    "arnlike": _like,
    "stringlike": _like,
    "stringequals": lambda value, actual: value == actual,
    "stringequalsignorecase": lambda value, actual: value.lower() == actual.lower(),
    "bool": lambda value, actual: value.lower() == actual,
}


def _condition_holds(
    operator: str, key: str, values: Sequence[Any], request: Mapping[str, str]
) -> bool | None:
    name = operator.removesuffix("ifexists")
    positive = name.replace("not", "", 1)
    compare = _OPERATORS.get(positive)
    actual = request.get(key)
    if compare is None or actual is None:
        return None
    matches = any(compare(str(value), actual) for value in values)
    return matches if name == positive else not matches


def _is_open(statement: Mapping[str, Any]) -> bool:
    """Whether an Allow has no condition on the sending topic or its account."""
    conditions = statement.get("Condition", {}).values()
    return _SENDER_KEYS.isdisjoint(key.lower() for condition in conditions for key in condition)


def _list(value: Any) -> list[Any]:
    """Return a list, also for the single value that a policy may have instead."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
