"""What there is to do, from how things must be and how they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fraudd.aws.installation import INDEX, Attributes, Kind, Part

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
    changes = tuple(
        Change(attribute=attribute, old=(has or {}).get(attribute), new=wanted)
        for attribute, wanted in part.attributes.items()
        if (has or {}).get(attribute) != wanted
    )
    if has is None:
        return Step(action="create", part=part, changes=changes)
    problems = tuple(
        f"{change.attribute} is {change.old}, not {change.new}: {remedy}"
        for change in changes
        if change.old is not None
        and (remedy := _FIXED.get((part.kind, change.attribute))) is not None
    )
    if problems:
        return Step(action="refuse", part=part, changes=changes, problems=problems)
    return Step(action="update" if changes else "keep", part=part, changes=changes)
