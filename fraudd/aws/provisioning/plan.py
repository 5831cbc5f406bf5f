"""Plans the steps from the current attributes of an installation to the required ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fraudd.aws.provisioning.resources import Attributes, Kind, Part
from fraudd.aws.table_index import INDEX

Action = Literal["create", "update", "keep", "refuse"]

#: AWS cannot change these attributes without a deletion, and fraudd never deletes. The texts say
#: what the operator can do.
_FIXED: Mapping[tuple[Kind, str], str] = {
    ("table", "KeySchema"): "a table's key cannot be changed: use another name, or delete the table"
    " and its records yourself",
    ("table", f"Index {INDEX}"): "an index cannot be changed: delete it, and run this command again"
    " (without the index, fraudd finds no lost runs and lists nothing)",
    ("table", "TimeToLive"): "switch it off (aws dynamodb update-time-to-live), wait one hour for"
    " DynamoDB, and run this command again",
}
#: A shorter retention deletes messages.
_SHORTER_RETENTION = (
    "SQS would delete older messages at once: check that there are none, then shorten it yourself"
    " (aws sqs set-queue-attributes)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The change of one attribute. None: not set."""

    attribute: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The action on one part."""

    action: Action
    part: Part
    #: All attributes of a new part, or the attributes that differ.
    changes: tuple[Change, ...] = ()
    #: Why fraudd must not change the part, and what the operator can do.
    problems: tuple[str, ...] = ()


def plan(parts: Sequence[Part], current: Sequence[Attributes | None]) -> tuple[Step, ...]:
    """Compare each part with its current attributes. None: the part does not exist."""
    return tuple(_step(part, old) for part, old in zip(parts, current, strict=True))


def _step(part: Part, current: Attributes | None) -> Step:
    old_values = current or {}
    changes = tuple(
        Change(attribute=attribute, old=old, new=new)
        for attribute, required in part.attributes.items()
        if (old := old_values.get(attribute)) != (new := _new_value(attribute, required, old))
    )
    if current is None:
        return Step(action="create", part=part, changes=changes)
    problems = tuple(
        f"{change.attribute} is {change.old}, not {change.new}: {remedy}"
        for change in changes
        if change.old is not None and (remedy := _remedy(part.kind, change)) is not None
    )
    if problems:
        return Step(action="refuse", part=part, changes=changes, problems=problems)
    return Step(action="update" if changes else "keep", part=part, changes=changes)


def _new_value(attribute: str, required: Any, old: Any) -> Any:
    """The new value of an attribute. A policy keeps the statements that others have added.

    Such a statement may be the only one that denies something.
    """
    if attribute != "Policy" or old is None:
        return required
    statements = old.get("Statement", [])
    own_ids = {statement["Sid"] for statement in required["Statement"]}
    others = [
        statement
        for statement in (statements if isinstance(statements, list) else [statements])
        if statement.get("Sid") not in own_ids
    ]
    return {**old, **required, "Statement": [*required["Statement"], *others]}


def _remedy(kind: Kind, change: Change) -> str | None:
    """Explain what to do if fraudd must not make a change. None: fraudd makes it."""
    if change.attribute == "MessageRetentionPeriod" and change.old > change.new:
        return _SHORTER_RETENTION
    return _FIXED.get((kind, change.attribute))
