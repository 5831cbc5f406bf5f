"""What is wrong with a configuration file, in words that name the place and the remedy."""

import difflib
import re
from pathlib import Path

from pydantic import BaseModel
from pydantic_core import ErrorDetails


def complaint(path: Path, text: str, detail: ErrorDetails, schema: type[BaseModel]) -> str:
    """Write one of pydantic's errors as ``file:line: [section] key: what is wrong``.

    ``text`` is what the file says, ``schema`` what it may say.
    """
    if not detail["loc"]:
        return f"{path}: {detail['msg'].removeprefix('Value error, ')}"
    section, key = (*(str(part) for part in detail["loc"]), "", "")[:2]
    where = f"{path}:{_line(text, section, key)}" if _line(text, section, key) else str(path)
    name = f"[{section}] {key}".rstrip()
    match detail["type"]:
        case "missing":
            return f"{where}: {name}: missing"
        case "extra_forbidden":
            close = difflib.get_close_matches(
                key or section, _known(schema, section if key else None), 1
            )
            hint = f"; did you mean {close[0]}?" if close else ""
            return f"{where}: {name}: unknown {'key' if key else 'section'}{hint}"
        case _:
            wrong = detail["msg"].removeprefix("Value error, ").replace("Input should", "must")
            return f"{where}: {name} = {str(detail['input'])[:60]!r}: {wrong}"


def _line(text: str, section: str, key: str) -> int | None:
    """Find the line of a key, else of its section's header, else None."""
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
