"""Describes a problem of a configuration file: the place, the key, the value, and the remedy."""

import difflib
import re
from pathlib import Path

from pydantic import BaseModel
from pydantic_core import ErrorDetails

#: pydantic's errors of values outside the range of a key.
_OUT_OF_RANGE = frozenset(
    {"greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number"}
)
_BOUNDS = ("minimum", "exclusiveMinimum", "maximum")


def problem(path: Path, text: str, detail: ErrorDetails, schema: type[BaseModel]) -> str:
    """Write one of pydantic's errors as ``file:line: [section] key = value: problem``.

    ``text`` is the content of the file.
    """
    if not detail["loc"]:
        return f"{path}: {detail['msg'].removeprefix('Value error, ')}"
    section, key = (*(str(part) for part in detail["loc"]), "", "")[:2]
    line = _line(text, section, key)
    place = f"{path}:{line}" if line else str(path)
    name = f"[{section}] {key}".rstrip()
    match detail["type"]:
        case "missing":
            return f"{place}: {name}: missing"
        case "extra_forbidden":
            known = _known(schema, section if key else None)
            close = difflib.get_close_matches(key or section, known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            return f"{place}: {name}: unknown {'key' if key else 'section'}{hint}"
    rule = detail["msg"].removeprefix("Value error, ").replace("Input should", "must")
    if detail["type"] in _OUT_OF_RANGE and (allowed := allowed_range(schema, section, key)):
        rule = f"must be {allowed}"
    return f"{place}: {name} = {str(detail['input'])[:60]!r}: {rule}"


def allowed_range(schema: type[BaseModel], section: str, key: str) -> str | None:
    """Write the range of a key, for example ``1 to 65535``. None: the key has no bounds."""
    table = schema.model_fields[section].annotation
    assert table is not None, "a section is a model"
    described = table.model_json_schema()["properties"][key]
    # The bounds of an optional key are those of an alternative to null.
    bounds: dict[str, float] = {}
    for part in (described, *described.get("anyOf", ())):
        bounds |= {name: part[name] for name in _BOUNDS if name in part}
    least, above, most = (bounds.get(name) for name in _BOUNDS)
    if least is None and above is None:
        return None
    if most is None:
        return f"{least:g} or more" if above is None else f"above {above:g}"
    highest = f"{most:.0f}"
    return f"{least:g} to {highest}" if above is None else f"above {above:g}, up to {highest}"


def _line(text: str, section: str, key: str) -> int | None:
    """Find the line of a key, else the header of its section."""
    header = None
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if (table := re.match(r"\s*\[\s*([\w-]+)\s*\]", line)) is not None:
            inside = table[1] == section
            header = number if inside else header
        elif inside and key and re.match(rf"\s*\"?{re.escape(key)}\"?\s*=", line):
            return number
    return header


def _known(schema: type[BaseModel], section: str | None) -> list[str]:
    fields = schema.model_fields
    if section is None:
        return list(fields)
    annotation = fields[section].annotation
    return list(annotation.model_fields) if annotation is not None else []
