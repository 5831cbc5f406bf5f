"""Answers are held to the OpenAPI document, and to nothing more: an unknown key is a mistake."""

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from fraudd.web.openapi.document import document

_COMPONENTS: Any = document(authenticated=True)["components"]


def _closed(schema: Any) -> Any:
    """Give the schema without room for keys that it does not name."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(part) for name, part in schema.items()}
    if "properties" in closed and isinstance(closed["properties"], dict):
        closed.setdefault("additionalProperties", False)
    return closed


_CLOSED = {"schemas": _closed(_COMPONENTS["schemas"])}


@cache
def _validator(name: str) -> Draft202012Validator:
    schema = {"$ref": f"#/components/schemas/{name}", "components": _CLOSED}
    return Draft202012Validator(schema, format_checker=FormatChecker())


def assert_is(name: str, value: Any) -> None:
    """Fail unless the value is what the document says of the schema with that name."""
    _validator(name).validate(value)


def is_valid(name: str, value: Any) -> bool:
    """Whether the value is what the document says of the schema with that name."""
    return bool(_validator(name).is_valid(value))
