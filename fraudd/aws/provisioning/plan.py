"""What there is to do, from how things must be and how they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fraudd.aws.provisioning.resources import INDEX, Attributes, Kind, Part

Action = Literal["create", "update", "keep", "refuse"]

#: What AWS changes in no other way than by deleting, which is never done here; and what to do.
_FIXED: Mapping[tuple[Kind, str], str] = {
    ("table", "KeySchema"): "a table's key cannot be changed: take another name, or move the table"
    " out of the way",
    ("table", f"Index {INDEX}"): "an index cannot be changed: delete it, and run this again;"
    " until it is back, nothing is swept or listed",
    ("table", "TimeToLive"): "switch it off (aws dynamodb update-time-to-live), wait for the hour"
    " that DynamoDB takes, and run this again",
}
#: A shorter retention would do just that, to messages.
_SHORTER = (
    "SQS deletes what is older at once: see that no such message waits, then shorten it yourself"
    " (aws sqs set-queue-attributes)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One attribute; None: not set."""

    attribute: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is to be done about one part."""

    action: Action
    part: Part
    #: All attributes of what is created, those that differ of what is updated.
    changes: tuple[Change, ...] = ()
    #: Why nothing may be done, and what to do instead.
    problems: tuple[str, ...] = ()


def plan(parts: Sequence[Part], found: Sequence[Attributes | None]) -> tuple[Step, ...]:
    """Compare each part with how it was found; None: it is not there."""
    return tuple(_step(part, has) for part, has in zip(parts, found, strict=True))


def _step(part: Part, has: Attributes | None) -> Step:
    olds = has or {}
    changes = tuple(
        Change(attribute=attribute, old=olds.get(attribute), new=new)
        for attribute, wanted in part.attributes.items()
        if olds.get(attribute) != (new := _new(attribute, wanted, olds.get(attribute)))
    )
    if has is None:
        return Step(action="create", part=part, changes=changes)
    problems = tuple(
        f"{change.attribute} is {change.old}, not {change.new}: {remedy}"
        for change in changes
        if change.old is not None and (remedy := _in_the_way(part.kind, change)) is not None
    )
    if problems:
        return Step(action="refuse", part=part, changes=changes, problems=problems)
    return Step(action="update" if changes else "keep", part=part, changes=changes)


def _new(attribute: str, wanted: Any, old: Any) -> Any:
    """Give what an attribute is to be: a policy keeps the statements that others have put in it.

    They may forbid what nobody else forbids.
    """
    if attribute != "Policy" or old is None:
        return wanted
    statements = old.get("Statement", [])
    own = {one["Sid"] for one in wanted["Statement"]}
    others = [
        one
        for one in (statements if isinstance(statements, list) else [statements])
        if one.get("Sid") not in own
    ]
    return {**old, **wanted, "Statement": [*wanted["Statement"], *others]}


def _in_the_way(kind: Kind, change: Change) -> str | None:
    """Say what to do instead of a change that is not made; None where it is."""
    if change.attribute == "MessageRetentionPeriod" and change.old > change.new:
        return _SHORTER
    return _FIXED.get((kind, change.attribute))
